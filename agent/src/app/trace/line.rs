//! One decision as a line, or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_common::{FlowEvent, FlowReason};

use super::followed::Followed;
use crate::meter::timestamp::Timestamp;
use crate::sys::cgroup::Cgroup;
use crate::sys::inventory::cgroups_below;
use crate::sys::local_time::{LocalTime, of_monotonic};
use crate::sys::origin;

/// The initial pid namespace, in which the kernel numbers processes for us
/// (`PROC_PID_INIT_INO` of include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
/// How long the cgroups that were found are good for when one is not among them.
const CGROUPS_FRESH: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    time: Timestamp,
    #[serde(skip)]
    local: Option<LocalTime>,
    /// What became of it.
    outcome: &'static str,
    /// Why.
    reason: &'static str,
    protocol: &'static str,
    destination: SocketAddr,
    /// As the machine numbers it.
    pid: u32,
    /// The process's name, if it is there to be asked and can be seen from here.
    command: Option<String>,
    /// As the machine numbers it.
    uid: u32,
    /// The directory of its cgroup, unless that is gone.
    cgroup: Option<PathBuf>,
    /// The kernel's id of it.
    cgroup_id: u64,
    #[serde(skip)]
    place: String,
}

impl Line {
    pub(super) fn of(event: &FlowEvent, followed: &Followed, names: &mut Names) -> Self {
        let flow = &event.flow;
        let time = of_monotonic(event.at_ns);
        let reason = FlowReason::from_number(event.reason);
        let cgroup = names.cgroup(flow.cgroup, followed.place());
        Self {
            time: time.into(),
            local: LocalTime::of(time),
            outcome: reason
                .and_then(FlowReason::outcome)
                .map_or("event", |outcome| outcome.as_str()),
            reason: reason.map_or("unknown", FlowReason::as_str),
            protocol: match event.protocol {
                6 => "tcp",
                17 => "udp",
                _ => "other",
            },
            destination: origin::destination(flow),
            pid: flow.pid,
            command: names.command(flow.pid),
            uid: flow.uid,
            place: match &cgroup {
                Some(path) => short(path, followed.cgroup()),
                None => format!("cgroup {}", flow.cgroup),
            },
            cgroup,
            cgroup_id: flow.cgroup,
        }
    }
}

/// A cgroup by the name of the one that weir is attached to and what is below it,
/// ids of containers as short as container engines print them.
fn short(path: &Path, attached: &Path) -> String {
    const ID: usize = 64;
    const SHORT: usize = 12;
    let above = attached.parent().unwrap_or(attached);
    let below = path.strip_prefix(above).unwrap_or(path);
    let text = below.display().to_string();
    let mut short = text.clone();
    for id in text.split(|one: char| !one.is_ascii_hexdigit()) {
        if id.len() == ID {
            short = short.replace(id, &id[..SHORT]);
        }
    }
    short
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local {
            Some(local) => write!(out, "{}", local.time_of_day())?,
            None => write!(out, "{}", self.time)?,
        }
        let why = if self.outcome == self.reason {
            self.outcome.to_owned()
        } else {
            format!("{} {}", self.outcome, self.reason)
        };
        let command = self.command.as_deref().unwrap_or("?");
        write!(
            out,
            "  {why:<25}  {} {:<21}  {command}[{}] uid {}  {}",
            self.protocol, self.destination, self.pid, self.uid, self.place
        )
    }
}

/// What numbers stand for: asked when a decision is shown, as the kernel writes
/// only numbers.
#[derive(Debug)]
pub(super) struct Names {
    /// Whether `/proc` here numbers processes as the kernel does for us.
    pids: Pids,
    cgroups: BTreeMap<u64, PathBuf>,
    looked: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pids {
    Ours,
    Others,
}

impl Names {
    pub(super) fn new() -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid");
        let ours = namespace.is_ok_and(|name| name == Path::new(INITIAL_PID_NAMESPACE));
        Self {
            pids: if ours { Pids::Ours } else { Pids::Others },
            cgroups: BTreeMap::new(),
            looked: None,
        }
    }

    fn command(&self, pid: u32) -> Option<String> {
        if self.pids == Pids::Others {
            return None;
        }
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        // A process names itself: no control characters to the terminal.
        Some(
            name.trim_end()
                .chars()
                .map(|one| if one.is_control() { '?' } else { one })
                .collect(),
        )
    }

    fn cgroup(&mut self, id: u64, attached: &Cgroup) -> Option<PathBuf> {
        if !self.cgroups.contains_key(&id) {
            let fresh = self.looked.is_some_and(|at| at.elapsed() < CGROUPS_FRESH);
            if !fresh {
                self.looked = Some(Instant::now());
                // One that cannot be read shows as a number.
                self.cgroups
                    .extend(cgroups_below(attached).unwrap_or_default());
            }
        }
        self.cgroups.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(outcome: &'static str, reason: &'static str, command: Option<&str>) -> Line {
        Line {
            time: std::time::UNIX_EPOCH.into(),
            local: None,
            outcome,
            reason,
            protocol: "tcp",
            destination: "203.0.113.9:443".parse().expect("an address"),
            pid: 4321,
            command: command.map(str::to_owned),
            uid: 1000,
            cgroup: Some("/sys/fs/cgroup/pod/app".into()),
            cgroup_id: 9,
            place: "pod/app".to_owned(),
        }
    }

    #[test]
    fn a_decision_is_one_line() {
        for (line, expected) in [
            (
                line("redirected", "redirected", Some("curl")),
                "redirected                 tcp 203.0.113.9:443        curl[4321] uid 1000  pod/app",
            ),
            (
                line("refused", "proxy_down_closed", None),
                "refused proxy_down_closed  tcp 203.0.113.9:443        ?[4321] uid 1000  pod/app",
            ),
        ] {
            let text = line.to_string();
            assert_eq!(text, format!("1970-01-01T00:00:00.000Z  {expected}"));
            assert!(text.len() <= 100 + "1970-01-01T".len(), "{}", text.len());
        }
    }

    #[test]
    fn programs_get_whole_values() {
        let json = serde_json::to_value(line("passed", "other_port", None)).expect("plain values");
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z",
            "outcome": "passed",
            "reason": "other_port",
            "protocol": "tcp",
            "destination": "203.0.113.9:443",
            "pid": 4321,
            "command": null,
            "uid": 1000,
            "cgroup": "/sys/fs/cgroup/pod/app",
            "cgroup_id": 9,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_cgroup_is_named_from_the_attached_one_on() {
        let attached = Path::new("/sys/fs/cgroup/a/pod");
        let container = format!(
            "/sys/fs/cgroup/a/pod/crio-{}.scope",
            "0123456789abcdef".repeat(4)
        );
        for (path, expected) in [
            (&*container, "pod/crio-0123456789ab.scope"),
            ("/sys/fs/cgroup/a/pod", "pod"),
            ("/sys/fs/cgroup/a/pod/app/x", "pod/app/x"),
            ("/elsewhere/x", "/elsewhere/x"),
        ] {
            assert_eq!(short(Path::new(path), attached), expected);
        }
    }
}
