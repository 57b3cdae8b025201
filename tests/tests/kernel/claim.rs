//! Who the proxy is, and who is not.

use anyhow::{Context, Result};
use weir_common::FlowReason;
use weir_tests::pod::place::Container;
use weir_tests::pod::said::{BY_PROXY, BY_SERVER, Dialled};
use weir_tests::pod::{APPLICATION_USER, PROXY_USER, Pod};
use weir_tests::processes::{look, status_field};

const TO: &str = "203.0.113.9:443";

fn dial(pod: &Pod, container: Container, user: u32) -> Result<String> {
    let dialled: Vec<Dialled> = pod.act(container, user, &["dial", TO])?;
    let [only] = dialled
        .try_into()
        .map_err(|all| anyhow::anyhow!("{all:?}"))?;
    Ok(only.outcome)
}

fn direct() -> String {
    format!("{BY_SERVER} {TO}")
}

fn captured() -> String {
    format!("{BY_PROXY} {TO}")
}

#[test]
fn a_wrong_token_is_refused_and_counted() -> Result<()> {
    let pod = Pod::captured("")?;
    let right = pod.capture_state()?.token;
    let before = pod.counters()?;
    // All of it counts, also the last byte.
    let last = if right.ends_with('0') { '1' } else { '0' };
    let almost = format!("{}{last}", &right[..31]);
    let wrong = [
        &"00".repeat(16),
        &almost,
        &right[..30],
        &format!("{right}00"),
    ];
    for token in wrong {
        let outcome: String = pod.application(&["claim", token])?;
        assert_eq!(outcome, "EPERM", "{token} instead of {right}");
    }
    let after = pod.counters()?;
    assert_eq!(after.since(&before, FlowReason::ClaimRefused), 4);
    assert_eq!(after.since(&before, FlowReason::Claimed), 0);
    let _server = pod.serve(&[TO])?;
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        "connect ECONNREFUSED",
        "a refused claim exempts nobody"
    );
    Ok(())
}

#[test]
fn the_right_token_exempts_the_cgroup_of_a_user_without_privileges() -> Result<()> {
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    assert_eq!(
        dial(&pod, Container::Proxy, PROXY_USER)?,
        "connect ECONNREFUSED",
        "before a claim, the proxy's cgroup is one like any other"
    );
    let before = pod.counters()?;
    let proxy = pod.thin_proxy(&[])?;
    let ids = status_field(proxy.pid(), "Uid").context("the proxy has ended")?;
    assert!(ids.starts_with(&PROXY_USER.to_string()), "{ids}");
    let capabilities = status_field(proxy.pid(), "CapEff").context("the proxy has ended")?;
    assert_eq!(u64::from_str_radix(&capabilities, 16)?, 0);
    assert_eq!(dial(&pod, Container::Proxy, PROXY_USER)?, direct());
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        captured()
    );
    // By its cgroup, not by its user.
    assert_eq!(dial(&pod, Container::Application, PROXY_USER)?, captured());
    let after = pod.counters()?;
    let claimed = 2 * u64::from(pod.capture_state()?.listen_count);
    assert_eq!(after.since(&before, FlowReason::Claimed), claimed);
    assert_eq!(after.since(&before, FlowReason::Exempt), 1);
    Ok(())
}

#[test]
fn only_a_cgroup_that_has_claimed_may_read_the_counters() -> Result<()> {
    type Answer = Result<Vec<u64>, String>;
    let pod = Pod::captured("")?;
    let counters = |container, user| pod.act::<Answer>(container, user, &["counters"]);
    assert!(counters(Container::Proxy, PROXY_USER)?.is_err());
    let _proxy = pod.thin_proxy(&[])?;
    let answer = counters(Container::Proxy, PROXY_USER)?;
    let map = pod.counters()?;
    let expected = FlowReason::ALL.map(|reason| map.of(reason)).to_vec();
    assert_eq!(answer, Ok(expected));
    assert!(counters(Container::Application, PROXY_USER)?.is_err());
    Ok(())
}

#[test]
fn a_listener_that_has_not_claimed_gets_no_connection() -> Result<()> {
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    let before = pod.counters()?;
    let squatter = pod.thin_proxy(&["--claim=none"])?;
    for container in [Container::Application, Container::Proxy] {
        assert_eq!(dial(&pod, container, APPLICATION_USER)?, "connect EPERM");
    }
    let after = pod.counters()?;
    assert_eq!(after.since(&before, FlowReason::ListenerUnclaimed), 2);
    assert_eq!(after.since(&before, FlowReason::ProxyDownClosed), 2);
    let seen: weir_tests::pod::said::ThinProxy = squatter.finish()?;
    assert_eq!(seen.connections, 0, "{seen:?}");
    Ok(())
}

#[test]
fn with_open_a_listener_that_has_not_claimed_is_passed_by() -> Result<()> {
    let pod = Pod::captured("capture: {on_proxy_down: open}")?;
    let _server = pod.serve(&[TO])?;
    let _squatter = pod.thin_proxy(&["--claim=none"])?;
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        direct()
    );
    Ok(())
}

#[test]
fn a_claim_of_one_listener_does_not_vouch_for_another() -> Result<()> {
    let pod = Pod::captured("")?;
    let token = pod.capture_state()?.token;
    // Claimed, but not where connections are sent.
    let elsewhere = ["claim", &token, "--listen=127.0.0.1:9999"];
    let _claimant = pod.stay(Container::Proxy, PROXY_USER, &elsewhere)?;
    let _squatter = pod.thin_proxy(&["--claim=none"])?;
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        "connect EPERM"
    );
    Ok(())
}

#[test]
fn a_cgroup_made_anew_claims_anew() -> Result<()> {
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    pod.thin_proxy(&[])?.kill()?;
    // A restarted container has another cgroup of the same name.
    pod.place.renew(Container::Proxy)?;
    assert_eq!(
        dial(&pod, Container::Proxy, PROXY_USER)?,
        "connect ECONNREFUSED"
    );
    let _again = pod.thin_proxy(&[])?;
    assert_eq!(dial(&pod, Container::Proxy, PROXY_USER)?, direct());
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        captured()
    );
    Ok(())
}

#[test]
fn more_restarts_than_the_kernel_keeps_claims_of_do_not_lock_the_proxy_out() -> Result<()> {
    const RESTARTS: u32 = 40;
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    for _restart in 0..RESTARTS {
        pod.place.renew(Container::Proxy)?;
        pod.thin_proxy(&[])?.kill()?;
    }
    let _last = pod.thin_proxy(&[])?;
    assert_eq!(dial(&pod, Container::Proxy, PROXY_USER)?, direct());
    Ok(())
}

#[test]
fn an_exempt_user_is_let_through_and_counted_as_one() -> Result<()> {
    const EXEMPT: u32 = 1234;
    let pod = Pod::new()?;
    pod.init(&["--exempt-uid", &EXEMPT.to_string()])?;
    let _proxy = pod.thin_proxy(&[])?;
    let _server = pod.serve(&[TO])?;
    let before = pod.counters()?;
    assert_eq!(dial(&pod, Container::Application, EXEMPT)?, direct());
    assert_eq!(
        dial(&pod, Container::Application, APPLICATION_USER)?,
        captured()
    );
    let after = pod.counters()?;
    assert_eq!(after.since(&before, FlowReason::ExemptUser), 1);
    assert_eq!(after.since(&before, FlowReason::Redirected), 1);
    Ok(())
}

#[test]
fn root_cannot_be_the_exempt_user() -> Result<()> {
    let pod = Pod::new()?;
    let refused = pod.weir(&pod.init_command(&["--exempt-uid", "0"]))?;
    let said = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("root") && said.contains("uid"), "{said}");
    assert_eq!(pod.attached()?.attachments, 0);
    Ok(())
}

#[test]
fn only_the_proxys_user_may_read_the_secret() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let pod = Pod::captured("")?;
    let state = std::fs::metadata(pod.path("state/capture.json"))?;
    assert_eq!(state.mode() & 0o077, 0, "{:o}", state.mode());
    assert_eq!(state.uid(), PROXY_USER);
    let proxy = pod.thin_proxy(&[])?;
    assert!(look(proxy.pid()).is_some());
    Ok(())
}
