//! `weir trace`: each decision of the kernel half, as it is made.
//!
//! The programs write decisions to a ring only while somebody follows, so that
//! they cost nothing otherwise. What is followed is turned off again however
//! this ends; one that was killed leaves it on until the next one.

mod followed;
mod kernel_log;
mod line;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::say;
use crate::capture::PROGRAMS;
use crate::capture::inspect::{self, Set};
use crate::cli::TraceArgs;
use crate::sys::cgroup::Cgroup;
use crate::sys::inventory::{self, Attachment};

use followed::Followed;
use line::Names;

/// How often it is looked whether weir is still there, still writes decisions,
/// and how many of them there were.
const TICK: Duration = Duration::from_millis(500);
/// Decisions taken from one ring before the others and signals get their turn.
const BATCH_MAX: usize = 256;

/// Follows until it is interrupted, or nothing is left to follow.
///
/// # Errors
/// There is nothing to follow, or the kernel does not show it to this user.
pub fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let signals = signals().context("cannot read signals")?;
    if args.kernel_log {
        return kernel_log::follow(args.cgroup.as_deref(), &signals);
    }
    let mut followed = begin(args.cgroup.as_deref())?;
    for one in &followed {
        say(&format!(
            "following {}; Ctrl-C ends",
            one.cgroup().display()
        ));
    }
    let mut names = Names::new();
    let mut tick = Instant::now() + TICK;
    while !followed.is_empty() {
        let ending = interrupted(&signals)?;
        for one in &mut followed {
            for _ in 0..BATCH_MAX {
                let Some(event) = one.take() else { break };
                let line = line::Line::of(&event, one, &mut names);
                if print(&line, args.json)? == Reader::Gone {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
        if ending {
            break;
        }
        if Instant::now() >= tick {
            tick = Instant::now() + TICK;
            followed = still_there(followed)?;
        }
        wait(&signals, &followed, tick)?;
    }
    for one in followed {
        tell_lost(&one);
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is attached, or what is attached to one cgroup.
fn begin(only: Option<&Path>) -> anyhow::Result<Vec<Followed>> {
    selected(only)?
        .into_iter()
        .map(|(set, attachment)| Followed::begin(set, &attachment))
        .collect()
}

fn selected(only: Option<&Path>) -> anyhow::Result<Vec<(Set, Attachment)>> {
    let only = match only {
        None => None,
        Some(path) => {
            let id = Cgroup::at(path).and_then(|cgroup| cgroup.id());
            Some(id.with_context(|| {
                format!(
                    "{} is not a cgroup v2 directory: name one that `weir status` shows",
                    path.display()
                )
            })?)
        }
    };
    let sets = inspect::sets()?;
    let programs = sets.iter().flat_map(|set| &set.programs);
    let ids = programs.map(|program| program.id).collect();
    let types = PROGRAMS.map(|(_, attach_type)| attach_type);
    let mut attachments = inventory::take(&ids, &types)?.attachments;
    attachments.retain(|attachment| only.is_none_or(|id| attachment.cgroup_id == id));
    let mut selected = Vec::new();
    for set in sets {
        let place = attachments.iter().position(|attachment| {
            let mut programs = set.programs.iter();
            programs.any(|program| attachment.programs.contains(&program.id))
        });
        if let Some(place) = place {
            selected.push((set, attachments.swap_remove(place)));
        }
    }
    if selected.is_empty() {
        bail!("nothing of weir is attached there: see `weir status`");
    }
    Ok(selected)
}

/// Those that are, each looked after.
fn still_there(followed: Vec<Followed>) -> anyhow::Result<Vec<Followed>> {
    let sets = inspect::sets()?;
    let mut still = Vec::new();
    for mut one in followed {
        if sets.iter().any(|set| one.is(set)) {
            one.look_after()?;
            tell_lost(&one);
            still.push(one);
        } else {
            tell_lost(&one);
            say(&format!("weir is gone from {}", one.cgroup().display()));
        }
    }
    Ok(still)
}

fn tell_lost(followed: &Followed) {
    if let Some(lost) = followed.newly_lost() {
        say(&format!(
            "at least {lost} decisions were made faster than they could be shown"
        ));
    }
}

/// Whether anybody reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

fn print(line: &line::Line, json: bool) -> anyhow::Result<Reader> {
    let text = if json {
        serde_json::to_string(line)?
    } else {
        line.to_string()
    };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// The signals that end this, as something to read.
fn signals() -> io::Result<SignalFd> {
    let mut ending = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        ending.add(signal);
    }
    ending.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&ending, flags)?)
}

fn interrupted(signals: &SignalFd) -> io::Result<bool> {
    Ok(signals.read_signal()?.is_some())
}

fn wait(signals: &SignalFd, followed: &[impl AsFd], until: Instant) -> io::Result<()> {
    let mut polled = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    for one in followed {
        polled.push(PollFd::new(one.as_fd(), PollFlags::POLLIN));
    }
    // Rounded up, so that the rest of a millisecond does not spin.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    match poll(
        &mut polled,
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
    ) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
