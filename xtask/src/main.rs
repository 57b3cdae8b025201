//! `cargo xtask`: the verbs of a developer's day, one file each.
//!
//! Owns how weir is set up, built, checked, tested, shown and measured on a machine. It refuses to
//! depend on any weir crate, so that it still runs when none of them compiles; what it needs to
//! know about them (package names, the place of the eBPF object) is in [`workspace`].

mod bench;
mod build;
mod check;
mod clients;
mod command;
mod demo;
mod fuzz;
mod image;
mod metadata;
mod pod;
mod privilege;
mod setup;
mod step;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Sets up, builds, checks, tests, shows and measures weir.
///
/// Every verb first sets up what it needs on this machine, says what it installs and why, and is
/// silent about what is already there. Once set up, everything works offline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Args),
    Build(build::Args),
    Check(check::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    Demo(demo::Args),
    Vm(vm::Args),
    Image(image::Args),
    PodTest(pod::Args),
    Bench(bench::Args),
    Clients(clients::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::locate()?;
    match cli.verb {
        Verb::Setup(args) => setup::run(&workspace, &args),
        Verb::Build(args) => build::run(&workspace, &args),
        Verb::Check(args) => check::run(&workspace, &args),
        Verb::Test(args) => test::run(&workspace, &args),
        Verb::Fuzz(args) => fuzz::run(&workspace, &args),
        Verb::Demo(args) => demo::run(&workspace, &args),
        Verb::Vm(args) => vm::run(&workspace, &args),
        Verb::Image(args) => image::run(&workspace, &args),
        Verb::PodTest(args) => pod::run(&workspace, &args),
        Verb::Bench(args) => bench::run(&workspace, &args),
        Verb::Clients(args) => clients::run(&workspace, &args),
    }
}
