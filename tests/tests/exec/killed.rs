//! SIGKILL gives no chance to clean up, and still nothing is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::exec::{Exec, Running};
use weir_tests::output::eventually;
use weir_tests::processes::look;

const CLOSED: &str = "capture:\n  on_proxy_down: closed\n";
const OPEN: &str = "capture:\n  on_proxy_down: open\n";

/// Says that it is there, and stays.
const STAY: &[&str] = &["sh", "-c", "echo ready; exec sleep 1000"];

fn started(config: &str, command: &[&str]) -> Result<(Running, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), config)?;
    let path = file.path().to_string_lossy().into_owned();
    let mut running = Exec::new()?.options(&["--config", &path]).start(command)?;
    running.stdout.wait_for("ready")?;
    Ok((running, file))
}

fn end(pid: i32) -> Result<()> {
    Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
}

#[test]
fn a_killed_command_ends_weir_the_same_way() -> Result<()> {
    let (running, _config) = started(CLOSED, STAY)?;
    end(running.process("sleep")?.pid)?;
    assert_eq!(running.finish()?.signal(), Some(9));
    Ok(())
}

#[test]
fn a_killed_weir_takes_the_command_along_and_still_reports() -> Result<()> {
    let (running, _config) = started(CLOSED, STAY)?;
    running.signal(Signal::SIGKILL)?;
    let run = running.finish()?;
    assert_eq!(run.signal(), Some(9));
    assert!(run.stderr.contains("no model calls"), "{run:?}");
    Ok(())
}

#[test]
fn a_command_that_will_not_end_is_ended() -> Result<()> {
    let script = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let (running, _config) = started(CLOSED, &["sh", "-c", script])?;
    running.signal(Signal::SIGKILL)?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_stopped_command_is_ended() -> Result<()> {
    let (running, _config) = started(CLOSED, STAY)?;
    let command = running.process("sleep")?;
    kill(Pid::from_raw(command.pid), Signal::SIGSTOP)?;
    running.signal(Signal::SIGKILL)?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_command_that_may_go_past_weir_goes_on() -> Result<()> {
    let (mut running, _config) = started(OPEN, STAY)?;
    let command = running.process("sleep")?;
    let own = look(running.pid().as_raw()).expect("weir runs").cgroup;
    assert_ne!(command.cgroup, own);
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    eventually("the command is where weir was started", || {
        look(command.pid).is_some_and(|command| command.cgroup == own)
    })?;
    eventually("only the command is left", || {
        running.processes().len() == 1
    })?;
    end(command.pid)?;
    running.finish()?;
    Ok(())
}

#[test]
fn what_is_left_when_the_guard_is_killed_too_goes_with_the_next_run() -> Result<()> {
    let (mut running, _config) = started(CLOSED, STAY)?;
    let command = running.process("sleep")?;
    end(running.process("weir-guard")?.pid)?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    eventually("the proxy has noticed", || running.processes().len() == 1)?;
    let name = format!("weir-exec-{}", running.pid());
    assert_eq!(
        look(command.pid).expect("it runs on").cgroup.to_str(),
        command.cgroup.to_str()
    );

    // One that sees another part of the hierarchy under the same path must leave
    // the record to those who can find what it tells of.
    let elsewhere = Elsewhere::make()?;
    let move_there = format!(
        "echo 0 > {}/cgroup.procs && exec unshare --cgroup --mount \"$@\"",
        elsewhere.0.display()
    );
    let (mut other, _mark) =
        Exec::within(&["sh", "-c", &move_there, "sh"])?.into_command(&["true"]);
    let other = String::from_utf8(other.output()?.stderr)?;
    assert_eq!(other, "no model calls\n");

    // Not by `Exec`, which would wait for the first to be gone.
    let (mut next, _mark) = Exec::new()?.into_command(&["true"]);
    let next = next.output()?;
    let said = String::from_utf8(next.stderr)?;
    assert!(
        said.contains(&format!("weir: cleared away {name}, an earlier run")),
        "{said}"
    );
    running.finish()?;
    Ok(())
}

/// A cgroup that is the root of whoever unshares the namespace in it.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn make() -> Result<Self> {
        let found = Command::new("findmnt")
            .args(["--noheadings", "--first-only", "--types", "cgroup2"])
            .args(["--output", "TARGET"])
            .output()?;
        let mount = String::from_utf8(found.stdout)?;
        let name = format!("weir-test-elsewhere-{}", std::process::id());
        let path = Path::new(mount.trim_end()).join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).expect("nobody is left in it");
    }
}

#[test]
fn a_run_that_lives_is_left_alone_by_the_next() -> Result<()> {
    let (running, _config) = started(CLOSED, STAY)?;
    let (mut next, _mark) = Exec::new()?.into_command(&["true"]);
    let next = next.output()?;
    let said = String::from_utf8(next.stderr)?;
    assert!(!said.contains("cleared"), "{said}");
    let command = running.process("sleep")?;
    assert_eq!(
        command.cgroup.file_name().and_then(|name| name.to_str()),
        Some("app")
    );
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.finish()?.signal(), Some(15));
    Ok(())
}

/// Tries to connect to an address nobody has, where weir would answer.
const CONNECT: &str = "
    echo ready; read line
    exec 3<>/dev/tcp/203.0.113.7/443 && echo connected
    exit 0
";

#[test]
fn without_its_proxy_the_command_goes_on_and_cannot_get_past() -> Result<()> {
    let (mut running, _config) = started(CLOSED, &["bash", "-c", CONNECT])?;
    end(running.process("weir-proxy")?.pid)?;
    running
        .stderr
        .wait_for("new connections to captured ports now fail, and the report is lost")?;
    // The end of input.
    running.input = None;
    let run = running.finish()?;
    assert_eq!(run.code(), 0);
    assert!(run.stderr.contains("Connection refused"), "{run:?}");
    assert_eq!(run.text()?, "ready\n");
    Ok(())
}
