//! The proxy as a sidecar: restarted beside applications that go on, and told to
//! end before they have.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use weir_common::FlowReason;
use weir_tests::output::eventually;
use weir_tests::pod::addresses::{POD4, POD6};
use weir_tests::pod::place::Container;
use weir_tests::pod::said::{BY_SERVER, Dialled, Held};
use weir_tests::pod::{APPLICATION_USER, Pod};
use x509_parser::pem::parse_x509_pem;

const TO: &str = "203.0.113.9:443";

/// The name and the key of the authority that is published: what a client that
/// trusts it holds it to.
fn authority(pod: &Pod) -> Result<(String, Vec<u8>)> {
    let pem = fs::read(pod.path("trust/ca.pem"))?;
    let (_, pem) = parse_x509_pem(&pem)?;
    let certificate = pem.parse_x509()?;
    let subject = certificate.subject().to_string();
    let key = certificate.public_key().subject_public_key.data.to_vec();
    ensure!(!key.is_empty(), "no key in {subject}");
    Ok((subject, key))
}

fn dial(pod: &Pod) -> Result<String> {
    let mut dialled: Vec<Dialled> = pod.application(&["dial", TO])?;
    Ok(dialled.pop().context("nothing was dialled")?.outcome)
}

#[test]
fn a_proxy_that_is_restarted_speaks_for_the_same_authority() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.proxy()?;
    let first = authority(&pod)?;
    proxy.kill()?;
    let proxy = pod.proxy()?;
    assert_eq!(authority(&pod)?, first);
    // Also when the kernel half was replaced in between.
    pod.init(&[])?;
    proxy.kill()?;
    let _proxy = pod.proxy()?;
    assert_eq!(authority(&pod)?, first);
    Ok(())
}

#[test]
fn the_authority_outlives_a_kernel_half_that_was_detached_under_the_proxy() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut proxy = pod.proxy()?;
    let first = authority(&pod)?;
    pod.detach()?;
    eventually("the proxy notices", || {
        pod.get("/readyz").is_ok_and(|ready| ready.status == 503)
    })?;
    pod.init(&[])?;
    pod.ready(&mut proxy)?;
    proxy.kill()?;
    let _proxy = pod.proxy()?;
    assert_eq!(authority(&pod)?, first);
    Ok(())
}

#[test]
fn every_pod_has_an_authority_of_its_own() -> Result<()> {
    let (one, other) = (Pod::captured("")?, Pod::captured("")?);
    let _proxies = [one.proxy()?, other.proxy()?];
    assert_ne!(authority(&one)?.1, authority(&other)?.1);
    Ok(())
}

#[test]
fn without_the_seal_there_is_another_authority_and_the_proxy_says_so() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.proxy()?;
    let first = authority(&pod)?;
    proxy.kill()?;
    fs::remove_file(pod.path("state/capture.json"))?;
    pod.init(&[])?;
    let mut proxy = pod.proxy_with(&["--drain-idle=0s"])?;
    assert_ne!(authority(&pod)?.1, first.1);
    proxy.signal(Signal::SIGTERM)?;
    let said = proxy.complaints()?;
    assert!(said.contains("new certificate authority"), "{said}");
    Ok(())
}

#[test]
fn nobody_else_takes_the_authority_or_leaves_another() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.proxy()?;
    let first = authority(&pod)?;
    for container in [Container::Application, Container::Proxy] {
        let outcome: [String; 2] = pod.act(container, APPLICATION_USER, &["deposit"])?;
        let [taken, left] = outcome;
        // The kernel's own answers to an option that there is not.
        let none = ["ENOPROTOOPT", "EOPNOTSUPP"].contains(&taken.as_str());
        assert!(none, "{container:?}: {taken}");
        assert_eq!(left, "EPERM", "{container:?}");
    }
    proxy.kill()?;
    let _proxy = pod.proxy()?;
    assert_eq!(authority(&pod)?, first);
    Ok(())
}

#[test]
fn probes_reach_the_proxy_at_the_pods_addresses_of_both_versions() -> Result<()> {
    let pod = Pod::captured("")?;
    // As `weir inject` has it.
    let _proxy = pod.proxy_with(&["--admin=[::]:15020"])?;
    for address in [POD4, POD6] {
        let probed = SocketAddr::from((address, 15020)).to_string();
        let ready = pod.get_at(&probed, "/readyz");
        let is_ready = ready.as_ref().is_ok_and(|answer| answer.status == 200);
        ensure!(is_ready, "{probed}: {ready:?}");
    }
    Ok(())
}

#[test]
fn what_is_published_is_for_every_user() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let pod = Pod::captured("")?;
    let _proxy = pod.proxy()?;
    for name in ["ca.pem", "bundle.pem", "extra.pem", "truststore.jks"] {
        let mode = fs::metadata(pod.path("trust").join(name))?
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    // Variables will name the bundle in place of the roots of the application's
    // image, and weir was told of one more.
    let ca = fs::read_to_string(pod.path("ca.pem"))?;
    let (_, pem) = parse_x509_pem(ca.as_bytes())?;
    let bundle = fs::read(pod.path("trust/bundle.pem"))?;
    let trusted = x509_parser::pem::Pem::iter_from_buffer(&bundle)
        .filter_map(Result::ok)
        .any(|trusted| trusted.contents == pem.contents);
    assert!(trusted, "the bundle lacks what tls.upstream_roots names");
    Ok(())
}

#[test]
fn calls_under_way_and_new_ones_are_served_after_sigterm_until_the_last_has_ended() -> Result<()> {
    let pod = Pod::captured("")?;
    let _servers = pod.serve(&["--echo", TO])?;
    // The server has a socket in this network, too.
    let mut proxy = pod.proxy_with(&["--drain-idle=0s", "--drain=1h"])?;
    let words = ["hold", "--streams=1", TO];
    let held = pod.stay(Container::Application, APPLICATION_USER, &words)?;
    let before = pod.counters()?;
    proxy.signal(Signal::SIGTERM)?;
    eventually("the proxy knows", || {
        pod.get("/readyz").is_ok_and(|ready| ready.status == 503)
    })?;
    for _call in 0..3 {
        assert_eq!(dial(&pod)?, format!("{BY_SERVER} {TO}"));
    }
    let after = pod.counters()?;
    assert_eq!(after.since(&before, FlowReason::Redirected), 3);
    assert!(!proxy.has_ended()?, "{proxy:?}");
    let held: Held = held.finish()?;
    assert_eq!(held.failures, Vec::<String>::new());
    assert!(proxy.wait()?.success(), "{proxy:?}");
    assert_eq!(dial(&pod)?, "connect ECONNREFUSED");
    Ok(())
}

#[test]
fn the_proxy_stays_while_the_application_has_a_socket() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut proxy = pod.proxy_with(&["--drain-idle=1ms", "--drain=1h"])?;
    // What waits for calls of others, and will then make some of its own.
    let words = ["serve", "10.1.2.3:8080"];
    let application = pod.stay(Container::Application, APPLICATION_USER, &words)?;
    proxy.signal(Signal::SIGTERM)?;
    eventually("the proxy knows", || {
        pod.get("/readyz").is_ok_and(|ready| ready.status == 503)
    })?;
    let server = pod.serve(&[TO])?;
    assert_eq!(dial(&pod)?, format!("{BY_SERVER} {TO}"));
    assert!(!proxy.has_ended()?, "{proxy:?}");
    drop((application, server));
    assert!(proxy.wait()?.success(), "{proxy:?}");
    Ok(())
}

#[test]
fn the_drain_has_an_end_and_a_second_signal_is_obeyed_at_once() -> Result<()> {
    let pod = Pod::captured("")?;
    let _servers = pod.serve(&["--echo", TO])?;
    let words = ["hold", "--streams=1", TO];
    for (drain, signals) in [("--drain=0s", 1), ("--drain=1h", 2)] {
        let mut proxy = pod.proxy_with(&[drain])?;
        let _held = pod.stay(Container::Application, APPLICATION_USER, &words)?;
        proxy.signal(Signal::SIGTERM)?;
        if signals > 1 {
            eventually("the proxy knows", || {
                pod.get("/readyz").is_ok_and(|ready| ready.status == 503)
            })?;
            proxy.signal(Signal::SIGTERM)?;
        }
        assert!(proxy.wait()?.success(), "{proxy:?}");
    }
    Ok(())
}
