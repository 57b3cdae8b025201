//! `weir trace --kernel-log`: what the programs themselves log.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::bail;
use nix::sys::signalfd::SignalFd;

use super::{TICK, interrupted, selected, wait};
use crate::{
    app::say,
    capture::{inspect, kernel_log::KernelLogReader},
};

/// Prints records until it is interrupted.
pub(super) fn follow(only: Option<&Path>, signals: &SignalFd) -> anyhow::Result<ExitCode> {
    let closed = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for (set, attachment) in selected(only)? {
        let place = attachment.cgroup.display().to_string();
        if !set.logs() {
            say(&format!("{place} was attached without a kernel log"));
            continue;
        }
        say(&format!("following {place}; Ctrl-C ends"));
        let closed = Arc::clone(&closed);
        let print = move |level: log::Level, message: String| {
            if writeln!(io::stdout(), "{level:<5}  {place}  {message}").is_err() {
                closed.store(true, Ordering::Relaxed);
            }
        };
        let reader = KernelLogReader::open(&set, Box::new(print))?;
        readers.push((attachment.cgroup, reader));
    }
    if readers.is_empty() {
        bail!("nothing is logged: attach again with `weir init --kernel-log info`");
    }
    while !readers.is_empty() {
        let ending = interrupted(signals)?;
        readers.iter_mut().for_each(|(_, reader)| reader.read());
        if ending || closed.load(Ordering::Relaxed) {
            break;
        }
        let loaded = inspect::sets()?;
        readers.retain(|(cgroup, reader)| {
            // Those that replace them log to a ring of their own.
            let there = loaded.iter().any(|set| reader.is_of(set));
            if !there {
                say(&format!(
                    "these programs are gone from {}",
                    cgroup.display()
                ));
            }
            there
        });
        let waited: Vec<_> = readers.iter().map(|(_, reader)| reader.as_fd()).collect();
        wait(signals, &waited, Instant::now() + TICK)?;
    }
    Ok(ExitCode::SUCCESS)
}
