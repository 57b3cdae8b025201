//! An actor of the kernel suite: applications and proxies that make system calls
//! and say as JSON what came of them.
//!
//! It needs libc and nothing else, so that it runs in an image that holds only
//! the suite. Actors that stay write `"ready"` when they can be used, and end when
//! their standard input does.

mod contract;
mod dial;
mod enter;
mod errors;
mod flood;
mod hold;
mod options;
mod serve;
mod storm;
mod thin_proxy;

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;
use weir_tests::pod::said::READY;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Become a user in a cgroup, and execute a program.
    Enter(enter::Args),
    /// Answer with the destination that the kernel recorded.
    ThinProxy(thin_proxy::Args),
    /// Answer with the address that was connected to.
    Serve(serve::Args),
    /// Connect very often, and check every answer.
    Storm(storm::Args),
    /// Hold streams open, and exchange bytes over them.
    Hold(hold::Args),
    /// Connect, or send datagrams, to each address in turn.
    Dial(dial::Args),
    /// Begin very many connections, and hold on to them.
    Flood(flood::Args),
    /// Present a claim, and say what the kernel answers.
    Claim(thin_proxy::ClaimArgs),
    /// Try to take what the proxy left, and to leave something, without a claim.
    Deposit,
    /// Ask for weir's counters.
    Counters,
    /// Go through everything an application may do with a socket.
    Contract(contract::Args),
}

fn main() -> Result<()> {
    match Cli::parse().role {
        Role::Enter(args) => enter::run(&args),
        Role::ThinProxy(args) => say(&thin_proxy::run(&args)?),
        Role::Serve(args) => say(&serve::run(&args)?),
        Role::Storm(args) => say(&storm::run(args)?),
        Role::Hold(args) => say(&hold::run(&args)?),
        Role::Dial(args) => say(&dial::run(&args)),
        Role::Flood(args) => say(&flood::run(&args)?),
        Role::Claim(args) => say(&thin_proxy::claim(&args)?),
        Role::Deposit => say(&options::deposit()?),
        Role::Counters => say(&thin_proxy::counters()?),
        Role::Contract(args) => say(&contract::run(&args)?),
    }
}

/// Writes one value.
fn say(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Says that this actor can be used.
fn say_ready() -> Result<()> {
    say(&READY)
}

/// Waits for the end of standard input.
fn until_told() {
    // A failing input has ended too.
    let _ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}
