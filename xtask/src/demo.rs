//! `cargo xtask demo`: what a stranger runs first.
//!
//! ```text
//!  application host                                     provider host
//!  weir exec -- python, node, curl ──── eth0 ═ eth0 ──── weir-emulator as api.openai.com,
//!  203.0.113.2, 2001:db8::2                              api.anthropic.com, docs.example.org
//! ```
//!
//! Both hosts are network namespaces without a name: they exist as long as a process of the demo
//! does, so that there is nothing to remove even after SIGKILL. The clients are the providers' own,
//! as released, and are given API keys and nothing else; what weir counted is then compared with
//! what the emulator says it sent, and the demo fails unless all of it agrees.

pub(crate) mod clients;
mod directory;
mod events;
mod evidence;
mod host;
mod network;
mod provider;
mod remains;
mod session;
mod table;
mod verdict;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build::{self, HostProfile};
use crate::command::shown;
use crate::demo::clients::Clients;
use crate::demo::directory::RunDirectory;
use crate::demo::events::Events;
use crate::demo::evidence::{Report, Sent};
use crate::demo::network::Network;
use crate::demo::provider::Provider;
use crate::demo::remains::Trace;
use crate::demo::table::Table;
use crate::demo::verdict::Verdict;
use crate::privilege::Privilege;
use crate::setup::route::RouteChoice;
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::workspace::Workspace;

/// What the part that runs as root wants from the environment, which sudo clears: where the
/// checkout is, where programs are, and how to draw.
const KEPT_VARIABLES: [&str; 5] = ["CARGO", "CARGO_MANIFEST_DIR", "NO_COLOR", "PATH", "TERM"];

/// Shows weir at work: official clients, unmodified, metered call by call.
///
/// Makes two hosts out of network namespaces. On one, an emulator answers as api.openai.com and
/// api.anthropic.com; on the other, the OpenAI and Anthropic SDKs and curl call them under `weir
/// exec`, streaming and not. Ends with a table that compares what weir counted with what the
/// emulator says it sent, and succeeds only if every number is equal. No call leaves the machine.
/// Needs root, directly or through sudo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print weir's report, one JSON object, to stdout; everything else goes to stderr.
    #[arg(long)]
    json: bool,
    /// Keep the files of the run, and say where they are: the configuration, the report and the
    /// emulator's ledger.
    #[arg(long)]
    keep: bool,
    /// Everything is installed and built, and this is the part that runs as root.
    #[arg(long, hide = true)]
    prepared: bool,
    #[command(flatten)]
    route: RouteChoice,
}

/// The verb.
///
/// # Errors
/// When something cannot be set up or built, or a number is not as it should be.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.prepared {
        return perform(workspace, args);
    }
    let privilege = Privilege::detect();
    if privilege == Privilege::None {
        bail!(
            "the demo needs root, for network namespaces and eBPF, and there is no sudo: run \
             `cargo xtask demo` as root"
        );
    }
    eprintln!("{OPENING}");
    prepare(workspace, args)?;
    match privilege {
        Privilege::Root => perform(workspace, args),
        Privilege::Sudo | Privilege::None => as_root(workspace, args, privilege),
    }
}

const OPENING: &str = "\
This runs the official OpenAI and Anthropic clients under weir, against an emulator of both
providers on this machine, and compares what weir counted with what the emulator sent. The clients
are unmodified: they get an API key, and no base URL, no proxy and no option that knows of weir.
";

/// Everything that needs no root: tools, clients and programs.
fn prepare(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = setup::ensure(workspace, &[Purpose::Demo], args.route)?;
    let steps = steps(workspace);
    build::object(workspace, &steps, &toolchain)?;
    build::host(workspace, &steps, HostProfile::Debug)?;
    let emulator = workspace.cargo(["build", "--package", "weir-emulator"]);
    steps.shown("provider emulator", emulator)
}

/// This program again, as root.
fn as_root(workspace: &Workspace, args: &Args, privilege: Privilege) -> Result<()> {
    let program = env::current_exe().context("cannot find out which program this is")?;
    let words = privilege.words(&KEPT_VARIABLES, &[], &program)?;
    let mut command = workspace.command_in(workspace.root(), &words);
    command.args(["demo", "--prepared"]);
    if args.json {
        command.arg("--json");
    }
    if args.keep {
        command.arg("--keep");
    }
    steps(workspace).note("the rest runs as root, through sudo: namespaces and eBPF");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    if !status.success() {
        bail!("the demo failed ({status})");
    }
    Ok(())
}

/// The demo proper, and the proof that nothing of it is left.
fn perform(workspace: &Workspace, args: &Args) -> Result<()> {
    let steps = steps(workspace);
    let mut trace = Trace::default();
    let outcome = play(workspace, args, &steps, &mut trace);
    let remains = trace.remains();
    for left in &remains {
        steps.note(&format!("left behind: {left}"));
    }
    outcome?;
    if !remains.is_empty() {
        bail!("the demo left something behind: see above");
    }
    Ok(())
}

/// Everything made here is unmade when it returns, in the reverse order.
fn play(workspace: &Workspace, args: &Args, steps: &Steps, trace: &mut Trace) -> Result<()> {
    let mut events = Events::listen()?;
    directory::sweep(&directory(workspace), steps)?;
    let mut files = RunDirectory::create(&directory(workspace))?;
    if args.keep {
        files.keep()?;
        steps.note(&format!(
            "keeping the files of this run in {}",
            files.path().display()
        ));
    } else {
        trace.watch_directory(files.path());
    }

    let network = Network::create(workspace, &files, trace)?;
    network.describe(steps);

    let provider = Provider::start(workspace, &network, &files, &mut events)?;
    steps.note("the provider answers, 120 ms after each question, then an event every 10 ms");
    let clients = Clients::installed(workspace)?;
    let session = session::run(
        workspace,
        steps,
        &network,
        &files,
        &clients,
        &mut events,
        trace,
    )?;
    // Its ledger is complete once it is gone.
    provider.stop(&mut events)?;
    drop(network);

    let text = files
        .read(directory::REPORT)
        .context("weir wrote no report: what it said is above")?;
    let report = Report::parse(&text)?;
    let sent = Sent::parse_ledger(&files.read(directory::LEDGER)?)?;
    let verdict = Verdict::reach(&session, &report, &sent);

    if args.json {
        eprintln!("\n{}", Table::new(&verdict, table::Paint::for_stderr()));
        println!("{}", text.trim_end());
    } else {
        eprintln!();
        println!("{}", Table::new(&verdict, table::Paint::for_stdout()));
    }
    verdict.judge()
}

fn steps(workspace: &Workspace) -> Steps {
    Steps::new("demo", workspace.tools().join("log"))
}

/// Where clients are installed and the files of a run are.
fn directory(workspace: &Workspace) -> PathBuf {
    workspace.root().join("target/demo")
}

/// A program that cargo built.
fn built(workspace: &Workspace, program: &str) -> PathBuf {
    workspace
        .root()
        .join(Path::new("target/debug"))
        .join(program)
}
