//! `cargo xtask bench`: what weir costs.
//!
//! Builds everything optimised and runs one benchmark as root. Figures depend on the machine and
//! on what else it does: a benchmark prints them and fails only if it could not measure.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build::{self, HostProfile};
use crate::command::shown;
use crate::privilege::Privilege;
use crate::setup::route::RouteChoice;
use crate::setup::{self, Purpose, peers};
use crate::step::Steps;
use crate::test::{PRIVILEGED, built_program};
use crate::workspace::Workspace;

/// The package of the benchmarks.
const PACKAGE: &str = "weir-tests";
/// What a benchmark wants from the caller's environment: sudo clears it.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "RUST_BACKTRACE", "RUST_LOG"];

/// Measures what weir costs, beside the same without it.
///
/// Builds `weir` and the benchmark optimised, and runs it in network namespaces of its own, as root
/// or through sudo. Nothing else should be busy on the machine meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure.
    #[arg(value_enum, default_value_t = Benchmark::Stream)]
    benchmark: Benchmark,
    #[command(flatten)]
    route: RouteChoice,
    /// Which cases of peers: idle, unary, unary-h2, sizes, dial, dial-far, streams, events, slow,
    /// slow-many, upload, splice, costs [default: all]
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
    /// Arguments for the benchmark, such as --json FILE of redirect, tap and peers; `-- --help` of
    /// peers has more.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// How much later the events of a stream arrive.
    Stream,
    /// What a connection and a request cost, beside iptables, which is installed for it.
    Redirect,
    /// What metering costs: bodies read and left unread, and its instructions alone.
    Tap,
    /// weir beside nginx, HAProxy, Envoy and mitmproxy, which are fetched for it.
    Peers,
    /// Instructions of what every call goes through; fails if they are over 5 % more than budgeted.
    Guard,
}

impl Benchmark {
    /// The name of its target.
    fn target(self) -> &'static str {
        match self {
            Self::Stream => "stream_delay",
            Self::Redirect => "redirect",
            Self::Tap | Self::Guard => "tap",
            Self::Peers => "peers",
        }
    }

    /// What it needs of the machine.
    fn purpose(self) -> Purpose {
        match self {
            Self::Stream => Purpose::Test,
            Self::Redirect | Self::Tap => Purpose::Bench,
            Self::Guard => Purpose::Guard,
            Self::Peers => Purpose::Peers,
        }
    }
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails, or nothing could be measured.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let privilege = Privilege::detect();
    if privilege == Privilege::None && args.benchmark != Benchmark::Guard {
        bail!("benchmarks need root, and there is no sudo: run `cargo xtask bench` as root");
    }
    let toolchain = setup::ensure(workspace, &[args.benchmark.purpose()], args.route)?;
    let steps = Steps::new("bench", workspace.tools().join("log"));
    build::object(workspace, &steps, &toolchain)?;
    if args.benchmark != Benchmark::Guard {
        build::host(workspace, &steps, HostProfile::Release)?;
    }

    let target = args.benchmark.target();
    let features = format!("{PACKAGE}/{PRIVILEGED}");
    let mut build = workspace.cargo(["bench", "--no-run", "--package", PACKAGE]);
    build.args(["--features", &features, "--bench", target]);
    build.args(["--message-format", "json-render-diagnostics"]);
    steps.note(&format!("benchmark {target}"));
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&build)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&build), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let (_, program) = messages
        .lines()
        .filter_map(built_program)
        .find(|(name, _)| name == target)
        .with_context(|| format!("cargo did not build the benchmark {target}"))?;

    let mut command = match args.benchmark {
        // Callgrind asks for no privilege.
        Benchmark::Guard => workspace.command(&program),
        Benchmark::Stream | Benchmark::Redirect | Benchmark::Tap | Benchmark::Peers => {
            let words = privilege.words(&KEPT_VARIABLES, &[], &program)?;
            workspace.command_in(workspace.root(), &words)
        }
    };
    command.args(&args.cases);
    if args.benchmark == Benchmark::Guard {
        command.arg("--guard");
    }
    if args.benchmark == Benchmark::Peers {
        command.arg("--unpacked").arg(peers::directory(workspace));
    }
    command.args(&args.arguments);
    steps.note(match args.benchmark {
        Benchmark::Guard => "counting takes about a minute",
        Benchmark::Peers => "measuring all cases takes about an hour",
        Benchmark::Stream | Benchmark::Redirect | Benchmark::Tap => {
            "measuring takes a minute or two"
        }
    });
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    if !status.success() {
        bail!("{target} failed ({status})");
    }
    Ok(())
}
