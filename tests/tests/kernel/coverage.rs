//! What the unprivileged proxy exports is what the kernel counted.

use anyhow::Result;
use weir_common::FlowReason;
use weir_tests::metrics::Metrics;
use weir_tests::output::eventually;
use weir_tests::pod::said::Dialled;
use weir_tests::pod::{ADMIN, Pod};

/// What is dialled, and how it is to be counted.
const MIX: &[(FlowReason, &[&str])] = &[
    (
        FlowReason::Redirected,
        &[
            "203.0.113.9:443",
            "[2001:db8::9]:443",
            "[::ffff:203.0.113.9]:443",
        ],
    ),
    (
        FlowReason::OtherPort,
        &["203.0.113.9:8443", "[2001:db8::9]:8443"],
    ),
    (
        FlowReason::Loopback,
        &[
            "127.0.0.1:443",
            "[::1]:443",
            "127.0.0.7:80",
            "127.0.0.1:8080",
        ],
    ),
    (
        FlowReason::LocalAddress,
        &["10.1.2.3:443", "[fd00:1::3]:443", "[::ffff:10.1.2.3]:80"],
    ),
    (FlowReason::LinkLocal, &["169.254.169.254:80"]),
    (
        FlowReason::BoundToDevice,
        &["--bind-loopback", "203.0.113.9:443", "203.0.113.9:80"],
    ),
    (
        FlowReason::QuicRefused,
        &["--udp", "203.0.113.9:443", "[2001:db8::9]:443"],
    ),
];

/// How many attempts these words are.
fn attempts(words: &[&str]) -> u64 {
    words.iter().filter(|word| !word.starts_with("--")).count() as u64
}

fn dial_all(pod: &Pod) -> Result<()> {
    for (_reason, words) in MIX {
        let words: Vec<&str> = ["dial"].iter().chain(*words).copied().collect();
        let _outcomes: Vec<Dialled> = pod.application(&words)?;
    }
    Ok(())
}

#[test]
fn each_flow_is_counted_under_its_reason() -> Result<()> {
    let pod = Pod::captured("")?;
    let _servers = pod.serve(&["0.0.0.0:443", "[::]:443"])?;
    let _proxy = pod.thin_proxy(&[])?;
    let before = pod.counters()?;
    dial_all(&pod)?;
    let after = pod.counters()?;
    let events = [
        FlowReason::HandshakeFull,
        FlowReason::ClaimRefused,
        FlowReason::ListenerUnclaimed,
        FlowReason::Claimed,
    ];
    for reason in FlowReason::ALL {
        let mut expected = MIX.iter().filter(|(counted, _)| *counted == reason);
        let expected = expected.next().map_or(0, |(_, words)| attempts(words));
        let counted = after.since(&before, reason);
        assert_eq!(counted, expected, "{}", reason.as_str());
        assert_eq!(events.contains(&reason), reason.outcome().is_none());
    }
    Ok(())
}

#[test]
fn the_proxy_exports_what_the_kernel_counted() -> Result<()> {
    let pod = Pod::captured("")?;
    let _servers = pod.serve(&["0.0.0.0:443", "[::]:443"])?;
    let _proxy = pod.proxy()?;
    dial_all(&pod)?;
    // Canaries and the proxy's own connections go on, so both are read until
    // nothing happened between the two readings.
    let mut last = String::new();
    let same = eventually(
        "metrics and the kernel's counters agree",
        || match disagreement(&pod) {
            Ok(None) => true,
            Ok(Some(what)) => {
                last = what;
                false
            }
            Err(error) => {
                last = format!("{error:#}");
                false
            }
        },
    );
    same.map_err(|error| error.context(last))
}

#[test]
fn the_ratio_is_of_what_was_inspected() -> Result<()> {
    let pod = Pod::captured("")?;
    let _servers = pod.serve(&["0.0.0.0:443", "0.0.0.0:80", "0.0.0.0:8443"])?;
    let _proxy = pod.proxy()?;
    let dial = |words: &[&str]| -> Result<Vec<Dialled>> {
        let words: Vec<&str> = ["dial"].iter().chain(words).copied().collect();
        pod.application(&words)
    };
    dial(&["--http=api.openai.com", "203.0.113.9:80"])?;
    dial(&["203.0.113.9:443", "203.0.113.10:443"])?;
    dial(&["--bind-loopback", "203.0.113.9:443", "203.0.113.10:443"])?;
    dial(&["203.0.113.9:8443", "203.0.113.10:8443", "203.0.113.11:8443"])?;
    // These carry nothing, or nothing that leaves the pod.
    dial(&["127.0.0.1:80", "10.1.2.3:443"])?;
    dial(&["--udp", "203.0.113.9:443"])?;
    for (scope, expected) in [("captured_ports", 1.0 / 5.0), ("egress", 1.0 / 8.0)] {
        let mut seen = None;
        eventually(&format!("the ratio of {scope} is {expected}"), || {
            let metrics = Metrics::within(&pod.namespace, ADMIN);
            seen = metrics
                .ok()
                .and_then(|metrics| metrics.value("weir_coverage_ratio", &[("scope", scope)]));
            seen.is_some_and(|seen| (seen - expected).abs() < 1e-9)
        })
        .map_err(|error| error.context(format!("it is {seen:?}")))?;
    }
    Ok(())
}

/// The first difference between the metrics and the counters, if there is one.
fn disagreement(pod: &Pod) -> Result<Option<String>> {
    let metrics = Metrics::within(&pod.namespace, ADMIN)?;
    let counters = pod.counters()?;
    for reason in FlowReason::ALL {
        let Some(outcome) = reason.outcome() else {
            continue;
        };
        let labels = [("outcome", outcome.as_str()), ("reason", reason.as_str())];
        let exported = metrics.value("weir_flows_total", &labels).unwrap_or(0.0);
        let counted = counters.of(reason);
        if exported.to_string() != counted.to_string() {
            let reason = reason.as_str();
            return Ok(Some(format!(
                "{reason}: {exported} exported, {counted} counted"
            )));
        }
    }
    Ok(None)
}
