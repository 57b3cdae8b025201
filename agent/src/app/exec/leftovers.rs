//! Clearing away what a run left that can no longer do so itself.
//!
//! Used by the guard, a moment after its supervisor was killed, and by later
//! runs for the case that the guard was killed too. Only what a claim proves
//! abandoned is touched.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::place::{Claim, PREFIX, Patience, Survivors, Word, runtime_root};
use super::say;
use crate::sys::cgroup::{Cgroup, hierarchy};

/// How long the command may take to end by itself.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the proxy may take to print its report. It notices by itself that
/// its supervisor is gone.
const PROXY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long what was killed may take to be gone.
const KILLED_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a guard gets to claim its run before others do. It waits for nothing
/// else, and needs a millisecond.
const GUARD_HEAD_START: Duration = Duration::from_millis(300);

/// The cgroup of the command and all it starts.
pub(super) const APP: &str = "app";
/// The cgroup of the proxy.
pub(super) const PROXY: &str = "proxy";

/// Clears away the run of `directory` if it is over.
pub(super) fn clear(directory: &Path, patience: Patience) -> io::Result<Outcome> {
    let Some(claim) = Claim::take(directory, patience)? else {
        return Ok(Outcome::NothingToDo);
    };
    let name = directory
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| name.starts_with(PREFIX))
        .ok_or_else(|| io::Error::other("not the name of a run"))?;
    match (claim.word()?, patience) {
        (Some(word), _) => {
            if clear_cgroups(name, &word, patience)? == Outcome::NothingToDo {
                return Ok(Outcome::NothingToDo);
            }
        }
        // It is just being made, and the lock about to be taken.
        (None, Patience::Try) => return Ok(Outcome::NothingToDo),
        (None, Patience::Wait) => {}
    }
    claim.remove()?;
    Ok(Outcome::Cleared)
}

/// What came of clearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It lives, or is already gone.
    NothingToDo,
    /// It is gone now.
    Cleared,
}

fn clear_cgroups(name: &str, word: &Word, patience: Patience) -> io::Result<Outcome> {
    let base = match hierarchy::cgroup_at(&word.cgroup) {
        Ok(base) => base,
        // Removed with everything below it; or, for whoever sees another part of
        // the hierarchy than the run did, not to be found from there.
        Err(error) if error.is_gone() => {
            return Ok(match patience {
                Patience::Wait => Outcome::Cleared,
                Patience::Try => Outcome::NothingToDo,
            });
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    if base.id()? != word.id {
        return Ok(Outcome::NothingToDo);
    }
    let run = match base.child(name) {
        Ok(run) => run,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Cleared),
        Err(error) => return Err(error),
    };
    let proxy_deadline = Instant::now() + PROXY_WAIT_MAX;
    if let Some(app) = optional(run.child(APP))? {
        match word.survivors {
            Survivors::Release => app.release_to(&base)?,
            Survivors::End => {
                app.signal(Signal::SIGTERM)?;
                // A stopped process ends only once it goes on.
                app.signal(Signal::SIGCONT)?;
                if !app.wait_empty(Instant::now() + COMMAND_WAIT_MAX)? {
                    app.kill()?;
                    app.wait_empty(Instant::now() + KILLED_WAIT_MAX)?;
                }
            }
        }
    }
    if let Some(proxy) = optional(run.child(PROXY))?
        && !proxy.wait_empty(proxy_deadline)?
    {
        proxy.kill()?;
        proxy.wait_empty(Instant::now() + KILLED_WAIT_MAX)?;
    }
    base.remove(name)?;
    Ok(Outcome::Cleared)
}

fn optional(child: io::Result<Cgroup>) -> io::Result<Option<Cgroup>> {
    match child {
        Ok(child) => Ok(Some(child)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Clears away earlier runs that are over, and says so. That one cannot be
/// cleared is no reason not to start.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(runtime_root()) else {
        return;
    };
    let over: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        // A claim that is dropped at once takes nothing from anybody.
        .filter(|entry| {
            matches!(
                Claim::take(&entry.path(), Patience::Try),
                Ok(Some(_)) | Err(_)
            )
        })
        .collect();
    if over.is_empty() {
        return;
    }
    // One that was killed just now has a guard about to do this.
    std::thread::sleep(GUARD_HEAD_START);
    for entry in over {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match clear(&entry.path(), Patience::Try) {
            Ok(Outcome::NothingToDo) => {}
            Ok(Outcome::Cleared) => {
                say(&format!(
                    "cleared away {name}, an earlier run that was killed"
                ));
            }
            Err(error) => say(&format!(
                "cannot clear away {name}, an earlier run that was killed: {error}"
            )),
        }
    }
}
