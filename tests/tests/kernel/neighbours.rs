//! Pods side by side, and everything outside of them.

use anyhow::Result;
use weir_common::FlowReason;
use weir_tests::pod::place::Container;
use weir_tests::pod::said::{BY_PROXY, BY_SERVER, Dialled, NOWHERE, Storm};
use weir_tests::pod::{APPLICATION_USER, Pod};

/// So few that both pods use the same source ports towards the same proxy ports,
/// over and over.
const FEW_PORTS: &str = "40000 40015";
const COUNT: u64 = 5_000;

#[test]
fn two_pods_with_the_same_source_ports_are_not_mixed_up() -> Result<()> {
    let pods = [Pod::captured("")?, Pod::captured("")?];
    let mut proxies = Vec::new();
    let mut storms = Vec::new();
    for pod in &pods {
        pod.set("ipv4/ip_local_port_range", FEW_PORTS)?;
        proxies.push(pod.thin_proxy(&[])?);
    }
    let count = format!("--count={COUNT}");
    for pod in &pods {
        let words = ["storm", &count, "--threads=4", "--binds=20"];
        storms.push(pod.begin(Container::Application, APPLICATION_USER, &words)?);
    }
    for (pod, storm) in pods.iter().zip(storms) {
        let storm: Storm = storm.finish()?;
        storm.all_answered(BY_PROXY, COUNT)?;
        assert_eq!(pod.counters()?.of(FlowReason::Redirected), COUNT);
        pod.attached()?.no_handshakes()?;
    }
    Ok(())
}

#[test]
fn two_networks_of_one_pod_with_the_same_source_ports_are_not_mixed_up() -> Result<()> {
    // One set of programs and maps, two networks with a proxy in each.
    let one = Pod::captured("")?;
    let other = one.another_network()?;
    let networks = [&one, &other];
    let count = format!("--count={COUNT}");
    let mut proxies = Vec::new();
    let mut storms = Vec::new();
    for network in networks {
        network.set("ipv4/ip_local_port_range", FEW_PORTS)?;
        proxies.push(network.thin_proxy(&[])?);
    }
    for network in networks {
        let words = ["storm", &count, "--threads=4", "--binds=20"];
        storms.push(network.begin(Container::Application, APPLICATION_USER, &words)?);
    }
    for storm in storms {
        let storm: Storm = storm.finish()?;
        storm.all_answered(BY_PROXY, COUNT)?;
    }
    one.attached()?.no_handshakes()
}

#[test]
fn a_network_without_a_proxy_is_closed_whatever_another_has() -> Result<()> {
    let one = Pod::captured("")?;
    let other = one.another_network()?;
    let _proxy = one.thin_proxy(&[])?;
    let to = "203.0.113.9:443";
    let _server = other.serve(&[to])?;
    let dialled: Vec<Dialled> = other.application(&["dial", to])?;
    assert_eq!(dialled[0].outcome, "connect ECONNREFUSED");
    Ok(())
}

#[test]
fn what_one_pod_claims_is_nothing_to_another() -> Result<()> {
    let (one, other) = (Pod::captured("")?, Pod::captured("")?);
    let token = one.capture_state()?.token;
    let outcome: String = other.application(&["claim", &token])?;
    assert_eq!(outcome, "EPERM");
    let outcome: String = one.application(&["claim", &token])?;
    assert_eq!(outcome, "0");
    Ok(())
}

#[test]
fn processes_outside_of_the_pods_cgroup_are_left_alone() -> Result<()> {
    let pod = Pod::captured("")?;
    let to = "203.0.113.9:443";
    let _server = pod.serve(&[to])?;
    let _proxy = pod.thin_proxy(&[])?;
    let dialled: Vec<Dialled> = pod.act(Container::Outside, APPLICATION_USER, &["dial", to])?;
    assert_eq!(dialled[0].outcome, format!("{BY_SERVER} {to}"));
    assert_eq!(pod.counters()?.of(FlowReason::Redirected), 0);
    Ok(())
}

#[test]
fn a_connection_to_the_proxys_own_port_has_no_destination() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.thin_proxy(&[])?;
    let to = format!("127.0.0.1:{}", pod.capture_state()?.listen_port);
    for container in [Container::Application, Container::Outside] {
        let dialled: Vec<Dialled> = pod.act(container, APPLICATION_USER, &["dial", &to])?;
        assert_eq!(dialled[0].outcome, format!("{BY_PROXY} {NOWHERE}"));
    }
    let seen: weir_tests::pod::said::ThinProxy = proxy.finish()?;
    assert_eq!((seen.connections, seen.without_flow), (2, 2), "{seen:?}");
    Ok(())
}
