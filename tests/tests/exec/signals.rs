//! Signals reach the command once, whoever sends them, and job control works.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::exec::Exec;
use weir_tests::remains::Machine;
use weir_tests::terminal::{INTERRUPT, SUSPEND, Terminal};

const LISTENER: &str = env!("CARGO_BIN_EXE_listener");

#[test]
fn a_signal_sent_to_weir_goes_to_the_command_which_decides() -> Result<()> {
    let mut running = Exec::new()?.start(&[LISTENER])?;
    running.stdout.wait_for("ready")?;
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGWINCH,
    ] {
        running.signal(signal)?;
        running.stdout.wait_for(&format!("got {signal}\n"))?;
    }
    let input = running.input.as_mut().context("piped")?;
    input.write_all(b"3\n")?;
    assert_eq!(running.finish()?.code(), 3);
    Ok(())
}

#[test]
fn a_key_at_the_terminal_reaches_the_command_once() -> Result<()> {
    let machine = Machine::take()?;
    let (command, mark) = Exec::new()?.into_command(&[LISTENER]);
    let (mut terminal, mut child) = Terminal::start(&command)?;
    terminal.screen.wait_for("ready")?;
    terminal.press(INTERRUPT)?;
    terminal.screen.wait_for("got SIGINT")?;
    // weir reads signals in the order of their numbers: once this one has come
    // through, the other has been dealt with.
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    terminal.screen.wait_for("got SIGTERM")?;
    terminal.press("0\n")?;
    terminal.screen.wait_for("done")?;
    let shown = String::from_utf8(terminal.screen.everything()?)?;
    assert_eq!(shown.matches("got SIGINT").count(), 1, "{shown}");
    assert_eq!(child.wait()?.code(), Some(0));
    machine.is_as_before(child.id(), &mark)
}

#[test]
fn ctrl_z_and_fg_work_as_without_weir() -> Result<()> {
    let machine = Machine::take()?;
    let (weir, mark) = Exec::new()?.into_command(&[LISTENER]);
    // A shell with job control, as on a login terminal.
    let mut shell = Command::new("bash");
    shell
        .args([
            "-c",
            "set -m; \"$@\"; echo stopped with $?; fg >/dev/null; echo ended with $?",
            "bash",
        ])
        .arg(weir.get_program())
        .args(weir.get_args());
    for (name, value) in weir.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let (mut terminal, mut child) = Terminal::start(&shell)?;
    terminal.screen.wait_for("ready")?;
    terminal.press(SUSPEND)?;
    // 128 and SIGSTOP, by which weir stops itself.
    terminal.screen.wait_for("stopped with 147")?;
    terminal.press("4\n")?;
    terminal.screen.wait_for("done")?;
    terminal.screen.wait_for("ended with 4")?;
    let shown = String::from_utf8(terminal.screen.everything()?)?;
    child.wait()?;
    let pid = shown
        .split("parent ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .context("it is said before ready")?
        .parse()?;
    machine.is_as_before(pid, &mark)
}
