//! The contract with applications: the same system calls, direct and intercepted,
//! come to the same, except for a list that the README gives too.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use weir_tests::pod::Pod;
use weir_tests::pod::running::Running;
use weir_tests::pod::said::{BY_SERVER, Contract, Observed, Storm};

/// Where the cases find servers; on port 80 and on 8444 there are none.
const SERVERS: &[&str] = &[
    "203.0.113.9:443",
    "203.0.113.10:443",
    "203.0.113.9:8443",
    "203.0.113.10:8443",
    "127.0.0.1:443",
    "10.1.2.3:443",
    "198.18.0.9:443",
    "--udp=203.0.113.9:443",
    "--udp=203.0.113.9:53",
    "--udp=127.0.0.1:443",
    "--udp=10.1.2.3:443",
];
/// The same over IPv6.
const SERVERS6: &[&str] = &[
    "[2001:db8::9]:443",
    "[2001:db8::a]:443",
    "[::1]:443",
    "[fd00:1::3]:443",
    "--udp=[2001:db8::9]:443",
    "--udp=[2001:db8::9]:53",
];

/// The heading of the README's list of these.
const HEADING: &str = "### What an application can notice";

/// What may differ, and how the README says that, and why.
struct Difference {
    readme: &'static str,
    cases: &'static [&'static str],
    /// Field, direct, intercepted.
    fields: &'static [(&'static str, &'static str, &'static str)],
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        readme: "**Own address.** `getsockname` names the source of the pod's default route, \
                 also towards destinations that another route gives another source, and still \
                 when the socket is disconnected with `AF_UNSPEC`; loopback over IPv6, or if the \
                 application bound a port and no address.",
        cases: &[
            "IPV6_V6ONLY, IPv6",
            "MPTCP, IPv6",
            "blocking connect, IPv6",
            "io_uring connect, IPv6",
            "non-blocking connect, IPv6",
            "the pod's second address",
            "reconnect after AF_UNSPEC",
            "reconnect after AF_UNSPEC, to loopback",
            "bound to a port, IPv4",
            "bound to a port, IPv6",
        ],
        fields: &[
            ("getsockname", "the pod's second, IPv4", "the pod's, IPv4"),
            (
                "getsockname between",
                "unspecified, IPv4",
                "the pod's, IPv4",
            ),
            ("getsockname", "the pod's, IPv4", "loopback, IPv4"),
            ("getsockname", "the pod's, IPv6", "loopback, IPv6"),
        ],
    },
    Difference {
        readme: REFUSED,
        cases: &[
            "no route",
            "refused, IPv4",
            "refused, IPv6",
            "without IPv6: blocking connect, IPv6",
        ],
        fields: &[
            ("connect", "ECONNREFUSED", "0"),
            ("connect", "EHOSTUNREACH", "0"),
            ("connect", "EADDRNOTAVAIL", "0"),
            ("poll", "POLLOUT POLLHUP", "POLLOUT"),
            ("bytes", "EPIPE", "ECONNRESET"),
            ("getpeername", "ENOTCONN", "198.51.100.7:443"),
            ("getpeername", "ENOTCONN", "203.0.113.9:80"),
            ("getpeername", "ENOTCONN", "[2001:db8::9]:80"),
            ("getpeername", "ENOTCONN", "[2001:db8::9]:443"),
            ("getsockname", "unspecified, IPv4", "the pod's, IPv4"),
            ("getsockname", "unspecified, IPv6", "loopback, IPv6"),
            ("getsockname", "unspecified, IPv6", "loopback, IPv4-mapped"),
        ],
    },
    Difference {
        readme: REFUSED,
        cases: &["refused, non-blocking"],
        fields: &[
            ("poll at first", "POLLIN POLLOUT POLLERR POLLHUP", "POLLOUT"),
            ("second connect", "ECONNREFUSED", "0"),
            ("third connect", "EINPROGRESS", "EISCONN"),
            ("poll", "POLLIN POLLOUT POLLERR POLLHUP", "POLLOUT"),
            ("SO_ERROR", "ECONNREFUSED", "0"),
            ("getpeername", "ENOTCONN", "203.0.113.9:80"),
            ("bytes", "EPIPE", "ECONNRESET"),
        ],
    },
    Difference {
        readme: "**UDP to captured ports.** `connect` and `sendto` fail with `EPERM`, so that \
                 HTTP/3 clients fall back to TCP.",
        cases: &[
            "connected UDP, port 443, IPv4",
            "connected UDP, port 443, IPv4-mapped",
            "connected UDP, port 443, IPv6",
            "unconnected UDP, port 443, IPv4",
            "unconnected UDP, port 443, IPv4-mapped",
            "unconnected UDP, port 443, IPv6",
        ],
        fields: &[
            ("connect", "0", "EPERM"),
            ("sendto", "0", "EPERM"),
            // What follows from that.
            ("getpeername", "203.0.113.9:443", "ENOTCONN"),
            ("getpeername", "[::ffff:203.0.113.9]:443", "ENOTCONN"),
            ("getpeername", "[2001:db8::9]:443", "ENOTCONN"),
            ("getsockname", "the pod's, IPv4", "unspecified, IPv4"),
            ("getsockname", "the pod's, IPv4-mapped", "unspecified, IPv6"),
            ("getsockname", "the pod's, IPv6", "unspecified, IPv6"),
            ("send", "0", "EDESTADDRREQ"),
            ("recv", "server 203.0.113.9:443", "not tried"),
            ("recv", "server [2001:db8::9]:443", "not tried"),
            ("send again", "0", "not tried"),
            ("send again", "EDESTADDRREQ", "not tried"),
        ],
    },
    Difference {
        readme: MPTCP,
        cases: &["MPTCP, IPv4", "MPTCP, IPv6"],
        fields: &[
            ("getpeername", "203.0.113.9:443", PROXY),
            ("getpeername", "[2001:db8::9]:443", PROXY),
        ],
    },
    Difference {
        readme: "**IPv6-only sockets without `::1`.** `connect` fails with `ENETUNREACH`: the \
                 proxy has only an IPv4 address there.",
        cases: &["without IPv6: IPV6_V6ONLY, IPv6"],
        fields: &[("connect", "EADDRNOTAVAIL", "ENETUNREACH")],
    },
    Difference {
        readme: "**weir's own socket options.** A claim without the token fails with `EPERM` \
                 instead of `ENOPROTOOPT`.",
        cases: &["weir's options from the application: claim, canary"],
        fields: &[
            ("claim", "ENOPROTOOPT", "EPERM"),
            ("canary", "ENOPROTOOPT", "EPERM"),
        ],
    },
];

/// One that blocking and non-blocking calls show differently.
const REFUSED: &str = "**Refused and unreachable destinations.** `connect` succeeds, and the \
                       connection is reset when the application sends: the proxy accepts before \
                       it dials.";
/// One that only kernels with MPTCP show.
const MPTCP: &str = "**MPTCP.** `getpeername` names the proxy, because the kernel asks no \
                     program there.";
/// What stands for any of the proxy's addresses: which one is the kernel's choice.
const PROXY: &str = "the proxy's";

/// The difference that covers this one, if it is a known one.
fn known(case: &str, field: &str, direct: &str, intercepted: &str) -> Option<&'static str> {
    let covers = |difference: &&Difference| {
        difference.cases.contains(&case)
            && difference.fields.contains(&(field, direct, intercepted))
    };
    DIFFERENCES.iter().find(covers).map(|known| known.readme)
}

/// Fails on differences that are not known; gives those that were seen.
fn compare(direct: &Contract, intercepted: &Contract) -> Result<BTreeSet<&'static str>> {
    let mut seen = BTreeSet::new();
    let mut unknown = Vec::new();
    let nothing = Observed::new();
    let cases: BTreeSet<_> = direct.keys().chain(intercepted.keys()).collect();
    for case in cases {
        let direct = direct.get(case).unwrap_or(&nothing);
        let intercepted = intercepted.get(case).unwrap_or(&nothing);
        let fields: BTreeSet<_> = direct.keys().chain(intercepted.keys()).collect();
        for field in fields {
            let value = |observed: &Observed| {
                let value = observed.get(field);
                value.map_or_else(|| "(not there)".to_owned(), String::clone)
            };
            let (direct, intercepted) = (value(direct), value(intercepted));
            if direct == intercepted {
                continue;
            }
            match known(case, field, &direct, &intercepted) {
                Some(known) => {
                    seen.insert(known);
                }
                None => unknown.push(format!(
                    "{case}: {field}: direct {direct:?}, intercepted {intercepted:?}"
                )),
            }
        }
    }
    ensure!(
        unknown.is_empty(),
        "differences that are not listed:\n{}",
        unknown.join("\n")
    );
    Ok(seen)
}

/// The lines of the README that a comparison of this direct run has to come to.
fn expected(direct: &Contract) -> BTreeSet<&'static str> {
    let offered = |case: &&str| {
        let observed = direct.get(*case);
        observed.is_some_and(|it| it.get("socket").is_none_or(|made| made == "0"))
    };
    DIFFERENCES
        .iter()
        .filter(|difference| difference.cases.iter().any(offered))
        .map(|difference| difference.readme)
        .collect()
}

/// Runs all cases with servers at the destinations.
fn direct(pod: &Pod, servers: &[&str], options: &[&str]) -> Result<Contract> {
    let _servers: Running = pod.serve(servers)?;
    let words: Vec<&str> = ["contract"].iter().chain(options).copied().collect();
    pod.application(&words)
}

/// The same behind weir's proxy.
fn intercepted(pod: &Pod, servers: &[&str], options: &[&str]) -> Result<Contract> {
    pod.init(&[])?;
    let _proxy = pod.proxy()?;
    let mut contract = direct(pod, servers, options)?;
    let state = pod.capture_state()?;
    let ports = state.listen_port..state.listen_port + state.listen_count;
    let is_the_proxy = |value: &str| {
        let address: Option<SocketAddr> = value.parse().ok();
        address.is_some_and(|at| at.ip().is_loopback() && ports.contains(&at.port()))
    };
    for value in contract.values_mut().flat_map(Observed::values_mut) {
        if is_the_proxy(value) {
            PROXY.clone_into(value);
        }
    }
    Ok(contract)
}

fn all_servers() -> Vec<&'static str> {
    [SERVERS, SERVERS6].concat()
}

#[test]
fn intercepted_system_calls_come_to_what_direct_ones_do() -> Result<()> {
    let direct = direct(&Pod::new()?, &all_servers(), &[])?;
    let intercepted = intercepted(&Pod::new()?, &all_servers(), &[])?;
    assert_eq!(compare(&direct, &intercepted)?, expected(&direct));
    Ok(())
}

#[test]
fn without_ipv6_system_calls_come_to_the_same_too() -> Result<()> {
    let pods = [Pod::new()?, Pod::new()?];
    for pod in &pods {
        pod.set("ipv6/conf/all/disable_ipv6", "1")?;
    }
    let direct = direct(&pods[0], SERVERS, &["--without-ipv6"])?;
    let intercepted = intercepted(&pods[1], SERVERS, &["--without-ipv6"])?;
    assert_eq!(compare(&direct, &intercepted)?, expected(&direct));
    Ok(())
}

#[test]
fn what_the_kernel_offers_is_among_the_cases() -> Result<()> {
    let contract = direct(&Pod::new()?, &all_servers(), &[])?;
    let value = |case: &str, field: &str| {
        let observed = contract.get(case);
        observed.and_then(|observed| observed.get(field).cloned())
    };
    // A case that could not be set up would be the same direct and intercepted.
    for (case, observed) in &contract {
        ensure!(!observed.contains_key("broken"), "{case}: {observed:?}");
    }
    let sysctl = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok();
    let forbidden = sysctl("kernel/io_uring_disabled").is_some_and(|value| value.trim() != "0");
    if !forbidden {
        for case in ["io_uring connect, IPv4", "io_uring connect, IPv6"] {
            assert_eq!(value(case, "connect").as_deref(), Some("0"), "{case}");
        }
    }
    let has_mptcp = sysctl("net/mptcp/enabled").is_some_and(|value| value.trim() == "1");
    for case in ["MPTCP, IPv4", "MPTCP, IPv6"] {
        let made = value(case, "socket").as_deref() == Some("0");
        assert_eq!(made, has_mptcp, "{case}");
    }
    Ok(())
}

#[test]
fn the_proxy_keeps_nobody_waiting() -> Result<()> {
    // A timer in the way of every connection is in that of the fastest too, which
    // a busy machine is not. Timers of the proxy are 200 ms and more.
    const FASTEST_MAX_US: u64 = 150_000;
    let pod = Pod::captured("")?;
    let _servers = pod.serve_the_world()?;
    let _proxy = pod.proxy()?;
    let words = ["storm", "--count=20", "--threads=1", "--timeline"];
    let storm: Storm = pod.application(&words)?;
    storm.all_answered(BY_SERVER, 20)?;
    let took = storm.timeline.iter().map(|it| it.ended_us - it.started_us);
    let fastest = took.min();
    assert!(fastest < Some(FASTEST_MAX_US), "{:?}", storm.timeline);
    Ok(())
}

#[test]
fn the_readme_lists_exactly_the_known_differences() -> Result<()> {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme
        .split_once(HEADING)
        .with_context(|| format!("the README has no {HEADING:?}"))?;
    let section = section.split("\n#").next().unwrap_or(section);
    let (_, list) = section.split_once("\n- ").context("there is no list")?;
    let items: BTreeSet<String> = list
        .split("\n- ")
        // Lines are wrapped, and a paragraph may follow.
        .map(|item| item.split("\n\n").next().unwrap_or(item))
        .map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let known = DIFFERENCES.iter().map(|known| known.readme.to_owned());
    assert_eq!(items, known.collect());
    Ok(())
}

#[test]
fn a_difference_that_is_not_listed_is_found() {
    let one = |outcome: &str| {
        let observed = Observed::from([("connect".to_owned(), outcome.to_owned())]);
        Contract::from([("a case".to_owned(), observed)])
    };
    assert!(compare(&one("0"), &one("0")).is_ok());
    assert!(compare(&one("0"), &one("EPERM")).is_err());
    assert!(compare(&one("0"), &Contract::new()).is_err());
}
