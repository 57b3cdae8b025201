//! `cargo xtask check`: everything that judges the source without running it.

use anyhow::{Result, bail};

use crate::build;
use crate::command::on_path;
use crate::metadata;
use crate::setup::route::{RouteChoice, Toolchain};
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::workspace::Workspace;

/// Checks format, lints (host and BPF), documentation and dependencies.
///
/// In this order: `cargo fmt --check`; clippy over all targets of the workspace, the privileged
/// tests included; clippy over the eBPF programs with the compiler that builds them; `cargo doc`;
/// `cargo deny check` where cargo-deny is installed, its advisories where their database can be
/// fetched. Warnings are errors; all checks run, and those that failed are named at the end.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    route: RouteChoice,
}

/// The verb.
///
/// # Errors
/// When set-up fails or a check does.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = setup::ensure(workspace, &[Purpose::Check], args.route)?;
    let steps = Steps::new("check", workspace.tools().join("log"));

    let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let results = [
        steps.shown("format", workspace.cargo(["fmt", "--all", "--check"])),
        clippy_host(workspace, &steps),
        clippy_bpf(workspace, &steps, &toolchain),
        steps.shown("documentation", doc),
        dependencies(workspace, &steps),
    ];
    let failures: Vec<String> = results
        .into_iter()
        .filter_map(|result| Some(format!("\n  {:#}", result.err()?)))
        .collect();
    if !failures.is_empty() {
        bail!("checks failed:{}", failures.concat());
    }
    Ok(())
}

fn clippy_host(workspace: &Workspace, steps: &Steps) -> Result<()> {
    let mut clippy = workspace.cargo(["clippy", "--workspace", "--all-targets"]);
    // Tests behind a feature are left out by --all-targets, and would rot.
    for test in metadata::gated_tests(workspace)? {
        for feature in test.features {
            clippy
                .arg("--features")
                .arg(format!("{}/{feature}", test.package));
        }
    }
    clippy.args(["--", "-D", "warnings"]);
    steps.shown("clippy for the host", clippy)
}

/// With the clippy of the toolchain that builds the object: rustup's stable has no `core` for BPF,
/// and clippy cannot read that of another compiler.
fn clippy_bpf(workspace: &Workspace, steps: &Steps, toolchain: &Toolchain) -> Result<()> {
    let mut clippy = toolchain.cargo(workspace, "clippy");
    clippy
        .args(build::ebpf_selection())
        .args(["--", "-D", "warnings"]);
    steps.shown("clippy for BPF", clippy)
}

fn dependencies(workspace: &Workspace, steps: &Steps) -> Result<()> {
    if on_path("cargo-deny").is_none() {
        steps.note(
            "dependencies NOT checked: cargo-deny is not installed \
             (`cargo install cargo-deny --locked`)",
        );
        return Ok(());
    }
    let deny = |arguments: &[&str]| {
        let mut deny = workspace.cargo(["deny", "--workspace"]);
        deny.args(arguments);
        deny
    };
    steps.shown(
        "dependencies",
        deny(&["check", "bans", "licenses", "sources"]),
    )?;

    // The advisories are the one thing here that changes outside the checkout, and that no
    // earlier set-up can bring: without network they are named as missing.
    if let Err(error) = steps.silent("advisories", "advisory database", deny(&["fetch", "db"])) {
        steps.note(&format!("advisories NOT checked: {error:#}"));
        return Ok(());
    }
    steps.shown(
        "advisories",
        deny(&["check", "--disable-fetch", "advisories"]),
    )
}
