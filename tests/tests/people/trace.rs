//! `weir trace`: decisions as they are made, and nothing left on.

use std::process::{Child, ExitStatus};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use weir_tests::output::{Output, eventually};
use weir_tests::pod::place::Container;
use weir_tests::pod::{APPLICATION_USER, Pod};

use super::{json, refusal, run, weir};

const TO: &str = "203.0.113.9:443";
/// More than wait in the ring of 64 KiB at once.
const FLOOD: usize = 3_000;
/// By then it has looked at the counters more than once, however slow it is.
const FLOODS_MAX: usize = 40;

/// A trace under way; killed when dropped.
struct Trace {
    child: Child,
    lines: Output,
    said: Output,
}

impl Trace {
    fn of(pod: &Pod, options: &[&str]) -> Result<Self> {
        let directory = pod.place.directory().display().to_string();
        let words = [&["trace", "--cgroup", &directory], options].concat();
        let mut child = weir(&[], &words)?.spawn()?;
        let lines = Output::of(child.stdout.take().context("a pipe")?);
        let said = Output::of(child.stderr.take().context("a pipe")?);
        let mut trace = Self { child, lines, said };
        trace
            .said
            .wait_for(&format!("weir: following {directory}; Ctrl-C ends\n"))?;
        Ok(trace)
    }

    fn next(&mut self) -> Result<Value> {
        Ok(serde_json::from_str(&self.lines.line()?)?)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    fn end(&mut self) -> Result<ExitStatus> {
        let mut status = None;
        eventually("weir trace ends", || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        status.context("it has ended")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn dial(pod: &Pod, words: &[&str]) -> Result<Value> {
    pod.application(&[&["dial"], words].concat())
}

fn traced(pod: &Pod) -> Result<bool> {
    let report = json(&run(&[], &["status", "--json"])?)?;
    let path = json!(pod.place.directory());
    let sets = report["sets"].as_array().context("a list")?;
    let set = sets.iter().find(|set| set["cgroups"][0]["path"] == path);
    set.context("attached")?["settings"]["traced"]
        .as_bool()
        .context("yes or no")
}

#[test]
fn each_decision_is_shown_with_who_asked() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut trace = Trace::of(&pod, &["--json"])?;
    dial(&pod, &[TO, "203.0.113.9:8080", "[2001:db8::9]:80"])?;
    dial(&pod, &["--udp", TO])?;
    let expected = [
        ("refused", "proxy_down_closed", "tcp", TO),
        ("passed", "other_port", "tcp", "203.0.113.9:8080"),
        ("refused", "proxy_down_closed", "tcp", "[2001:db8::9]:80"),
        ("refused", "quic_refused", "udp", TO),
    ];
    for (outcome, reason, protocol, destination) in expected {
        let line = trace.next()?;
        for (field, value) in [
            ("outcome", json!(outcome)),
            ("reason", json!(reason)),
            ("protocol", json!(protocol)),
            ("destination", json!(destination)),
            ("uid", json!(APPLICATION_USER)),
            ("cgroup", json!(pod.place.of(Container::Application))),
        ] {
            assert_eq!(line[field], value, "{field} of {line}");
        }
        assert!(line["pid"].as_u64().is_some_and(|pid| pid > 1), "{line}");
    }
    Ok(())
}

/// The process must still be there to be asked for its name.
#[test]
fn a_process_that_stays_is_named() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&["--after=echo"])?;
    let mut trace = Trace::of(&pod, &[])?;
    let held = pod.stay(
        Container::Application,
        APPLICATION_USER,
        &["hold", "--streams=1", TO],
    )?;
    trace
        .lines
        .wait_for("  redirected                 tcp 203.0.113.9:443")?;
    let line = trace.lines.line()?;
    let name = pod.place.directory().file_name().context("a name")?;
    let expected = format!(
        "  weir-actor[{}] uid {APPLICATION_USER}  {}/app\n",
        held.pid(),
        name.to_string_lossy()
    );
    assert_eq!(line.trim_start(), expected.trim_start());
    Ok(())
}

#[test]
fn it_is_turned_off_again_however_it_is_ended() -> Result<()> {
    let pod = Pod::captured("")?;
    assert!(!traced(&pod)?);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut trace = Trace::of(&pod, &[])?;
        assert!(traced(&pod)?);
        trace.signal(signal)?;
        assert_eq!(trace.end()?.code(), Some(0), "{signal}");
        assert!(!traced(&pod)?, "{signal}");
    }
    Ok(())
}

#[test]
fn one_that_was_killed_is_followed_by_the_next() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut killed = Trace::of(&pod, &[])?;
    killed.signal(Signal::SIGKILL)?;
    killed.end()?;
    // Written to the ring that nobody reads; not to be shown as new.
    dial(&pod, &[TO])?;
    let mut trace = Trace::of(&pod, &["--json"])?;
    dial(&pod, &["203.0.113.10:443"])?;
    assert_eq!(trace.next()?["destination"], "203.0.113.10:443");
    trace.signal(Signal::SIGINT)?;
    assert_eq!(trace.end()?.code(), Some(0));
    assert!(!traced(&pod)?);
    Ok(())
}

#[test]
fn a_reader_that_leaves_ends_it() -> Result<()> {
    let pod = Pod::captured("")?;
    let directory = pod.place.directory().display().to_string();
    let mut child = weir(&[], &["trace", "--cgroup", &directory])?.spawn()?;
    let mut said = Output::of(child.stderr.take().context("a pipe")?);
    said.wait_for("following")?;
    drop(child.stdout.take());
    dial(&pod, &[TO])?;
    let mut status = None;
    eventually("weir trace ends", || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    })?;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(!traced(&pod)?);
    Ok(())
}

#[test]
fn two_do_not_share_what_there_is() -> Result<()> {
    let pod = Pod::captured("")?;
    let _first = Trace::of(&pod, &[])?;
    let directory = pod.place.directory().display().to_string();
    let line = refusal(&run(&[], &["trace", "--cgroup", &directory])?)?;
    assert!(
        line.starts_with(&format!("another `weir trace` follows {directory}")),
        "{line}"
    );
    assert!(traced(&pod)?, "the second one turned the first one off");
    Ok(())
}

#[test]
fn it_goes_on_after_init_ran_again() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut trace = Trace::of(&pod, &["--json"])?;
    pod.init(&[])?;
    eventually("it is turned on again", || traced(&pod).unwrap_or_default())?;
    dial(&pod, &[TO])?;
    assert_eq!(trace.next()?["destination"], TO);
    Ok(())
}

#[test]
fn it_ends_when_weir_does() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut trace = Trace::of(&pod, &[])?;
    pod.remove()?;
    assert_eq!(trace.end()?.code(), Some(0));
    let gone = format!(
        "weir: weir is gone from {}\n",
        pod.place.directory().display()
    );
    trace.said.wait_for(&gone)
}

#[test]
fn where_nothing_is_attached_there_is_nothing_to_follow() -> Result<()> {
    let pod = Pod::new()?;
    let directory = pod.place.directory().display().to_string();
    let line = refusal(&run(&[], &["trace", "--cgroup", &directory])?)?;
    assert_eq!(line, "nothing of weir is attached there: see `weir status`");
    let line = refusal(&run(&[], &["trace", "--cgroup", "/tmp"])?)?;
    assert!(
        line.starts_with("/tmp is not a cgroup v2 directory"),
        "{line}"
    );
    Ok(())
}

/// Stopped, it cannot read, and the ring overflows.
#[test]
fn what_could_not_be_shown_is_counted() -> Result<()> {
    const TOLD: &str = "weir: at least ";
    let pod = Pod::captured("")?;
    let mut trace = Trace::of(&pod, &["--json"])?;
    // What is lost before the first look at the counters is not known, so there is
    // more than one flood. What follows one may be lost as well, until there is
    // room again.
    let flood = vec![TO; FLOOD];
    let mut dialled = 0;
    let mut shown = String::new();
    while !trace.said.so_far().contains(TOLD) {
        assert!(dialled < FLOODS_MAX * FLOOD, "{dialled} dialled, none lost");
        trace.signal(Signal::SIGSTOP)?;
        dial(&pod, &flood)?;
        trace.signal(Signal::SIGCONT)?;
        dialled += FLOOD;
        let marker = format!("203.0.113.99:{}", 8000 + dialled / FLOOD);
        eventually("decisions are shown again", || {
            dialled += 1;
            shown = trace.lines.so_far();
            shown.contains(&marker) || dial(&pod, &[&marker]).is_err()
        })?;
        assert!(shown.contains(&marker), "a call of the application failed");
    }
    trace.said.wait_for(TOLD)?;
    let lost = trace.said.line()?;
    let (count, rest) = lost.split_once(' ').context("a number")?;
    let count: usize = count.parse()?;
    assert!((1..dialled).contains(&count), "{lost}");
    assert_eq!(
        rest,
        "decisions were made faster than they could be shown\n"
    );
    Ok(())
}

#[test]
fn the_programs_own_log_is_read_where_it_was_asked_for() -> Result<()> {
    let pod = Pod::captured("")?;
    let directory = pod.place.directory().display().to_string();
    let silent = run(&[], &["trace", "--kernel-log", "--cgroup", &directory])?;
    let said = refusal(&silent)?;
    assert!(said.contains("weir init --kernel-log info"), "{said}");
    pod.init(&["--kernel-log", "info"])?;
    let mut trace = Trace::of(&pod, &["--kernel-log"])?;
    dial(&pod, &[TO])?;
    let line = trace.lines.line()?;
    let expected = format!("INFO   {directory}  connect pid ");
    assert!(line.starts_with(&expected), "{line}");
    assert!(line.contains("::ffff:203.0.113.9 port 443"), "{line}");
    let wrong: String = pod.application(&["claim", &"00".repeat(16)])?;
    assert_eq!(wrong, "EPERM");
    trace
        .lines
        .wait_for("a claim with a wrong token was refused")?;
    // Replaced programs have another ring.
    pod.init(&[])?;
    assert!(trace.end()?.success());
    Ok(())
}
