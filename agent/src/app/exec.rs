//! `weir exec`: one command, intercepted, on one machine.
//!
//! ```text
//!  weir exec ── supervisor (root, no threads; forwards signals, answers the proxy)
//!    ├─ guard          cleans up if the supervisor is killed
//!    ├─ weir proxy     a user of its own, no capabilities   cgroup …/weir-exec-PID/proxy
//!    └─ CMD            the caller's user and terminal       cgroup …/weir-exec-PID/app
//! ```
//!
//! This file owns the order in which these come and go. Everything that is made
//! is held by a value whose drop unmakes it, so that a start that fails half-way
//! and an end in order leave the same: nothing. What only root may do stays in
//! the supervisor, which never looks at traffic; what looks at traffic has no
//! rights.

mod caller;
mod cgroups;
mod command;
mod guard;
mod leftovers;
mod place;
mod proxy;
mod signals;
mod supervise;
mod terminal;
mod waiting;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::Context;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, dup2_stdout};
use weir_common::{FlowReason, Settings};

use super::requirements::{self, Task};
use super::say;
use crate::capture::{Capture, KernelLog, coming_from, settings};
use crate::cli::ExecArgs;
use crate::config::Config;
use crate::sys::addresses::{own_addresses, source_address};
use crate::sys::cgroup::hierarchy::own_cgroup;
use crate::sys::claim::Token;
use crate::sys::process::{End, end_by};
use crate::tls::bundle::{self, Bundles, SYSTEM_BUNDLES};

use caller::{Caller, Environment};
use cgroups::Cgroups;
use command::Started;
use guard::Guard;
use place::{RuntimeDirectory, Word};
use proxy::{Alive, Finished, Proxy, Ready};
use signals::Signals;
use supervise::Watch;
use terminal::Terminal;

/// Runs the command and ends as it did.
///
/// # Errors
/// weir could not start it, or could not go on.
pub fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let end = match session(args) {
        Ok(end) => end,
        // Everything is unmade; end as the signal would have ended it at once.
        Err(error) => match error.downcast::<Interrupted>() {
            Ok(Interrupted(signal)) => End::Killed(signal as i32),
            Err(error) => return Err(error),
        },
    };
    Ok(ExitCode::from(match end {
        End::Exited(status) => status,
        End::Killed(signal) => end_by(signal),
    }))
}

/// A signal arrived before there was a command to give it to.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {0}")]
struct Interrupted(Signal);

/// Fails if a signal has arrived that would have ended weir.
fn interrupted(signals: &Signals) -> anyhow::Result<()> {
    while let Some(arrived) = signals.next()? {
        if arrived.ends_by_default() {
            return Err(Interrupted(arrived.signal).into());
        }
    }
    Ok(())
}

fn session(args: ExecArgs) -> anyhow::Result<End> {
    let signals = Signals::take().context("cannot read signals")?;
    let terminal = Terminal::open();
    let config = Config::load(args.config.as_deref())?;
    requirements::check(Task::Exec)?;
    let inherited: Environment = std::env::vars_os().collect();
    let caller = Caller::of(&inherited)?;
    let environment = caller.environment(inherited.clone());
    let report = match &args.report_file {
        None => None,
        Some(file) => Some(caller.create(file).with_context(|| {
            format!(
                "cannot write the report to {}: name a writable file with --report-file",
                file.display()
            )
        })?),
    };
    let base = own_cgroup()?;
    leftovers::sweep();

    let name = place::own_name();
    let directory = place::runtime_root().join(&name);
    let word = Word {
        cgroup: base.path().to_owned(),
        id: base.id()?,
        survivors: config.capture.on_proxy_down.into(),
    };
    let _guard = Guard::start(&directory).context("cannot start the guard")?;
    let directory = RuntimeDirectory::create(&directory, &word)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let cgroups = Cgroups::create(base, &name, word.survivors)
        .with_context(|| format!("cannot make cgroups in {}", word.cgroup.display()))?;
    let token = Token::random().context("cannot make the claim's token")?;
    let mut capture = Capture::load(KernelLog::Off, None)?;
    capture
        .set_local_addresses(&own_addresses().context("cannot list this machine's addresses")?)?;
    // Claims are accepted from now on; nothing is captured yet.
    capture.configure(&Settings {
        token: token.bytes(),
        ..Settings::NOTHING
    })?;
    capture.attach(cgroups.run().as_fd())?;
    let mut proxy = Proxy::start(
        &args,
        &inherited,
        &cgroups,
        &signals,
        report.as_ref(),
        token.clone(),
    )?;
    drop(report);
    let ready = proxy.wait_ready(&signals)?;
    let trusting = trust(&environment, &directory, &ready)?;
    let told = settings(&config.capture, ready.listening, &token, None);
    capture.configure(&coming_from(told, source_address()))?;
    proxy.wait_proven(&signals)?;
    interrupted(&signals)?;

    let command =
        match command::start(args.command.clone(), &trusting, &caller, &cgroups, &signals)? {
            Started::Running(command) => command,
            Started::NotExecuted { status, reason } => {
                let name = args.command.first().cloned().unwrap_or_default();
                say(&format!("cannot run {}: {reason}", name.display()));
                return Ok(End::Exited(status));
            }
        };
    leave_pipeline().context("cannot open /dev/null")?;

    let mut watch = Watch {
        signals: &signals,
        cgroups: &cgroups,
        terminal: &terminal,
        proxy: &mut proxy,
        proxy_alive: Alive::Yes,
        on_proxy_down: config.capture.on_proxy_down,
    };
    let end = watch.command(&command)?;
    watch.descendants(end, args.linger)?;
    let proxy_alive = watch.proxy_alive;

    // Whoever runs on is let go first: it must not find the proxy closing.
    cgroups
        .release()
        .context("cannot let the command's processes go")?;
    let flows = capture
        .counters()?
        .into_iter()
        .map(|(reason, count): (FlowReason, u64)| (reason.as_str().to_owned(), count))
        .collect();
    // Sockets made before stay with the cgroup, and the programs with them.
    capture.configure(&Settings::NOTHING)?;
    if proxy_alive == Alive::Yes && proxy.finish(flows, &signals)? == Finished::Lost {
        say("the proxy did not end in order: the report is lost or incomplete");
    }
    Ok(end)
}

/// Writes what the command is to trust, and says by which variables.
fn trust(
    environment: &Environment,
    directory: &RuntimeDirectory,
    ready: &Ready,
) -> anyhow::Result<Environment> {
    let bundles = Bundles::assemble(&ready.ca_pem, environment, &SYSTEM_BUNDLES, &[])?;
    for warning in ready.warnings.iter().chain(&bundles.warnings) {
        say(warning);
    }
    for (name, contents) in bundles.files() {
        directory
            .publish(name, contents)
            .with_context(|| format!("cannot write {}", directory.path().join(name).display()))?;
    }
    let mut trusting = environment.clone();
    trusting.extend(bundle::environment(environment, directory.path()));
    Ok(trusting)
}

/// Lets go of input and output, which are the command's: whoever reads its
/// output must see the end of it, and not wait for those it left behind.
fn leave_pipeline() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(())
}
