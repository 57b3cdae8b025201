//! The command itself: started as if weir were not there.
//!
//! Same session, process group and terminal, same input, output and directory,
//! the caller's user and variables, and only the variables of trust besides.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

use super::caller::{Caller, Environment};
use super::cgroups::Cgroups;
use super::proxy::environment_block;
use super::signals::Signals;
use crate::cli::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
use crate::sys::process::{Process, Program, SpawnError, Unprepared, restore_signals, spawn};

/// What came of starting it.
#[derive(Debug)]
pub(super) enum Started {
    /// It runs.
    Running(Process),
    /// It could not be executed: the status that says why, and the reason.
    NotExecuted { status: u8, reason: io::Error },
}

/// Starts it in its cgroup.
pub(super) fn start(
    words: Vec<OsString>,
    environment: &Environment,
    caller: &Caller,
    cgroups: &Cgroups,
    signals: &Signals,
) -> anyhow::Result<Started> {
    let arguments = words
        .into_iter()
        .map(|word| Ok(CString::new(word.into_vec())?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let program = Program {
        file: arguments.first().cloned().unwrap_or_default(),
        arguments,
        environment: environment_block(environment)?,
    };
    // Opened by root, so that the child may still use it as the caller.
    let mut entrance = cgroups.app().entrance()?;
    let outcome = spawn(&program, || {
        entrance
            .write_all(b"0")
            .map_err(Unprepared::at("enter the command's cgroup"))?;
        caller.assume()?;
        restore_signals(signals.inherited()).map_err(Unprepared::at("restore signals"))
    });
    match outcome {
        Ok(process) => Ok(Started::Running(process)),
        Err(SpawnError::Execute(reason)) => Ok(Started::NotExecuted {
            status: if reason.kind() == io::ErrorKind::NotFound {
                EXIT_NOT_FOUND
            } else {
                EXIT_NOT_EXECUTABLE
            },
            reason,
        }),
        Err(error) => Err(error.into()),
    }
}
