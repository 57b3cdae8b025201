//! What the command started and left behind stays intercepted until weir ends.

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::exec::{Exec, Running};
use weir_tests::output::eventually;
use weir_tests::processes::{look, status_field};

/// A daemon: a session of its own, twice removed, nothing open. It has become
/// what it is to be before the command ends.
const DAEMONISE: &str = "
    setsid sh -c 'sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done' \
        </dev/null >/dev/null 2>&1
    echo ready
    exit 5
";

fn left_behind() -> Result<Running> {
    let mut running = Exec::new()?.start(&["sh", "-c", DAEMONISE])?;
    running.stdout.wait_for("ready")?;
    running.stderr.wait_for(
        "weir: the command ended with status 5; 1 process it started still runs (sleep) and stays intercepted: press Ctrl-C to end weir now",
    )?;
    Ok(running)
}

#[test]
fn weir_waits_for_them_and_ends_as_the_command_did() -> Result<()> {
    let running = left_behind()?;
    let daemon = running.process("sleep")?;
    assert!(
        daemon
            .cgroup
            .ends_with(format!("weir-exec-{}/app", running.pid()))
    );
    kill(Pid::from_raw(daemon.pid), Signal::SIGKILL)?;
    assert_eq!(running.finish()?.code(), 5);
    Ok(())
}

#[test]
fn a_signal_ends_the_wait_and_lets_them_go() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut running = left_behind()?;
        let daemon = running.process("sleep")?;
        let own = look(running.pid().as_raw()).expect("weir runs").cgroup;
        running.signal(signal)?;
        assert_eq!(running.wait()?.code(), Some(5));
        assert_eq!(look(daemon.pid).expect("it goes on").cgroup, own);
        assert_eq!(running.processes().len(), 1, "{:?}", running.processes());
        kill(Pid::from_raw(daemon.pid), Signal::SIGKILL)?;
        running.finish()?;
    }
    Ok(())
}

#[test]
fn patience_can_be_bounded() -> Result<()> {
    for linger in ["0s", "300ms"] {
        let mut running = Exec::new()?
            .options(&["--linger", linger])
            .start(&["sh", "-c", DAEMONISE])?;
        let status = running.wait()?;
        assert_eq!(status.code(), Some(5));
        running
            .stderr
            .wait_for("1 process it started still runs (sleep) and is no longer intercepted")?;
        kill(
            Pid::from_raw(running.process("sleep")?.pid),
            Signal::SIGKILL,
        )?;
        running.finish()?;
    }
    Ok(())
}

#[test]
fn becoming_another_user_is_no_way_out() -> Result<()> {
    let script = "setsid setpriv --reuid=65534 --clear-groups sleep 1000 >/dev/null 2>&1 & exit 0";
    let running = Exec::new()?.start(&["sh", "-c", script])?;
    let daemon = running.process("sleep")?;
    eventually("it is another user", || {
        status_field(daemon.pid, "Uid").is_some_and(|ids| ids.starts_with("65534"))
    })?;
    assert!(
        daemon
            .cgroup
            .ends_with(format!("weir-exec-{}/app", running.pid()))
    );
    kill(Pid::from_raw(daemon.pid), Signal::SIGKILL)?;
    assert_eq!(running.finish()?.code(), 0);
    Ok(())
}
