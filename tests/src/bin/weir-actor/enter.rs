//! Becoming a process of a container: its cgroup, its user, its privileges.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the cgroup.
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// User and group to become.
    #[arg(long, default_value_t = 0)]
    user: u32,
    /// Keep only these capabilities, by number; for user 0.
    #[arg(long, value_delimiter = ',')]
    capabilities: Option<Vec<u32>>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Executes the program; returns only if that failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(cgroup) = &args.cgroup {
        let entrance = cgroup.join("cgroup.procs");
        fs::write(&entrance, "0")
            .with_context(|| format!("cannot enter {}", entrance.display()))?;
    }
    // Many streams need more descriptors than the usual soft limit.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    if let Some(kept) = &args.capabilities {
        // What root may have after execve is bounded by this set.
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
        for number in 0..=last.trim().parse()? {
            if !kept.contains(&number) {
                let capability = CapabilitySet::from_bits_retain(1 << number);
                remove_capability_from_bounding_set(capability)?;
            }
        }
    }
    if args.user != 0 {
        let group = Gid::from_raw(args.user);
        let user = Uid::from_raw(args.user);
        setgroups(&[group])?;
        setresgid(group, group, group)?;
        // With the last user id 0 go all capabilities.
        setresuid(user, user, user)?;
    }
    let (program, arguments) = args
        .command
        .split_first()
        .context("a program is required")?;
    let error = Command::new(program).args(arguments).exec();
    bail!("cannot execute {program}: {error}")
}
