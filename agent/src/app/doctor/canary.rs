//! Trying it: weir's own programs on a temporary cgroup, and a process in it
//! that connects to where nobody is and must arrive here.
//!
//! One process plays both parts, as one cgroup after the other: the proxy, which
//! listens and claims, then the application, which connects. Nothing leaves the
//! machine if interception works, and a SYN to an address for documentation
//! (RFC 5737, RFC 3849) if not.

mod actor;
mod ground;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};

use crate::capture::{Capture, KernelLog};
use crate::sys::privileges::{Capability, missing};

use super::check::Check;
use actor::{Attempt, DESTINATION4, DESTINATION6, Seen};
use ground::Ground;

const LOAD: &str = "load";
const CLAIM: &str = "claim";
const IPV4: &str = "connect4";
const IPV6: &str = "connect6";
/// All of them, in their order.
const NAMES: [&str; 4] = [LOAD, CLAIM, IPV4, IPV6];

pub(super) fn checks() -> Vec<Check> {
    let needed = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];
    match missing(&needed) {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let why = format!("it takes {}: run `sudo weir doctor`", missing.join(", "));
            return not_checked(&NAMES, &why);
        }
        Err(error) => return not_checked(&NAMES, &error.to_string()),
    }
    // Whoever interrupts waits some ten milliseconds longer, and finds nothing
    // left behind.
    let mut interrupting = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        interrupting.add(signal);
    }
    let blocked = interrupting.thread_block();
    let mut checks = Vec::new();
    if let Err(failure) = attempt(&mut checks) {
        checks.push(failure);
    }
    if blocked.is_ok() {
        let _as_before = interrupting.thread_unblock();
    }
    let tried = checks.len().min(NAMES.len());
    checks.extend(not_checked(&NAMES[tried..], "the one before it failed"));
    checks
}

fn not_checked(names: &[&'static str], why: &str) -> Vec<Check> {
    names
        .iter()
        .map(|name| Check::not_checked(name, why))
        .collect()
}

/// Adds a check for each step that worked; fails with the one that did not.
fn attempt(checks: &mut Vec<Check>) -> Result<(), Check> {
    let began = Instant::now();
    let mut capture =
        Capture::load(KernelLog::Off, None).map_err(|error| Check::failed(LOAD, &error))?;
    let loaded = began.elapsed();
    let ground = Ground::create().map_err(|error| {
        Check::problem(
            LOAD,
            format!("cannot make a cgroup to try it on: {error}"),
            "run weir doctor where cgroup2 may be written, as outside of the container",
        )
    })?;
    let began = Instant::now();
    capture
        .attach(ground.run.as_fd())
        .map_err(|error| Check::failed(LOAD, &error))?;
    checks.push(Check::ok(
        LOAD,
        format!(
            "9 programs loaded in {} ms and attached in {} ms",
            loaded.as_millis(),
            began.elapsed().as_millis(),
        ),
    ));

    let seen = actor::play(&mut capture, &ground).map_err(|error| {
        Check::problem(
            CLAIM,
            format!("cannot try a connection: {error}"),
            "run it again",
        )
    })?;
    drop(capture);
    checks.push(judge_claim(&seen)?);
    // One that fails says nothing about the other.
    checks.push(judge(IPV4, seen.ipv4));
    checks.push(judge(IPV6, seen.ipv6));
    Ok(())
}

fn judge_claim(seen: &Seen) -> Result<Check, Check> {
    match &seen.claim {
        None => Ok(Check::ok(
            CLAIM,
            "the programs see a process of the cgroup, and know its secret",
        )),
        Some(error) => Err(Check::problem(
            CLAIM,
            error.clone(),
            "before Linux 5.15, net_cls and net_prio turn programs of cgroup2 off until the next boot (see above); otherwise this is a sandbox with a kernel of its own, such as gVisor",
        )),
    }
}

fn judge(name: &'static str, attempt: Option<Attempt>) -> Check {
    let destination: SocketAddr = if name == IPV4 {
        DESTINATION4.into()
    } else {
        DESTINATION6.into()
    };
    match attempt {
        Some(Attempt::Arrived {
            recorded: Some(recorded),
            peer: Some(peer),
            microseconds,
        }) if recorded == destination && peer == destination => Check::ok(
            name,
            format!(
                "a connection to {destination} arrived here, with its destination, after {microseconds} µs"
            ),
        ),
        Some(Attempt::Arrived { recorded, peer, .. }) => {
            let said = |address: Option<SocketAddr>| {
                address.map_or_else(|| "nothing".to_owned(), |address| address.to_string())
            };
            Check::problem(
                name,
                format!(
                    "a connection to {destination} arrived here; the kernel recorded {}, and getpeername says {}",
                    said(recorded),
                    said(peer)
                ),
                "another program changes the same connections: see `bpftool cgroup tree`",
            )
        }
        Some(Attempt::Lost) => Check::problem(
            name,
            format!("a connection to {destination} did not arrive here"),
            "is loopback up (`ip link set lo up`)? otherwise another program changes the same connections: see `bpftool cgroup tree`",
        ),
        Some(Attempt::NoFamily) => Check::ok(name, "there are no sockets of this family here"),
        Some(Attempt::Failed(error)) => Check::problem(
            name,
            format!("cannot connect to {destination}: {error}"),
            "is loopback up (`ip link set lo up`)? otherwise a security module or a packet filter refuses it",
        ),
        None => Check::not_checked(name, "the process that was to try it ended early"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict::{NotChecked, Ok as Good, Problem};
    use super::*;

    fn verdict(attempt: Option<Attempt>) -> super::super::check::Verdict {
        judge(IPV4, attempt).result
    }

    #[test]
    fn only_a_connection_that_keeps_its_destination_is_in_order() {
        let there: SocketAddr = DESTINATION4.into();
        let elsewhere: SocketAddr = DESTINATION6.into();
        let arrived = |recorded, peer| {
            Some(Attempt::Arrived {
                recorded,
                peer,
                microseconds: 1,
            })
        };
        for (attempt, expected) in [
            (arrived(Some(there), Some(there)), Good),
            (arrived(Some(elsewhere), Some(there)), Problem),
            (arrived(Some(there), Some(elsewhere)), Problem),
            (arrived(None, Some(there)), Problem),
            (Some(Attempt::Lost), Problem),
            (Some(Attempt::Failed("x".into())), Problem),
            (Some(Attempt::NoFamily), Good),
            (None, NotChecked),
        ] {
            assert_eq!(verdict(attempt.clone()), expected, "{attempt:?}");
        }
    }

    #[test]
    fn what_a_child_saw_is_told() {
        let seen = Seen {
            claim: None,
            ipv4: Some(Attempt::Lost),
            ipv6: Some(Attempt::NoFamily),
        };
        let text = serde_json::to_string(&seen).expect("plain values");
        assert_eq!(serde_json::from_str::<Seen>(&text).expect("the same"), seen);
    }
}
