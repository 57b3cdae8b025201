//! `weir trace --kernel-log`: what the programs themselves log.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use anyhow::bail;
use nix::sys::signalfd::SignalFd;

use super::{TICK, interrupted, selected, wait};
use crate::{app::say, capture::kernel_log::KernelLogReader};

/// Prints records until it is interrupted.
pub(super) fn follow(only: Option<&Path>, signals: &SignalFd) -> anyhow::Result<ExitCode> {
    let mut readers = Vec::new();
    for (set, attachment) in selected(only)? {
        let place = attachment.cgroup.display().to_string();
        if !set.logs() {
            say(&format!("{place} was attached without a kernel log"));
            continue;
        }
        say(&format!("following {place}; Ctrl-C ends"));
        let print = move |level: log::Level, message: String| {
            // A closed reader shows at the next signal; records are not kept.
            let _unread = writeln!(io::stdout(), "{level:<5}  {place}  {message}");
        };
        readers.push(KernelLogReader::open(&set, Box::new(print))?);
    }
    if readers.is_empty() {
        bail!("nothing is logged: attach again with `weir init --kernel-log info`");
    }
    loop {
        let ending = interrupted(signals)?;
        readers.iter_mut().for_each(KernelLogReader::read);
        if ending {
            return Ok(ExitCode::SUCCESS);
        }
        wait(signals, &readers, Instant::now() + TICK)?;
    }
}
