//! Each connection is handed over with its own destination: under reuse of source
//! ports, when connections fail, and when ports are scarce.

use std::fs;

use anyhow::{Context, Result};
use weir_common::FlowReason;
use weir_tests::output::eventually;
use weir_tests::pod::place::Container;
use weir_tests::pod::said::{BY_PROXY, BY_SERVER, Dialled, Storm, ThinProxy};
use weir_tests::pod::{APPLICATION_USER, Pod};
use weir_tests::processes::status_field;

/// Connections of the large test, unless `WEIR_TEST_CONNECTIONS` says otherwise.
const CONNECTIONS: u64 = 100_000;
/// The state of a half-open connection in `/proc/net/tcp`.
const SYN_RECV: &str = "03";
/// So few source ports that each is used thousands of times.
const FEW_PORTS: &str = "40000 40023";
const FEW: u64 = 24;

fn connections() -> Result<u64> {
    match std::env::var("WEIR_TEST_CONNECTIONS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("WEIR_TEST_CONNECTIONS is {text:?}")),
        Err(_) => Ok(CONNECTIONS),
    }
}

#[test]
fn very_many_connections_over_few_source_ports_keep_their_destinations() -> Result<()> {
    let count = connections()?;
    let pod = Pod::captured("")?;
    pod.set("ipv4/ip_local_port_range", FEW_PORTS)?;
    let proxy = pod.thin_proxy(&[])?;
    let before = pod.counters()?;
    let count_option = format!("--count={count}");
    let storm: Storm = pod.application(&["storm", &count_option, "--aborts=5", "--binds=20"])?;
    storm.all_answered(BY_PROXY, count)?;
    assert!(storm.source_ports <= FEW, "{storm:?}");

    pod.attached()?.no_handshakes()?;
    let seen: ThinProxy = proxy.finish()?;
    // Those that were given up at once may never have been accepted.
    assert!(seen.connections >= count - storm.aborted, "{seen:?}");
    // A client that leaves takes its flow with it, also when the handshake's last
    // packet is still on its way: what is accepted then is closed already.
    assert!(seen.without_flow <= storm.aborted, "{seen:?} {storm:?}");
    assert_eq!(seen.disagreeing, 0, "{seen:?}");
    let after = pod.counters()?;
    assert_eq!(after.since(&before, FlowReason::Redirected), count);
    assert_eq!(after.since(&before, FlowReason::HandshakeFull), 0);
    assert_eq!(after.since(&before, FlowReason::StorageFailed), 0);
    Ok(())
}

#[test]
fn with_cookies_instead_of_a_backlog_destinations_are_kept_too() -> Result<()> {
    let pod = Pod::captured("")?;
    pod.set("ipv4/ip_local_port_range", FEW_PORTS)?;
    // Every handshake is answered without remembering it.
    pod.set("ipv4/tcp_syncookies", "2")?;
    let _proxy = pod.thin_proxy(&[])?;
    let storm: Storm = pod.application(&["storm", "--count=3000", "--binds=20"])?;
    storm.all_answered(BY_PROXY, 3000)?;
    pod.attached()?.no_handshakes()
}

#[test]
fn a_flood_of_handshakes_is_bounded_and_passes() -> Result<()> {
    const FLOODS: usize = 6;
    let pod = Pod::captured("")?;
    let proxy = pod.thin_proxy(&["--answer=nothing", "--backlog=0"])?;
    let attached = pod.attached()?;
    let before = attached.counters()?;
    let bound = attached.handshakes_max()?;
    // In several processes: each may have some thousand descriptors.
    let count = format!("--count={}", bound / (FLOODS - 1));
    let words = ["flood", &count, "203.0.113.9:443", "203.0.113.10:443"];
    let floods: Vec<_> = (0..FLOODS)
        .map(|_| pod.stay(Container::Application, APPLICATION_USER, &words))
        .collect::<Result<_>>()?;
    let full = attached.counters()?;
    assert!(
        full.since(&before, FlowReason::HandshakeFull) > 0,
        "{full:?}"
    );
    assert!(attached.handshakes()?.len() <= bound);
    drop(floods);
    attached.no_handshakes()?;
    proxy.kill()?;
    let _proxy = pod.thin_proxy(&[])?;
    let storm: Storm = pod.application(&["storm", "--count=100"])?;
    storm.all_answered(BY_PROXY, 100)
}

#[test]
fn a_proxy_that_remembers_by_source_port_is_caught() -> Result<()> {
    let pod = Pod::captured("")?;
    pod.set("ipv4/ip_local_port_range", FEW_PORTS)?;
    let _proxy = pod.thin_proxy(&["--answer=first-of-port"])?;
    let storm: Storm = pod.application(&["storm", "--count=5000"])?;
    assert!(storm.wrong > 0, "{storm:?}");
    Ok(())
}

#[test]
fn the_proxys_memory_does_not_grow_with_connections() -> Result<()> {
    const GROWTH_MAX_KIB: i64 = 8 * 1024;
    let count = connections()? / 20;
    let pod = Pod::captured("")?;
    let proxy = pod.proxy()?;
    let _servers = pod.serve_the_world()?;
    let resident = || -> Result<i64> {
        let text = status_field(proxy.pid(), "VmRSS").context("the proxy has ended")?;
        Ok(text.trim_end_matches(" kB").trim().parse()?)
    };
    let count_option = format!("--count={count}");
    let mut after = Vec::new();
    for _round in 0..3 {
        let storm: Storm = pod.application(&["storm", &count_option])?;
        storm.all_answered(BY_SERVER, count)?;
        after.push(resident()?);
    }
    // The first round fills caches and pools.
    let growth = after[2] - after[1];
    assert!(growth < GROWTH_MAX_KIB, "KiB after each round: {after:?}");
    Ok(())
}

#[test]
fn four_hundred_destinations_fit_into_two_hundred_source_ports() -> Result<()> {
    let pod = Pod::captured("")?;
    pod.set("ipv4/ip_local_port_range", "40000 40199")?;
    let _proxy = pod.thin_proxy(&["--after=echo"])?;
    let destinations: Vec<String> = (1..=200)
        .flat_map(|host| [443, 80].map(|port| format!("203.0.113.{host}:{port}")))
        .collect();
    let mut words = vec!["dial", "--together"];
    words.extend(destinations.iter().map(String::as_str));
    let dialled: Vec<Dialled> = pod.application(&words)?;
    for (destination, dialled) in destinations.iter().zip(&dialled) {
        assert_eq!(dialled.outcome, format!("{BY_PROXY} {destination}"));
    }
    assert_eq!(dialled.len(), 400);
    Ok(())
}

#[test]
fn connections_that_nobody_accepts_leave_nothing_when_they_are_given_up() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&["--answer=nothing", "--backlog=0"])?;
    let destinations: Vec<String> = (1..=100)
        .map(|host| format!("203.0.113.{host}:443"))
        .collect();
    let clients: Vec<_> = destinations
        .chunks(2)
        .map(|pair| {
            let mut words = vec!["dial", "--silent", "--together"];
            words.extend(pair.iter().map(String::as_str));
            pod.begin(Container::Application, APPLICATION_USER, &words)
        })
        .collect::<Result<_>>()?;
    let attached = pod.attached()?;
    eventually("clients wait in the middle of a handshake", || {
        attached.handshakes().is_ok_and(|there| !there.is_empty())
    })?;
    drop(clients);
    attached.no_handshakes()
}

#[test]
fn connections_given_up_in_their_handshake_are_gone_at_the_proxy_too() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&[])?;
    let answered = || -> Result<usize> {
        let read = || -> std::io::Result<String> {
            let four = fs::read_to_string("/proc/thread-self/net/tcp")?;
            Ok(four + &fs::read_to_string("/proc/thread-self/net/tcp6")?)
        };
        let table = pod.namespace.inside(read)??;
        let half_open = |line: &&str| line.split_whitespace().nth(3) == Some(SYN_RECV);
        Ok(table.lines().filter(half_open).count())
    };
    let words = [
        "flood",
        "--deaf",
        "--count=30",
        "203.0.113.9:443",
        "[2001:db8::9]:443",
        "[::ffff:203.0.113.9]:443",
    ];
    // As root, because some kernels let nobody else attach a filter to a socket.
    let clients = pod.stay(Container::Application, 0, &words)?;
    assert_eq!(answered()?, 30);
    drop(clients);
    // The proxy's kernel says it again after a second, and is told that nobody is
    // there. Otherwise it goes on for a minute, in which a client that gets the
    // same port is not heard.
    eventually("no handshake is half open", || {
        answered().is_ok_and(|half_open| half_open == 0)
    })
    .with_context(|| format!("{:?} are", answered()))?;
    pod.attached()?.no_handshakes()
}

#[test]
fn refused_connections_leave_nothing() -> Result<()> {
    let pod = Pod::captured("")?;
    // The proxy is there while they begin, and goes while they go on.
    let proxy = pod.thin_proxy(&[])?;
    let storm = pod.begin(Container::Application, APPLICATION_USER, &["storm"])?;
    let before = pod.counters()?;
    eventually("the storm is under way", || {
        pod.counters()
            .is_ok_and(|now| now.since(&before, FlowReason::Redirected) > 100)
    })?;
    proxy.kill()?;
    eventually("connections are refused", || {
        pod.counters()
            .is_ok_and(|now| now.since(&before, FlowReason::ProxyDownClosed) > 100)
    })?;
    let storm: Storm = storm.finish()?;
    assert_eq!(storm.wrong, 0, "{storm:?}");
    pod.attached()?.no_handshakes()
}
