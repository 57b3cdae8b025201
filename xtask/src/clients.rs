//! `cargo xtask clients`: clients of many languages and TLS stacks through weir.
//!
//! Installs them, builds weir and the program that runs them, and prints what became of each:
//! inspected, or let through after it refused weir's certificate. Fails if one came out otherwise
//! than expected, so that no client breaks silently.

use anyhow::{Context, Result, bail};

use crate::build::{self, HostProfile};
use crate::metadata;
use crate::privilege::Privilege;
use crate::setup::route::RouteChoice;
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::test::build_programs;
use crate::workspace::Workspace;

/// The feature of the suite, and its name.
const CLIENTS: &str = "clients";
/// What the clients want from the caller's environment: sudo clears it.
const KEPT_VARIABLES: [&str; 4] = ["PATH", "HOME", "RUST_BACKTRACE", "CARGO"];

/// Runs clients of many languages through weir, and prints what became of their calls.
///
/// curl, wget, git, Python, Node, Deno, Bun, Go, Java, Ruby, PHP, Perl, Rust and gRPC, as they are
/// released: as installed, and with roots of their own. Installs them all, about 1 GB. Runs in
/// network namespaces of its own, as root or through sudo.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    route: RouteChoice,
    /// Parts of clients' names, to run only those; --markdown FILE, to write the table there.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails, or a client came out otherwise than expected.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let privilege = Privilege::detect();
    if privilege == Privilege::None {
        bail!("intercepting needs root, and there is no sudo: run `cargo xtask clients` as root");
    }
    let toolchain = setup::ensure(workspace, &[Purpose::Clients], args.route)?;
    let steps = Steps::new("clients", workspace.tools().join("log"));
    build::object(workspace, &steps, &toolchain)?;
    build::host(workspace, &steps, HostProfile::Debug)?;
    let mut tests = metadata::gated_tests(workspace)?;
    tests.retain(|test| test.name == CLIENTS);
    let programs = build_programs(workspace, &steps, &tests)?;
    let (_, program) = programs
        .iter()
        .find(|(name, _)| name == CLIENTS)
        .context("cargo did not build the suite of clients")?;
    let words = privilege.words(&KEPT_VARIABLES, &[], program)?;
    let mut command = workspace.command_in(workspace.root(), &words);
    command.args(&args.arguments);
    steps.shown("clients, of which some are installed first", command)
}
