//! A process that outlives the supervisor by a moment if that is killed.
//!
//! SIGKILL leaves no chance to clean up, and a command that runs on with its
//! connections refused, in a cgroup that nobody removes, is a riddle. The guard
//! waits on a pipe whose only writer is the supervisor: the end of the stream
//! without a word means it died.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::signal::SigSet;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

use super::leftovers::clear;
use super::place::Patience;
use crate::sys::process::{Process, fork_into, keep_only};

/// What the supervisor writes when it has cleaned up itself.
const DONE: u8 = 1;

/// The supervisor's side. Dropping it sends the guard home.
#[derive(Debug)]
pub(super) struct Guard {
    process: Process,
    pipe: File,
}

impl Guard {
    /// Starts it, before there is anything to guard.
    pub(super) fn start(directory: &Path) -> io::Result<Self> {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
        let process = fork_into(|| match watch(&reading, directory) {
            Ok(()) => 0,
            // There is nobody left to tell but the parent, if it lives.
            Err(_) => 1,
        })?;
        Ok(Self {
            process,
            pipe: writing.into(),
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Told or already dead, it ends without more ado.
        let _told = self.pipe.write_all(&[DONE]);
        let _ended = self.process.end();
    }
}

fn watch(pipe: &OwnedFd, directory: &Path) -> io::Result<()> {
    // Nothing but SIGKILL ends the guard, and no terminal reaches it.
    SigSet::all().thread_set_mask()?;
    setsid()?;
    let _unnamed = nix::sys::prctl::set_name(c"weir-guard");
    // A pipeline that the command is part of must end without us.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    let kept = keep_only(&[pipe.as_fd()])?;
    // What owned those numbers is the supervisor's and not ours to close.
    std::mem::forget(null);
    let Some(pipe) = kept.into_iter().next() else {
        return Err(io::Error::other("the pipe was not kept"));
    };

    let mut word = [0];
    let count = File::from(pipe).read(&mut word)?;
    if count == 0 {
        clear(directory, Patience::Wait)?;
    }
    Ok(())
}
