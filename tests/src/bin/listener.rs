//! A command for tests of signals: says which arrive, and ends when told.
//!
//! Shells cannot be asked this: a signal that arrives just before `read` blocks
//! is not acted upon until there is input. Here signals and input are waited for
//! together. Every line of input is a status to exit with.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::getppid;

fn main() -> Result<ExitCode> {
    let listened: SigSet = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect();
    listened.thread_block()?;
    let signals = SignalFd::new(&listened)?;
    let input = std::io::stdin();
    say(&format!("parent {}", getppid()))?;
    say("ready")?;
    loop {
        let mut sources = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut sources, PollTimeout::NONE)?;
        if sources[0].any() == Some(true)
            && let Some(read) = signals.read_signal()?
        {
            let signal = Signal::try_from(i32::try_from(read.ssi_signo)?)?;
            say(&format!("got {signal}"))?;
        }
        if sources[1].any() == Some(true) {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                bail!("input ended without a status");
            }
            say("done")?;
            return Ok(ExitCode::from(line.trim().parse::<u8>()?));
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
