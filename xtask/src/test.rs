//! `cargo xtask test`: every suite, by privilege, and one table at the end.
//!
//! A suite that cannot run is a failure with its remedy, never a silent pass. Test programs are
//! built as the calling user and only run as root, so that the target directory stays the user's.

mod kernel;
pub(crate) mod report;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build::{self, HostProfile};
use crate::command::shown;
use crate::metadata::{self, GatedTest};
use crate::privilege::Privilege;
use crate::setup::route::RouteChoice;
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::test::report::{Counts, Outcome, Report, Suite};
use crate::workspace::Workspace;

/// The feature behind which tests need root, cgroup2 and BPF.
pub(crate) const PRIVILEGED: &str = "privileged";
/// What a test program may want from the caller's environment: sudo clears it.
const KEPT_VARIABLES: [&str; 4] = ["PATH", "RUST_BACKTRACE", "RUST_LOG", "CARGO"];

/// Runs every suite and ends with a table.
///
/// Builds the eBPF object, weir and the provider emulator, then runs the unprivileged suites
/// (`cargo test --workspace`) and the privileged ones, as root or through sudo. Without root,
/// cgroup2 or BPF the privileged suites count as failed, unless --unprivileged leaves them out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the suites that need root, and say which.
    #[arg(long)]
    unprivileged: bool,
    #[command(flatten)]
    route: RouteChoice,
    /// Arguments for every test program, such as a part of a test's name, or --nocapture.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails, or a suite did not pass.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let purpose = if args.unprivileged {
        Purpose::UnprivilegedTest
    } else {
        Purpose::Test
    };
    let toolchain = setup::ensure(workspace, &[purpose], args.route)?;
    let steps = Steps::new("test", workspace.tools().join("log"));
    build::object(workspace, &steps, &toolchain)?;
    build::host(workspace, &steps, HostProfile::Debug)?;
    let emulator = workspace.cargo(["build", "--package", "weir-emulator"]);
    steps.shown("provider emulator", emulator)?;

    let mut report = Report::default();
    report.add(unprivileged(workspace, &steps, args)?);
    let gated = privileged_tests(workspace)?;
    if args.unprivileged {
        for test in &gated {
            report.add(Suite::not_run(&test.name));
        }
    } else {
        privileged(workspace, &steps, args, &gated, &mut report)?;
    }
    eprintln!();
    println!("{report}");
    report.verdict()
}

/// The tests that anyone may run, unit and documentation tests included.
fn unprivileged(workspace: &Workspace, steps: &Steps, args: &Args) -> Result<Suite> {
    let mut tests = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    tests.arg("--").args(&args.arguments);
    watch(steps, "unprivileged", tests, args)
}

pub(crate) fn privileged_tests(workspace: &Workspace) -> Result<Vec<GatedTest>> {
    let mut tests = metadata::gated_tests(workspace)?;
    tests.retain(|test| test.features.iter().any(|feature| feature == PRIVILEGED));
    Ok(tests)
}

/// The tests that need root, each program a suite of its own.
fn privileged(
    workspace: &Workspace,
    steps: &Steps,
    args: &Args,
    tests: &[GatedTest],
    report: &mut Report,
) -> Result<()> {
    if tests.is_empty() {
        // Manifests that lost the feature must not look like suites that passed.
        report.add(Suite::failed(
            PRIVILEGED,
            "no test declares required-features privileged",
        ));
        return Ok(());
    }
    if let Err(missing) = kernel::ready(Privilege::detect()) {
        for test in tests {
            report.add(Suite::failed(&test.name, &format!("{missing:#}")));
        }
        return Ok(());
    }
    let programs = match build_programs(workspace, steps, tests) {
        Ok(programs) => programs,
        Err(error) => {
            steps.note(&format!("{error:#}"));
            for test in tests {
                report.add(Suite::failed(&test.name, "did not build"));
            }
            return Ok(());
        }
    };
    for test in tests {
        let program = programs
            .iter()
            .find(|(name, _)| *name == test.name)
            .map(|(_, path)| path)
            .with_context(|| format!("cargo did not build the test {}", test.name))?;
        let mut command = as_root(workspace, test, program)?;
        command.args(&args.arguments);
        report.add(watch(steps, &test.name, command, args)?);
    }
    Ok(())
}

/// Builds the test programs and gives them by the names of their targets.
pub(crate) fn build_programs(
    workspace: &Workspace,
    steps: &Steps,
    tests: &[GatedTest],
) -> Result<Vec<(String, PathBuf)>> {
    let mut build = workspace.cargo([
        "test",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let packages: BTreeSet<&str> = tests.iter().map(|test| test.package.as_str()).collect();
    for package in packages {
        build.args(["--package", package]);
    }
    for test in tests {
        build.args(["--test", &test.name]);
        for feature in &test.features {
            let feature = format!("{}/{feature}", test.package);
            build.args(["--features", &feature]);
        }
    }
    steps.note("privileged test programs");
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&build)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&build), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(built_program).collect())
}

/// The name and path in one of cargo's messages, if it announces a program.
pub(crate) fn built_program(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), executable.into()))
}

/// `program` as root, where and with the variables that cargo gives a test.
fn as_root(workspace: &Workspace, test: &GatedTest, program: &Path) -> Result<Command> {
    let directory = test.directory.to_string_lossy();
    let set = [("CARGO_MANIFEST_DIR", directory.as_ref())];
    let words = Privilege::detect().words(&KEPT_VARIABLES, &set, program)?;
    Ok(workspace.command_in(&test.directory, &words))
}

/// Runs test programs, passes their output through and counts what it says.
fn watch(steps: &Steps, name: &str, mut command: Command, args: &Args) -> Result<Suite> {
    let started = Instant::now();
    steps.note(&format!("suite {name}"));
    let to_terminal = std::io::stdout().is_terminal();
    let chooses = args
        .arguments
        .iter()
        .any(|argument| argument.starts_with("--color"));
    if to_terminal && !chooses {
        // Through a pipe, the test programs would take this for a file.
        command.arg("--color=always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    let output = child
        .stdout
        .take()
        .context("the test's output was not piped")?;
    let mut counts = Counts::default();
    let mut terminal = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the test's output")?;
        counts.read_line(&String::from_utf8_lossy(&line));
        terminal.write_all(&line)?;
        terminal.write_all(b"\n")?;
    }
    let status = child.wait().context("cannot wait for the test")?;
    Ok(Suite {
        name: name.to_owned(),
        outcome: Outcome::judge(status.success(), counts, &args.arguments),
        counts,
        duration: started.elapsed(),
    })
}
