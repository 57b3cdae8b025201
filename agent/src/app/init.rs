//! `weir init`: attach the kernel half to a pod's cgroup, leave the proxy what it
//! needs, exit.
//!
//! The order matters: the settings are in the maps before the programs act, and
//! the state is written before they do, so that a proxy that starts meanwhile
//! finds it. A second run takes over the maps of the first.

use std::{num::NonZeroU32, os::fd::AsFd, process::ExitCode};

use anyhow::Context;

use super::{
    requirements::{self, Task},
    say,
    state::State,
};
use crate::{
    capture::{Capture, KernelLog, LISTEN_PORTS, Listening, settings, upgrade::Previous},
    cli::{CgroupChoice, InitArgs, KernelLogLevel},
    config::Config,
    sys::{
        addresses::{has_ipv6_loopback, own_addresses},
        cgroup::{Cgroup, pod::pod_cgroup},
        claim::Token,
    },
};

/// Attaches, or replaces what is attached.
///
/// # Errors
///
/// A capability is missing, there is no such cgroup, or the kernel refuses.
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(args.config.as_deref())?;
    requirements::check(Task::Attach)?;
    let cgroup = find(&args.cgroup)?;
    let previous = Previous::on(cgroup.as_fd())?;
    let mut capture = Capture::load(kernel_log(args.kernel_log), previous.as_ref())?;
    let addresses = own_addresses().context("cannot list this pod's addresses")?;
    capture.set_local_addresses(&addresses)?;

    let listening = Listening {
        port: args.port,
        count: LISTEN_PORTS,
        ipv6: has_ipv6_loopback(),
    };
    // A proxy that runs keeps its claim, and one that starts needs the secret
    // that the kernel knows: both go on with the one there is.
    let token = match (&previous, State::read(&args.state)) {
        (Some(_), Ok(state)) if state.token.bytes() == capture.settings()?.token => state.token,
        _ => Token::random().context("cannot make the claim's token")?,
    };
    let state = State::new(
        token.clone(),
        listening,
        cgroup.path().to_owned(),
        cgroup.id()?,
    );
    state.write(&args.state, args.proxy_uid)?;
    let exempt_uid: Option<NonZeroU32> = args.exempt_uid;
    capture.configure(&settings(&config.capture, listening, &token, exempt_uid))?;
    match &previous {
        None => capture.attach(cgroup.as_fd())?,
        Some(previous) => capture.attach_replacing(cgroup.as_fd(), previous)?,
    }
    say(&format!(
        "{} 9 programs on {} (kernel features: {})",
        if previous.is_none() {
            "attached"
        } else {
            "replaced"
        },
        cgroup.path().display(),
        capture.features(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// The cgroup that is meant.
pub(super) fn find(choice: &CgroupChoice) -> anyhow::Result<Cgroup> {
    match choice {
        CgroupChoice::Auto => Ok(pod_cgroup(&[])?),
        CgroupChoice::At(path) => Cgroup::at(path).with_context(|| {
            format!(
                "{} is not a cgroup v2 directory: name one below a cgroup2 mount",
                path.display()
            )
        }),
    }
}

fn kernel_log(level: KernelLogLevel) -> KernelLog {
    match level {
        KernelLogLevel::Off => KernelLog::Off,
        KernelLogLevel::Warn => KernelLog::Warn,
        KernelLogLevel::Info => KernelLog::Info,
        KernelLogLevel::Debug => KernelLog::Debug,
    }
}
