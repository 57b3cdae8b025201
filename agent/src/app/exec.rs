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
mod requirements;
mod signals;
mod supervise;
mod terminal;
mod waiting;

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, dup2_stdout};
use weir_common::{FlowReason, MAX_PORTS, Settings};

use crate::capture::Capture;
use crate::cli::ExecArgs;
use crate::config::{CaptureConfig, Config};
use crate::sys::cgroup::hierarchy::own_cgroup;
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
    requirements::check()?;
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
    let mut capture = Capture::load()?;
    capture.attach(cgroups.run().as_fd())?;
    capture.exempt(cgroups.proxy().id()?)?;
    let mut proxy = Proxy::start(&args, &inherited, &cgroups, &signals, report.as_ref())?;
    drop(report);
    let ready = proxy.wait_ready(&signals)?;
    let trusting = trust(&environment, &directory, &ready)?;
    capture.configure(&settings(&config.capture, &ready)?)?;
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
    capture.configure(&nothing_captured())?;
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
    let bundles = Bundles::assemble(&ready.ca_pem, environment, &SYSTEM_BUNDLES)?;
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

/// What the kernel is told, given where the proxy listens.
fn settings(config: &CaptureConfig, ready: &Ready) -> anyhow::Result<Settings> {
    let SocketAddr::V4(listen4) = ready.listen4 else {
        bail!(
            "the proxy listens on {}, which is no IPv4 address",
            ready.listen4
        );
    };
    let listen6 = match ready.listen6 {
        None => None,
        Some(SocketAddr::V6(listen6)) if listen6.port() == listen4.port() => Some(*listen6.ip()),
        Some(other) => bail!("the proxy listens on {other}, which does not go with {listen4}"),
    };
    let given = config.ports.as_slice();
    let mut ports = [0; MAX_PORTS];
    for (slot, port) in ports.iter_mut().zip(given) {
        *slot = *port;
    }
    Ok(Settings {
        listen6: listen6.map_or([0; 16], |ip| ip.octets()),
        listen4: listen4.ip().octets(),
        listen_port: listen4.port(),
        has_listen6: u8::from(listen6.is_some()),
        quic: config.quic as u8,
        on_proxy_down: config.on_proxy_down as u8,
        port_count: u8::try_from(given.len())?,
        reserved: [0; 6],
        ports,
    })
}

/// Settings under which the programs let everything pass.
fn nothing_captured() -> Settings {
    Settings {
        listen6: [0; 16],
        listen4: [0; 4],
        listen_port: 0,
        has_listen6: 0,
        quic: 0,
        on_proxy_down: 0,
        port_count: 0,
        reserved: [0; 6],
        ports: [0; MAX_PORTS],
    }
}

/// Lets go of input and output, which are the command's: whoever reads its
/// output must see the end of it, and not wait for those it left behind.
fn leave_pipeline() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(())
}

/// Tells the user something, as one line. Standard error may be gone, which is
/// no reason to end.
fn say(line: &str) {
    let line = line.replace(['\n', '\r'], " ");
    let _unheard = writeln!(io::stderr(), "weir: {line}");
}
