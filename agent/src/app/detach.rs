//! `weir detach`: take weir's programs off a cgroup.

use std::{os::fd::AsFd, process::ExitCode};

use super::{
    init::find,
    requirements::{self, Task},
    say,
};
use crate::{capture::upgrade, cli::DetachArgs};

/// Detaches what is attached.
///
/// # Errors
///
/// A capability is missing, or there is no such cgroup.
pub fn run(args: &DetachArgs) -> anyhow::Result<ExitCode> {
    requirements::check(Task::Replace)?;
    let cgroup = find(&args.cgroup)?;
    let path = cgroup.path().display();
    match upgrade::detach(cgroup.as_fd())? {
        0 => say(&format!("nothing of weir is attached to {path}")),
        count => say(&format!("detached {count} programs from {path}")),
    }
    Ok(ExitCode::SUCCESS)
}
