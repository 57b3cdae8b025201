//! What weir's redirection costs, beside that of iptables.
//!
//! ```text
//!  the application's namespace                       the server's
//!  cgroup app: client    lo   cgroup proxy: relay    veth
//!  192.0.2.1 ─────────────── 127.0.0.1:15001… ──────────── 192.0.2.7:443
//! ```
//!
//! One client, one server and one trivial relay, the same programs for every
//! way. The client connects to the server; nothing redirects it (direct), or
//! weir's programs do, or a REDIRECT rule of iptables does. Each way has
//! namespaces and cgroups of its own, so that nothing of one is in the way of
//! another; what the kernel switches on for the whole machine at the first user
//! (netfilter's hooks, the cgroup's) is on for all of them. The ways alternate,
//! some tenths of a second each, with fresh processes every round, so that
//! whatever else the machine does, and wherever the programs come to lie in
//! memory, meets all alike.
//!
//! Both ways of redirecting are as people run them: weir as `weir init` attaches
//! it, all nine programs, sixteen ports; iptables with the rules that a sidecar
//! needs and no more, connection tracking as it comes with them.
//!
//! Prints figures and judges nothing: it fails only if it could not measure.

mod bed;
mod client;
mod figures;
mod measure;
mod programs;
mod relay;
mod server;
mod table;
mod turn;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use weir_tests::bench::machine;

use crate::bed::{Bed, Way};
use crate::figures::Rounds;
use crate::table::Table;
use crate::turn::Step;

/// The client's address.
const APPLICATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where the client wants to go.
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 443);
/// Rounds whose figures are thrown away. A round is one turn of each way.
const WARM_UP: usize = 1;
/// Rounds that count.
const ROUNDS: usize = 16;

#[derive(Parser)]
struct Cli {
    /// Write the figures of every turn to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// This program again, as a part of what is measured.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The application.
    Client,
    /// The proxy.
    Relay(relay::Args),
    /// The destination.
    Server,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Client) => client::run(),
        Some(Part::Relay(args)) => relay::run(&args),
        Some(Part::Server) => server::run(),
        None => compare(cli.json),
    }
}

fn compare(json: Option<PathBuf>) -> Result<()> {
    let mut beds = Vec::new();
    for way in Way::ALL {
        match Bed::new(way) {
            Ok(bed) => beds.push(bed),
            // One of the two is enough to compare with; neither is not.
            Err(error) if way.is_iptables() => println!("without {way}: {error:#}"),
            Err(error) => return Err(error).with_context(|| format!("cannot set up {way}")),
        }
    }
    ensure!(
        beds.iter().any(|bed| bed.way().is_iptables()),
        "there is no iptables to compare with: install it"
    );
    let before = machine::load()?;
    let processor = pin()?;
    let mut rounds = Rounds::default();
    for round in 0..WARM_UP + ROUNDS {
        // Nobody is always the first, or always after the same.
        beds.rotate_left(1);
        let mut turns = beds.iter().map(Bed::start).collect::<Result<Vec<_>>>()?;
        for step in Step::ALL {
            for turn in &mut turns {
                let done = turn.step(step);
                done.with_context(|| format!("cannot measure {}", turn.way))?;
            }
        }
        for bed in &beds {
            let checked = bed.check();
            checked.with_context(|| format!("cannot measure {}", bed.way()))?;
        }
        for turn in turns {
            let (way, figures) = (turn.way, turn.finish()?);
            if round >= WARM_UP {
                rounds.add(way, figures);
            }
        }
    }
    println!("{}", conditions(&beds, before, processor)?);
    println!();
    print!("{}", Table::new(&rounds)?);
    for bed in beds.iter().filter(|bed| bed.way() == Way::Weir) {
        println!();
        print!("{}", programs::costs(bed)?);
    }
    if let Some(path) = json {
        fs::write(&path, serde_json::to_vec_pretty(&rounds)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Keeps this process, and those it starts from now on, to one processor; says which.
///
/// On several, where the scheduler puts client, relay and server decides more
/// than what they do: the same exchange takes half as long or twice.
fn pin() -> Result<usize> {
    // The first serves more of the machine's interrupts than the last.
    let last = machine::processors()?.pop();
    let processor = last.context("no processor is allowed")?;
    machine::keep_to(&[processor])?;
    Ok(processor)
}

/// What figures depend on.
fn conditions(beds: &[Bed], load_before: f64, processor: usize) -> Result<String> {
    let versions: Vec<&str> = beds.iter().filter_map(Bed::version).collect();
    Ok(format!(
        "{}\n{}; IPv4\n\
         load average {load_before:.2} before and {:.2} after, this benchmark included\n\
         everything on processor {processor}; {ROUNDS} rounds after {WARM_UP} to warm up",
        machine::describe()?,
        versions.join(", "),
        machine::load()?
    ))
}
