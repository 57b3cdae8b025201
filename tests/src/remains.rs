//! Whether a run of `weir exec` left anything behind.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use weir::sys::bpf::loaded_program_names;
use weir::sys::cgroup::hierarchy::own_cgroup;

use crate::output::eventually;
use crate::processes::with_environment;

/// Programs in the kernel have no owner that can be asked for, so that only one
/// run at a time can be told to have left none.
static MACHINE: Mutex<()> = Mutex::new(());

/// The machine, for one test, as it was before.
#[derive(Debug)]
pub struct Machine {
    programs: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// Takes stock.
    ///
    /// # Errors
    /// The kernel does not list its programs: these suites need root.
    pub fn take() -> Result<Self> {
        // A test that failed has said so; the next is not affected.
        let alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            programs: programs()?,
            _alone: alone,
        })
    }

    /// Fails if anything is left of the run whose supervisor was `pid`, and
    /// whose processes carry `mark` in their environment, programs included.
    ///
    /// # Errors
    /// Names what is left.
    pub fn is_as_before(&self, pid: u32, mark: &str) -> Result<()> {
        nothing_of(pid, mark)?;
        eventually("weir's programs are unloaded", || {
            programs().is_ok_and(|count| count <= self.programs)
        })
    }
}

/// Fails if anything is left of that run which bears its name: processes, its
/// cgroup (and with it what is attached there), its directory.
///
/// # Errors
/// Names what is left.
pub fn nothing_of(pid: u32, mark: &str) -> Result<()> {
    let name = format!("weir-exec-{pid}");
    eventually(&format!("no process carries {mark}"), || {
        with_environment(mark).is_empty()
    })
    .with_context(|| format!("left: {:?}", with_environment(mark)))?;
    let cgroup = own_cgroup().context("these suites need cgroup v2")?;
    eventually(&format!("the cgroup {name} is gone"), || {
        cgroup.child(&name).is_err()
    })?;
    eventually(&format!("the directory /run/{name} is gone"), || {
        !Path::new("/run").join(&name).exists()
    })
}

fn programs() -> Result<usize> {
    let names = loaded_program_names()
        .context("cannot list the kernel's programs: run these suites as root")?;
    Ok(names
        .iter()
        .filter(|name| name.starts_with("weir_"))
        .count())
}
