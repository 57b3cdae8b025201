//! What `weir status` has to say, as values: the form of its JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::Serialize;
use weir_common::{FlowReason, MAX_PORTS, OnProxyDown, Quic, Settings};

use crate::capture::PROGRAMS;
use crate::capture::inspect::{InspectError, Program, Set};
use crate::meter::timestamp::Timestamp;
use crate::sys::inventory::{Attachment, Inventory};

/// Everything of weir on this machine.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// One for each start of weir that is in force.
    pub(super) sets: Vec<SetReport>,
}

/// One start of weir: programs that work on the same maps.
#[derive(Debug, Serialize)]
pub(super) struct SetReport {
    /// Where it is attached.
    pub(super) cgroups: Vec<CgroupReport>,
    /// When the programs in force were loaded: since the last `weir init`.
    pub(super) loaded: Option<Timestamp>,
    /// The kernel's ids of them, by name. More than one of a name is not in order.
    pub(super) programs: Vec<ProgramReport>,
    /// What it was told.
    pub(super) settings: Option<SettingsReport>,
    /// Which cgroups claimed to be the proxy's.
    pub(super) claimed: Vec<ClaimedReport>,
    /// The addresses that count as the pod's own.
    pub(super) local_addresses: Vec<IpAddr>,
    /// What became of flows, and what else happened, zeros included.
    pub(super) counters: Vec<CounterReport>,
    /// Connections between their SYN and their acceptance.
    pub(super) handshakes_in_flight: Option<usize>,
    /// Whether the programs write to the kernel's log ring.
    pub(super) kernel_log: bool,
    /// What is not as it should be, with what to do.
    pub(super) problems: Vec<String>,
}

/// A cgroup to which programs are attached.
#[derive(Debug, Serialize)]
pub(super) struct CgroupReport {
    /// Its directory.
    pub(super) path: PathBuf,
    /// The kernel's id of it.
    pub(super) id: u64,
}

/// A program in the kernel.
#[derive(Debug, Serialize)]
pub(super) struct ProgramReport {
    /// Its name.
    pub(super) name: &'static str,
    /// As `bpftool prog` prints it.
    pub(super) id: u32,
}

/// A cgroup that claimed.
#[derive(Debug, Serialize)]
pub(super) struct ClaimedReport {
    /// The kernel's id of it.
    pub(super) id: u64,
    /// Its directory, unless it is gone: a container that was replaced.
    pub(super) path: Option<PathBuf>,
}

/// What is captured, and where it goes.
#[derive(Debug, Serialize)]
pub(super) struct SettingsReport {
    /// Captured destination ports. None while weir has not been told where the
    /// proxy listens, and captures nothing.
    pub(super) ports: Option<Vec<u16>>,
    /// What happens to UDP towards them.
    pub(super) quic: &'static str,
    /// What happens while the proxy does not listen.
    pub(super) on_proxy_down: &'static str,
    /// Where the proxy listens.
    pub(super) proxy: ProxyReport,
    /// The user that is exempt by its number.
    pub(super) exempt_uid: Option<u32>,
    /// Whether anybody follows decisions.
    pub(super) traced: bool,
}

/// Where redirected connections go.
#[derive(Debug, Serialize)]
pub(super) struct ProxyReport {
    /// On which addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// On which ports in a row: the first and the last.
    pub(super) ports: (u16, u16),
}

/// One counter.
#[derive(Debug, Serialize)]
pub(super) struct CounterReport {
    /// What became of these flows. None for what is no flow.
    pub(super) outcome: Option<&'static str>,
    /// Why, or what happened.
    pub(super) reason: &'static str,
    /// How often.
    pub(super) count: u64,
}

impl Report {
    /// What is loaded and what is attached, brought together.
    pub(super) fn of(sets: &[Set], inventory: &Inventory) -> Self {
        let mut reports: Vec<SetReport> = sets
            .iter()
            .map(|set| SetReport::of(set, inventory))
            .collect();
        reports.sort_by(|one, other| {
            let path = |report: &SetReport| report.cgroups.first().map(|first| first.path.clone());
            path(one).cmp(&path(other))
        });
        Self { sets: reports }
    }
}

impl SetReport {
    fn of(set: &Set, inventory: &Inventory) -> Self {
        let ids: BTreeMap<u32, &'static str> = set
            .programs
            .iter()
            .map(|program| (program.id, program.name))
            .collect();
        let mut cgroups = Vec::new();
        let mut problems = Vec::new();
        for attachment in &inventory.attachments {
            if attachment.programs.iter().any(|id| ids.contains_key(id)) {
                problems.extend(disorder(attachment, &ids));
                cgroups.push(CgroupReport {
                    path: attachment.cgroup.clone(),
                    id: attachment.cgroup_id,
                });
            }
        }
        let mut noted = |error: InspectError| {
            let text = error.to_string();
            if !problems.contains(&text) {
                problems.push(text);
            }
        };
        let settings = set.settings().map_err(&mut noted).ok();
        let exempt = set.exempt().map_err(&mut noted).unwrap_or_default();
        let mut local = set
            .local_addresses()
            .map_err(&mut noted)
            .unwrap_or_default();
        // IPv4 first: mapped, it begins with zeros.
        local.sort_unstable();
        let counters = set.counters().map_err(&mut noted).unwrap_or_default();
        let handshakes_in_flight = set.handshakes().map_err(&mut noted).ok();
        Self {
            cgroups,
            loaded: set.loaded().map(Timestamp::from),
            programs: set.programs.iter().map(ProgramReport::of).collect(),
            settings: settings.as_ref().map(SettingsReport::of),
            claimed: exempt
                .into_iter()
                .map(|id| ClaimedReport {
                    id,
                    path: inventory.cgroups.get(&id).cloned(),
                })
                .collect(),
            local_addresses: local.into_iter().map(address).collect(),
            counters: counters.into_iter().map(CounterReport::of).collect(),
            handshakes_in_flight,
            kernel_log: set.logs(),
            problems,
        }
    }
}

/// What is wrong with the programs on one cgroup, those of other sets included.
fn disorder(attachment: &Attachment, ids: &BTreeMap<u32, &'static str>) -> Vec<String> {
    let path = attachment.cgroup.display();
    let mut found = Vec::new();
    for (name, _) in PROGRAMS {
        let attached = attachment
            .programs
            .iter()
            .filter(|id| ids.get(id) == Some(&name))
            .count();
        match attached {
            0 => found.push(format!(
                "{name} is not attached to {path}: run `weir init` again"
            )),
            1 => {}
            more => found.push(format!(
                "{name} is attached to {path} {more} times: run `weir init` again"
            )),
        }
    }
    let others = attachment.programs.iter().any(|id| !ids.contains_key(id));
    if others {
        found.push(format!(
            "another start of weir is attached to {path} as well: run `weir detach --cgroup {path}`, then `weir init`"
        ));
    }
    found
}

impl ProgramReport {
    fn of(program: &Program) -> Self {
        Self {
            name: program.name,
            id: program.id,
        }
    }
}

impl CounterReport {
    fn of((reason, count): (FlowReason, u64)) -> Self {
        Self {
            outcome: reason.outcome().map(|outcome| outcome.as_str()),
            reason: reason.as_str(),
            count,
        }
    }
}

impl SettingsReport {
    fn of(settings: &Settings) -> Self {
        let mut addresses = vec![IpAddr::from(settings.listen4)];
        if settings.has_listen6 != 0 {
            addresses.push(IpAddr::from(settings.listen6));
        }
        let first = settings.listen_port;
        let last = first.saturating_add(settings.listen_count.saturating_sub(1));
        let count = usize::from(settings.port_count).min(MAX_PORTS);
        Self {
            ports: (first != 0).then(|| settings.ports[..count].to_vec()),
            quic: if settings.quic == Quic::Allow as u8 {
                "allow"
            } else {
                "refuse"
            },
            on_proxy_down: if settings.on_proxy_down == OnProxyDown::Open as u8 {
                "open"
            } else {
                "closed"
            },
            proxy: ProxyReport {
                addresses,
                ports: (first, last),
            },
            exempt_uid: (settings.exempt_uid != 0).then_some(settings.exempt_uid),
            traced: settings.trace != 0,
        }
    }
}

fn address(mapped: [u8; 16]) -> IpAddr {
    let ip = Ipv6Addr::from(mapped);
    ip.to_ipv4_mapped()
        .map_or(IpAddr::V6(ip), |ip: Ipv4Addr| IpAddr::V4(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(programs: Vec<u32>) -> Attachment {
        Attachment {
            cgroup: "/c".into(),
            cgroup_id: 7,
            programs,
        }
    }

    #[test]
    fn what_is_missing_doubled_or_foreign_is_named() {
        let ids: BTreeMap<u32, &'static str> = (1..).zip(PROGRAMS.map(|(name, _)| name)).collect();
        let all: Vec<u32> = ids.keys().copied().collect();
        assert_eq!(disorder(&attachment(all.clone()), &ids), [""; 0]);
        let said = |programs| disorder(&attachment(programs), &ids).join("\n");
        assert_eq!(
            said(all[1..].to_vec()),
            format!("{} is not attached to /c: run `weir init` again", ids[&1])
        );
        assert_eq!(
            said([&all[..], &all[..1]].concat()),
            format!(
                "{} is attached to /c 2 times: run `weir init` again",
                ids[&1]
            )
        );
        assert!(said([&all[..], &[99]].concat()).contains("another start of weir"));
    }

    #[test]
    fn settings_are_said_in_words_and_without_the_secret() {
        let mut settings = Settings {
            token: [0xab; 16],
            listen4: [127, 0, 0, 1],
            listen6: Ipv6Addr::LOCALHOST.octets(),
            has_listen6: 1,
            listen_port: 15001,
            listen_count: 16,
            on_proxy_down: OnProxyDown::Open as u8,
            port_count: 2,
            exempt_uid: 1337,
            ..Settings::NOTHING
        };
        settings.ports[..2].copy_from_slice(&[443, 80]);
        let json = serde_json::to_value(SettingsReport::of(&settings)).expect("plain values");
        let expected = serde_json::json!({
            "ports": [443, 80],
            "quic": "refuse",
            "on_proxy_down": "open",
            "proxy": {"addresses": ["127.0.0.1", "::1"], "ports": [15001, 15016]},
            "exempt_uid": 1337,
            "traced": false,
        });
        assert_eq!(json, expected);
        let nothing = SettingsReport::of(&Settings::NOTHING);
        assert_eq!((nothing.ports, nothing.exempt_uid), (None, None));
    }
}
