//! The cgroups of one run: one to attach to, one for the command and all it
//! starts, one for the proxy, whose traffic is never captured.
//!
//! The cgroup, unlike a user or a process tree, is something a process cannot
//! leave by forking, daemonising or becoming another user.

use std::io;
use std::time::{Duration, Instant};

use super::leftovers::{APP, PROXY};
use super::place::Survivors;
use super::say;
use crate::sys::cgroup::Cgroup;

/// How long the kernel may take to let go of what has ended.
const ENDED_WAIT_MAX: Duration = Duration::from_secs(2);

/// The cgroups; they go when this is dropped, and with them the programs. What
/// is still running then was not let go in order, and has lost weir.
#[derive(Debug)]
pub(super) struct Cgroups {
    run: Cgroup,
    app: Cgroup,
    proxy: Cgroup,
    made: Made,
}

#[derive(Debug)]
struct Made {
    base: Cgroup,
    name: String,
    survivors: Survivors,
}

impl Cgroups {
    /// Makes them below the cgroup weir was started in, so that limits on that
    /// one keep holding.
    pub(super) fn create(base: Cgroup, name: &str, survivors: Survivors) -> io::Result<Self> {
        let run = base.create(name)?;
        let made = Made {
            base,
            name: name.to_owned(),
            survivors,
        };
        Ok(Self {
            app: run.create(APP)?,
            proxy: run.create(PROXY)?,
            run,
            made,
        })
    }

    /// Where the programs are attached.
    pub(super) fn run(&self) -> &Cgroup {
        &self.run
    }

    /// Where the command is.
    pub(super) fn app(&self) -> &Cgroup {
        &self.app
    }

    /// Where the proxy is.
    pub(super) fn proxy(&self) -> &Cgroup {
        &self.proxy
    }

    /// Lets what the command left running go on without weir.
    pub(super) fn release(&self) -> io::Result<()> {
        self.app.release_to(&self.made.base)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            let path = self.base.path().join(&self.name);
            say(&format!(
                "cannot remove the cgroup {}: {error}",
                path.display()
            ));
        }
    }
}

impl Made {
    fn clear(&self) -> io::Result<()> {
        let run = match self.base.child(&self.name) {
            Ok(run) => run,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.survivors {
            Survivors::End => run.kill()?,
            Survivors::Release => run.release_to(&self.base)?,
        }
        run.wait_empty(Instant::now() + ENDED_WAIT_MAX)?;
        self.base.remove(&self.name)
    }
}
