//! `weir init`: attach the kernel half to a pod's cgroup, leave the proxy what it
//! needs, exit.
//!
//! The order matters: the settings are in the maps before the programs act, and
//! the state is written before they do, so that a proxy that starts meanwhile
//! finds it. A second run takes over the maps of the first.

use std::{os::fd::AsFd, process::ExitCode};

use anyhow::Context;
use weir_common::Settings;

use super::{
    requirements::{self, Task},
    say,
    state::State,
};
use crate::{
    capture::{
        Capture, KernelLog, LISTEN_PORTS, Listening, coming_from, settings, upgrade::Previous,
    },
    cli::{CgroupChoice, InitArgs, KernelLogLevel},
    config::Config,
    sys::{
        addresses::{has_ipv6_loopback, own_addresses, source_address},
        cgroup::{Cgroup, pod::pod_cgroup},
        claim::Token,
    },
    tls::seal::Seal,
};

/// Attaches, or replaces what is attached.
///
/// # Errors
///
/// A capability is missing, there is no such cgroup, or the kernel refuses.
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(chosen) = args.on_proxy_down {
        config.capture.on_proxy_down = chosen.into();
    }
    requirements::check(Task::Attach {
        proxy_uid: args.proxy_uid,
    })?;
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
    let before = capture.settings()?;
    // A proxy that runs has the secret, and so must the kernel half go on with
    // it: with what its maps hold, or, if somebody detached it meanwhile, with
    // what the state says about this very cgroup.
    let cgroup_id = cgroup.id()?;
    let of_this_pod = State::read(&args.state)
        .ok()
        .filter(|state| state.cgroup_id == cgroup_id);
    let (token, seal) = of_this_pod.map(|state| (state.token, state.seal)).unzip();
    let token = match Token::from_bytes(before.token).or(token) {
        Some(token) => token,
        None => Token::random().context("cannot make the claim's token")?,
    };
    let seal = match seal {
        Some(seal) => seal,
        None => Seal::random().context("cannot make the seal of the CA's key")?,
    };
    let state = State::new(
        token.clone(),
        seal,
        listening,
        cgroup.path().to_owned(),
        cgroup_id,
    );
    state.write(&args.state, args.proxy_uid)?;
    if previous.is_some() && before.listen_port != listening.port {
        say(&format!(
            "the proxy's ports change from {} to {}: restart a proxy that runs, it gets no connections",
            before.listen_port, listening.port
        ));
    }
    let told = settings(&config.capture, listening, &token, args.exempt_uid);
    capture.configure(&Settings {
        // Whoever follows decisions goes on doing so.
        trace: before.trace,
        ..coming_from(told, source_address())
    })?;
    match &previous {
        None => capture.attach(cgroup.as_fd())?,
        Some(previous) => capture.attach_replacing(cgroup.as_fd(), previous)?,
    }
    say(&format!(
        "{} 9 programs on {}",
        if previous.is_none() {
            "attached"
        } else {
            "replaced"
        },
        cgroup.path().display(),
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
