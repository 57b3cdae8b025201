//! The report as people read it.

use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::report::{Report, SetReport, SettingsReport};
use crate::app::paragraph::{NO_BREAK, paragraph};
use crate::capture::PROGRAMS;
use crate::sys::local_time::LocalTime;

/// The whole report.
pub(super) fn render(report: &Report, now: SystemTime) -> String {
    if report.sets.is_empty() {
        return "nothing of weir is attached on this machine\n".to_owned();
    }
    let sets: Vec<String> = report.sets.iter().map(|set| one(set, now)).collect();
    sets.join("\n")
}

fn one(set: &SetReport, now: SystemTime) -> String {
    let mut out = String::new();
    if set.cgroups.is_empty() {
        out += "attached to no cgroup that is visible here\n";
        out += &row(
            "because",
            "its cgroup was removed and a socket of it is still open, or weir is starting or ending",
        );
    }
    for cgroup in &set.cgroups {
        // Alone on its line, to be copied.
        out += &format!("{}\n", cgroup.path.display());
    }
    for problem in &set.problems {
        out += &row("problem", problem);
    }
    if let Some(loaded) = set.loaded {
        out += &row("since", &since(loaded.unix_ms(), now));
    }
    if let Some(settings) = &set.settings {
        out += &told(settings);
        out += &row("exempt", &exempt(set, settings));
    }
    if !set.local_addresses.is_empty() {
        out += &row(
            "local",
            &format!("{}: never captured", listed(&set.local_addresses, ", ")),
        );
    }
    if let Some(handshakes) = set.handshakes_in_flight {
        out += &row("handshakes", &format!("{handshakes} in flight"));
    }
    let log = if set.kernel_log { "on" } else { "off" };
    out += &row("kernel log", log);
    let programs: Vec<String> = set
        .programs
        .iter()
        .map(|program| format!("{}{NO_BREAK}{}", program.name, program.id))
        .collect();
    let order = if set.programs.len() == PROGRAMS.len() {
        String::new()
    } else {
        format!(" of {}", PROGRAMS.len())
    };
    let programs = format!("{}{order}: {}", set.programs.len(), programs.join(", "));
    out += &row("programs", &programs);
    out += "\n";
    out += &counters(set);
    out
}

fn row(name: &str, text: &str) -> String {
    paragraph(&format!("  {name:<11} "), text)
}

fn since(loaded_ms: u64, now: SystemTime) -> String {
    let loaded = UNIX_EPOCH + Duration::from_millis(loaded_ms);
    let age = now.duration_since(loaded).unwrap_or_default();
    let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
    match LocalTime::of(loaded) {
        Some(local) => format!("{local}, {age} ago"),
        None => format!("{age} ago"),
    }
}

/// What weir was told to do, in words.
fn told(settings: &SettingsReport) -> String {
    let Some(ports) = &settings.ports else {
        return row(
            "captures",
            "nothing yet: it was not told where the proxy listens",
        );
    };
    let udp = match settings.quic {
        "allow" => "UDP to them passes, uninspected",
        _ => "UDP to them is refused, so that HTTP/3 clients use TCP",
    };
    let down = match settings.on_proxy_down {
        "open" => "connections go direct, uninspected (open)",
        _ => "connections are refused (closed)",
    };
    let (first, last) = settings.proxy.ports;
    let addresses = listed(&settings.proxy.addresses, " and ");
    let proxy = if first == last {
        format!("{addresses}, port {first}")
    } else {
        format!("{addresses}, ports {first} to {last}")
    };
    let mut out = row(
        "captures",
        &format!("TCP to ports {}; {udp}", listed(ports, ", ")),
    );
    out += &row("proxy", &proxy);
    out += &row("proxy down", down);
    if settings.traced {
        out += &row("traced", "yes, by `weir trace`");
    }
    out
}

fn exempt(set: &SetReport, settings: &SettingsReport) -> String {
    let mut who = Vec::new();
    for claimed in &set.claimed {
        who.push(match &claimed.path {
            Some(path) => format!("{} (claimed)", path.display()),
            None => format!("cgroup {} (claimed, gone)", claimed.id),
        });
    }
    if let Some(uid) = settings.exempt_uid {
        who.push(format!("user {uid}"));
    }
    if who.is_empty() {
        return "nobody: no proxy has claimed".to_owned();
    }
    who.join(", ")
}

fn counters(set: &SetReport) -> String {
    let counted: Vec<_> = set
        .counters
        .iter()
        .filter(|counter| counter.count > 0)
        .collect();
    if counted.is_empty() {
        return "  no flow was seen yet\n".to_owned();
    }
    let mut order: Vec<Option<&str>> = Vec::new();
    for counter in &counted {
        if !order.contains(&counter.outcome) {
            order.push(counter.outcome);
        }
    }
    // What is no flow comes last.
    order.sort_by_key(Option::is_none);
    let mut out = format!("  {:<11} {:<18} {:>12}\n", "flows", "reason", "count");
    for outcome in order {
        for counter in counted.iter().filter(|counter| counter.outcome == outcome) {
            let outcome = outcome.unwrap_or("event");
            let _infallible = writeln!(
                out,
                "  {outcome:<11} {:<18} {:>12}",
                counter.reason, counter.count
            );
        }
    }
    out
}

fn listed<T: Display>(things: &[T], separator: &str) -> String {
    let things: Vec<String> = things.iter().map(ToString::to_string).collect();
    things.join(separator)
}

#[cfg(test)]
mod tests {
    use super::super::report::{
        CgroupReport, ClaimedReport, CounterReport, ProgramReport, ProxyReport,
    };
    use super::*;
    use crate::meter::timestamp::Timestamp;

    fn counter(outcome: Option<&'static str>, reason: &'static str, count: u64) -> CounterReport {
        CounterReport {
            outcome,
            reason,
            count,
        }
    }

    fn set(now: SystemTime) -> SetReport {
        SetReport {
            cgroups: vec![CgroupReport {
                path: "/sys/fs/cgroup/pod".into(),
                id: 9,
            }],
            loaded: Some(Timestamp::from(now - Duration::from_secs(192))),
            programs: PROGRAMS
                .iter()
                .zip(101..)
                .map(|((name, _), id)| ProgramReport { name, id })
                .collect(),
            settings: Some(SettingsReport {
                ports: Some(vec![443, 80]),
                quic: "refuse",
                on_proxy_down: "closed",
                proxy: ProxyReport {
                    addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
                    ports: (15001, 15016),
                },
                exempt_uid: Some(1337),
                traced: false,
            }),
            claimed: vec![ClaimedReport {
                id: 10,
                path: Some("/sys/fs/cgroup/pod/proxy".into()),
            }],
            local_addresses: vec!["10.1.2.3".parse().unwrap(), "fd00:1::3".parse().unwrap()],
            counters: vec![
                counter(Some("redirected"), "redirected", 12),
                counter(Some("passed"), "other_port", 3),
                counter(Some("passed"), "loopback", 0),
                counter(Some("own"), "exempt", 1),
                counter(None, "claimed", 16),
            ],
            handshakes_in_flight: Some(0),
            kernel_log: false,
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_set_in_order_reads_like_a_page_of_text() {
        let now = SystemTime::now();
        let text = render(
            &Report {
                sets: vec![set(now)],
            },
            now,
        );
        let (head, rest) = text.split_once("\n  since ").expect("a since line");
        assert_eq!(head, "/sys/fs/cgroup/pod");
        let (since, rest) = rest.split_once('\n').expect("a line");
        assert!(since.ends_with(", 3m 12s ago"), "{since}");
        let expected = "  \
  captures    TCP to ports 443, 80; UDP to them is refused, so that HTTP/3 clients use TCP
  proxy       127.0.0.1 and ::1, ports 15001 to 15016
  proxy down  connections are refused (closed)
  exempt      /sys/fs/cgroup/pod/proxy (claimed), user 1337
  local       10.1.2.3, fd00:1::3: never captured
  handshakes  0 in flight
  kernel log  off
  programs    9: weir_getsockopt 101, weir_setsockopt 102, weir_sock_ops 103, weir_peername4 104,
              weir_peername6 105, weir_sendmsg4 106, weir_sendmsg6 107, weir_connect4 108,
              weir_connect6 109

  flows       reason                    count
  redirected  redirected                   12
  passed      other_port                    3
  own         exempt                        1
  event       claimed                      16
";
        assert_eq!(rest, expected);
    }

    #[test]
    fn what_is_not_in_order_is_said_first() {
        let now = SystemTime::now();
        let mut broken = set(now);
        broken.problems = vec!["weir_connect4 is not attached to /c: run `weir init` again".into()];
        broken.cgroups.clear();
        broken.programs.truncate(8);
        broken.counters.clear();
        let text = render(&Report { sets: vec![broken] }, now);
        assert!(
            text.starts_with("attached to no cgroup that is visible here\n"),
            "{text}"
        );
        assert!(
            text.contains("  problem     weir_connect4 is not attached"),
            "{text}"
        );
        assert!(text.contains("  programs    8 of 9: "), "{text}");
        assert!(text.ends_with("  no flow was seen yet\n"), "{text}");
    }

    #[test]
    fn an_empty_machine_says_so() {
        let text = render(&Report::default(), SystemTime::now());
        assert_eq!(text, "nothing of weir is attached on this machine\n");
    }
}
