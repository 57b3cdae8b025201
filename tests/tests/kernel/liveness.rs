//! The proxy dies under load: traffic is left in the state that was chosen, and
//! comes back with the proxy.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use weir_common::FlowReason;
use weir_tests::output::eventually;
use weir_tests::pod::place::Container;
use weir_tests::pod::running::Running;
use weir_tests::pod::said::{Attempt, BY_PROXY, BY_SERVER, Dialled, Storm, now_us};
use weir_tests::pod::{APPLICATION_USER, Pod};

/// How long a refusal may take on a busy machine; a timeout is a hundred times as
/// long.
const AT_ONCE_US: u64 = 500_000;
/// How long after its start a proxy serves again, on a machine on which an actor
/// starts in a twentieth of that. One that is emulated in software is slower.
const BACK_WITHIN_US: u64 = 1_000_000;
const BACK_WITHIN_ACTORS: u64 = 20;
/// Load: four threads, each with some two thousand connections a second at most.
const LOAD: [&str; 4] = ["storm", "--threads=4", "--pause-us=500", "--timeline"];

/// Attempts in a stretch of time that began and ended in it.
fn between(storm: &Storm, from: u64, to: u64) -> Vec<&Attempt> {
    let inside = |it: &&Attempt| it.started_us >= from && it.ended_us <= to;
    storm.timeline.iter().filter(inside).collect()
}

/// Those attempts by outcome.
fn outcomes<'a>(attempts: &[&'a Attempt]) -> BTreeMap<&'a str, usize> {
    let mut outcomes = BTreeMap::new();
    for attempt in attempts {
        *outcomes.entry(attempt.outcome.as_str()).or_default() += 1;
    }
    outcomes
}

fn all_are(attempts: &[&Attempt], outcome: &str) -> Result<()> {
    let seen = outcomes(attempts);
    ensure!(
        seen.len() == 1 && seen.contains_key(outcome),
        "{outcome} was expected, of {} attempts there were {seen:?}",
        attempts.len()
    );
    Ok(())
}

fn load(pod: &Pod) -> Result<Running> {
    let load = pod.stay(Container::Application, APPLICATION_USER, &LOAD)?;
    more(pod, FlowReason::Redirected)?;
    Ok(load)
}

/// Waits until a good many more were counted under this reason.
fn more(pod: &Pod, reason: FlowReason) -> Result<()> {
    let before = pod.counters()?;
    eventually(&format!("more flows are {}", reason.as_str()), || {
        pod.counters()
            .is_ok_and(|now| now.since(&before, reason) > 200)
    })
}

#[test]
fn closed_refuses_every_connection_at_once_until_the_proxy_is_back() -> Result<()> {
    let pod = Pod::captured("")?;
    let begun = now_us();
    let _servers = pod.serve_the_world()?;
    let back_within = BACK_WITHIN_US.max((now_us() - begun) * BACK_WITHIN_ACTORS);
    let proxy = pod.proxy()?;
    let load = load(&pod)?;

    let alive = now_us();
    proxy.kill()?;
    let dead = now_us();
    more(&pod, FlowReason::ProxyDownClosed)?;
    let started = now_us();
    let mut proxy = pod.start_proxy(Container::Proxy)?;
    pod.ready(&mut proxy)?;
    let ready = now_us();
    more(&pod, FlowReason::Redirected)?;
    let storm: Storm = load.finish()?;

    all_are(&between(&storm, 0, alive), BY_SERVER)?;
    let down = between(&storm, dead, started);
    all_are(&down, "connect ECONNREFUSED")?;
    let slowest = down.iter().map(|it| it.connect_us).max();
    assert!(
        slowest < Some(AT_ONCE_US),
        "the slowest took {slowest:?} µs"
    );
    // A proxy that listens and has not claimed yet would show as EPERM.
    let coming = between(&storm, started, ready);
    let seen = outcomes(&coming);
    let expected = ["connect ECONNREFUSED", BY_SERVER];
    assert!(seen.keys().all(|it| expected.contains(it)), "{seen:?}");
    all_are(&between(&storm, ready, u64::MAX), BY_SERVER)?;
    let back = storm.timeline.iter().filter(|it| it.outcome == BY_SERVER);
    let first = back
        .map(|it| it.started_us)
        .filter(|at| *at >= started)
        .min();
    let took = first.map(|first| first - started);
    assert!(
        took.is_some_and(|took| took < back_within),
        "back after {took:?} µs, ready after {} µs",
        ready - started
    );
    Ok(())
}

#[test]
fn open_lets_every_connection_go_direct_until_the_proxy_is_back() -> Result<()> {
    let pod = Pod::captured("capture: {on_proxy_down: open}")?;
    let _servers = pod.serve_the_world()?;
    // The thin one, because its answers say that it was there.
    let proxy = pod.thin_proxy(&[])?;
    let load = load(&pod)?;
    let before = pod.counters()?;

    let alive = now_us();
    proxy.kill()?;
    let dead = now_us();
    more(&pod, FlowReason::ProxyDownOpen)?;
    let started = now_us();
    let _proxy = pod.thin_proxy(&[])?;
    let ready = now_us();
    more(&pod, FlowReason::Redirected)?;
    let storm: Storm = load.finish()?;

    all_are(&between(&storm, 0, alive), BY_PROXY)?;
    all_are(&between(&storm, dead, started), BY_SERVER)?;
    let seen = outcomes(&between(&storm, started, ready));
    let expected = [BY_PROXY, BY_SERVER];
    assert!(seen.keys().all(|it| expected.contains(it)), "{seen:?}");
    all_are(&between(&storm, ready, u64::MAX), BY_PROXY)?;
    assert_eq!((storm.wrong, storm.lost), (0, 0));
    let direct = storm.answered.get(BY_SERVER).copied();
    let counted = pod.counters()?.since(&before, FlowReason::ProxyDownOpen);
    assert_eq!(direct, Some(counted));
    Ok(())
}

#[test]
fn a_proxy_told_to_end_finishes_its_connections_and_ends_well() -> Result<()> {
    use nix::sys::signal::Signal;
    let pod = Pod::captured("")?;
    let _servers = pod.serve_the_world()?;
    // The servers have sockets in this network, too.
    let mut proxy = pod.proxy_with(&["--drain-idle=0s"])?;
    let dialled: Vec<Dialled> = pod.application(&["dial", "203.0.113.9:443"])?;
    assert_eq!(dialled[0].outcome, format!("{BY_SERVER} 203.0.113.9:443"));
    proxy.signal(Signal::SIGTERM)?;
    assert!(proxy.wait()?.success(), "{proxy:?}");
    let dialled: Vec<Dialled> = pod.application(&["dial", "203.0.113.9:443"])?;
    assert_eq!(dialled[0].outcome, "connect ECONNREFUSED");
    Ok(())
}

#[test]
fn the_applications_metadata_service_works_while_the_proxy_is_down() -> Result<()> {
    let pod = Pod::captured("")?;
    let dialled: Vec<Dialled> = pod.application(&["dial", "127.0.0.1:8080"])?;
    // Nobody is there; what matters is that no program said so.
    assert_eq!(dialled[0].outcome, "connect ECONNREFUSED");
    let counted = pod.counters()?;
    assert_eq!(counted.of(FlowReason::ProxyDownClosed), 0);
    assert_eq!(counted.of(FlowReason::Loopback), 1);
    Ok(())
}
