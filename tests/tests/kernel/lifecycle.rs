//! From `weir init` to nothing: attached once, replaced in place, detached, and
//! gone with the cgroup.

use std::collections::BTreeMap;

use anyhow::Result;
use weir_common::{FlowReason, map, program};
use weir_tests::output::eventually;
use weir_tests::pod::place::Container;
use weir_tests::pod::said::{BY_PROXY, BY_SERVER, Dialled, Held, Storm};
use weir_tests::pod::{APPLICATION_USER, Pod, program as built};

/// What weir attaches.
const PROGRAMS: [&str; 9] = [
    program::CONNECT4,
    program::CONNECT6,
    program::GETSOCKOPT,
    program::PEERNAME4,
    program::PEERNAME6,
    program::SENDMSG4,
    program::SENDMSG6,
    program::SETSOCKOPT,
    program::SOCK_OPS,
];
/// Streams that are open during an upgrade.
const STREAMS: &str = "--streams=1000";
/// How often it is upgraded meanwhile.
const UPGRADES: usize = 5;
const TO: &str = "203.0.113.9:443";

fn dial(pod: &Pod) -> Result<String> {
    let mut dialled: Vec<Dialled> = pod.application(&["dial", TO])?;
    Ok(dialled.remove(0).outcome)
}

#[test]
fn init_attaches_nine_programs_by_their_names() -> Result<()> {
    let pod = Pod::captured("")?;
    let attached = pod.attached()?;
    let mut names: Vec<&str> = attached.programs.values().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, PROGRAMS);
    assert_eq!(attached.attachments, PROGRAMS.len());
    for name in [
        map::SETTINGS,
        map::EXEMPT,
        map::FLOW,
        map::HANDSHAKE,
        map::COUNTERS,
        map::LOCAL,
        map::DEPOSIT,
        map::EVENTS,
    ] {
        let there = attached.maps.values().filter(|it| *it == name);
        assert_eq!(there.count(), 1, "{name} in {attached:?}");
    }
    Ok(())
}

#[test]
fn init_again_replaces_the_programs_and_keeps_what_they_know() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.thin_proxy(&[])?;
    assert_eq!(dial(&pod)?, format!("{BY_PROXY} {TO}"));
    let (first, counted) = (pod.attached()?, pod.counters()?);
    let token = pod.capture_state()?.token;
    pod.init(&[])?;
    let second = pod.attached()?;
    assert_eq!(second.attachments, PROGRAMS.len(), "{second:?}");
    assert!(
        first
            .programs
            .keys()
            .all(|id| !second.programs.contains_key(id)),
        "{first:?} {second:?}"
    );
    let named = |maps: &BTreeMap<u32, String>| -> BTreeMap<u32, String> {
        let ours = maps.iter().filter(|(_, name)| name.starts_with("WEIR_"));
        ours.map(|(id, name)| (*id, name.clone())).collect()
    };
    assert_eq!(named(&first.maps), named(&second.maps));
    assert_eq!(pod.counters()?, counted);
    // The proxy that is there has claimed with it.
    assert_eq!(pod.capture_state()?.token, token);
    assert_eq!(dial(&pod)?, format!("{BY_PROXY} {TO}"));
    drop(proxy);
    Ok(())
}

#[test]
fn init_again_takes_a_new_configuration() -> Result<()> {
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    assert_eq!(dial(&pod)?, "connect ECONNREFUSED");
    pod.configure("capture: {on_proxy_down: open}")?;
    pod.init(&[])?;
    assert_eq!(dial(&pod)?, format!("{BY_SERVER} {TO}"));
    Ok(())
}

#[test]
fn an_upgrade_harms_no_stream_and_misses_no_connection() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&["--after=echo"])?;
    // A connection that is not intercepted would be refused: nobody is there.
    let words = ["hold", STREAMS, TO, "[2001:db8::9]:443", "203.0.113.10:80"];
    let held = pod.stay(Container::Application, APPLICATION_USER, &words)?;
    let words = ["storm", "--leave", "--threads=2", "--pause-us=200"];
    let storm = pod.stay(Container::Application, APPLICATION_USER, &words)?;
    let before = pod.counters()?;
    let mut programs = pod.attached()?.programs;
    for _upgrade in 0..UPGRADES {
        let already = pod.counters()?;
        pod.init(&[])?;
        let now = pod.attached()?.programs;
        assert!(now.keys().all(|id| !programs.contains_key(id)), "{now:?}");
        programs = now;
        eventually("connections go on", || {
            pod.counters()
                .is_ok_and(|now| now.since(&already, FlowReason::Redirected) > 50)
        })?;
    }
    let storm: Storm = storm.finish()?;
    let held: Held = held.finish()?;
    assert_eq!(held.failures, Vec::<String>::new());
    assert_eq!(held.streams, 1000);
    assert!(held.rounds > 1, "{held:?}");
    assert!(storm.nothing_else(), "{storm:?}");
    let who: Vec<&String> = storm.answered.keys().collect();
    assert_eq!(who, [BY_PROXY], "{storm:?}");
    let after = pod.counters()?;
    let redirected = after.since(&before, FlowReason::Redirected);
    assert!(redirected > 0);
    for reason in [FlowReason::NotConfigured, FlowReason::ProxyDownClosed] {
        assert_eq!(after.since(&before, reason), 0, "{}", reason.as_str());
    }
    Ok(())
}

#[test]
fn detached_the_pod_is_as_it_was() -> Result<()> {
    let pod = Pod::captured("")?;
    let _server = pod.serve(&[TO])?;
    let attached = pod.attached()?;
    assert_eq!(dial(&pod)?, "connect ECONNREFUSED");
    pod.detach()?;
    assert_eq!(pod.attached()?.attachments, 0);
    assert_eq!(dial(&pod)?, format!("{BY_SERVER} {TO}"));
    attached.gone()?;
    // There is nothing to do, and nothing wrong with that.
    pod.detach()
}

#[test]
fn an_open_connection_outlives_detaching() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&["--after=echo"])?;
    let words = ["hold", "--streams=10", TO];
    let held = pod.stay(Container::Application, APPLICATION_USER, &words)?;
    let attached = pod.attached()?;
    pod.detach()?;
    attached.gone()?;
    let held: Held = held.finish()?;
    // Bytes go on; who asks for the peer is told the proxy's address again.
    let broken: Vec<&String> = held
        .failures
        .iter()
        .filter(|failure| !failure.contains("the peer is 127.0.0.1:"))
        .collect();
    assert_eq!(broken, Vec::<&String>::new());
    Ok(())
}

#[test]
fn with_the_cgroup_everything_in_the_kernel_is_gone() -> Result<()> {
    let pod = Pod::captured("")?;
    let proxy = pod.proxy()?;
    let _server = pod.serve(&[TO])?;
    assert_eq!(dial(&pod)?, format!("{BY_SERVER} {TO}"));
    let attached = pod.attached()?;
    assert!(!attached.maps.is_empty(), "{attached:?}");
    drop(proxy);
    pod.remove()?;
    attached.gone()
}

/// `weir init` as root with these capabilities and no other: whether it
/// succeeded, and what it said.
fn init_with(pod: &Pod, capabilities: &[&str]) -> Result<(bool, String)> {
    let numbers = capabilities.iter().map(|name| number(name).to_string());
    let numbers = numbers.collect::<Vec<_>>().join(",");
    let actor = built("weir-actor")?.into_os_string();
    let mut words = vec![actor, "enter".into()];
    words.push(format!("--capabilities={numbers}").into());
    words.push("--".into());
    words.push(built("weir")?.into_os_string());
    words.extend(pod.init_command(&[]));
    let mut init = pod.start(Container::Outside, 0, &words)?;
    let succeeded = init.wait()?.success();
    Ok((succeeded, init.complaints()?))
}

/// From linux/capability.h.
fn number(capability: &str) -> u32 {
    match capability {
        "CAP_CHOWN" => 0,
        "CAP_NET_ADMIN" => 12,
        "CAP_SYS_ADMIN" => 21,
        "CAP_SYS_RESOURCE" => 24,
        "CAP_PERFMON" => 38,
        "CAP_BPF" => 39,
        other => panic!("{other} is none that weir uses"),
    }
}

/// What the first `weir init` on a cgroup needs: to load, to attach, and to give
/// the secret to the proxy's user.
fn needed() -> Result<Vec<&'static str>> {
    let mut needed = vec!["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_CHOWN"];
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut parts = release.split(['.', '-']).map(str::parse::<u32>);
    // Before 5.11 memory for programs is bounded by RLIMIT_MEMLOCK.
    if let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next())
        && (major, minor) < (5, 11)
    {
        needed.push("CAP_SYS_RESOURCE");
    }
    Ok(needed)
}

#[test]
fn init_needs_few_capabilities() -> Result<()> {
    let pod = Pod::new()?;
    let (succeeded, said) = init_with(&pod, &needed()?)?;
    assert!(succeeded, "{said}");
    assert_eq!(pod.attached()?.attachments, PROGRAMS.len());
    Ok(())
}

#[test]
fn init_says_which_capability_is_missing() -> Result<()> {
    let pod = Pod::new()?;
    let needed = needed()?;
    for missing in &needed {
        let others: Vec<&str> = needed.iter().copied().filter(|it| it != missing).collect();
        let (succeeded, said) = init_with(&pod, &others)?;
        assert!(
            !succeeded && said.contains(missing),
            "without {missing}: {said}"
        );
        assert_eq!(pod.attached()?.attachments, 0, "without {missing}");
    }
    Ok(())
}

#[test]
fn init_again_needs_one_capability_more_and_says_so() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut capabilities = needed()?;
    let before = pod.attached()?;
    let (succeeded, said) = init_with(&pod, &capabilities)?;
    assert!(!succeeded && said.contains("CAP_SYS_ADMIN"), "{said}");
    assert_eq!(pod.attached()?, before);
    capabilities.push("CAP_SYS_ADMIN");
    let (succeeded, said) = init_with(&pod, &capabilities)?;
    assert!(succeeded, "{said}");
    assert_eq!(pod.attached()?.attachments, PROGRAMS.len());
    Ok(())
}

#[test]
fn init_refuses_what_is_no_cgroup() -> Result<()> {
    let pod = Pod::new()?;
    let state = pod.path("state").into_os_string();
    for (cgroup, expected) in [("/proc", "cgroup"), ("/no/such/place", "/no/such/place")] {
        let words = ["init".as_ref(), "--cgroup".as_ref(), cgroup.as_ref()];
        let options = ["--state".as_ref(), state.as_os_str()];
        let refused = pod.weir(&[&words[..], &options].concat())?;
        let said = String::from_utf8(refused.stderr)?;
        assert!(!refused.status.success(), "{cgroup}: {said}");
        assert!(said.contains(expected), "{cgroup}: {said}");
    }
    assert!(!pod.path("state/capture.json").exists());
    Ok(())
}
