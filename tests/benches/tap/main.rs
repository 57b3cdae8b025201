//! What metering costs: the same calls, with bodies read and left unread.
//!
//! Two runs of weir stand side by side in one world, one as it is by default, one
//! with `models.bodies: leave`. Both take TLS off and put it on again, in the same
//! relay; only the first reads what passes, and asks streams for their usage. A
//! client under each, and one without weir, make the same calls in turns, so that
//! whatever else the machine does meets all alike.
//!
//! Compared are the bodies, byte by byte; the processor time of the proxy, by its
//! own clock; and how late the events of a stream arrive. Apart from that the
//! instructions and allocations are counted that reading takes, in [`driven`]: they
//! are the same on a busy machine.
//!
//! Prints figures and judges only bodies: it fails if they differ, or if it could
//! not measure.

mod budget;
mod callgrind;
mod client;
mod driven;
mod figures;
mod relayed;
mod shape;
mod streamed;
mod table;
mod way;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;
use weir_tests::bench::machine;
use weir_tests::world::World;

use crate::callgrind::{Allocated, Counted};
use crate::client::Turn;
use crate::driven::Input;
use crate::figures::{Figures, Turns};
use crate::shape::Shape;
use crate::table::{Allocations, Instructions, Table};
use crate::way::{Traveller, Way};

/// The argument by which this program is the client.
const CLIENT: &str = "client";
/// Rounds whose figures are thrown away. A round is one turn of each way.
const WARM_UP: usize = 1;
/// Rounds that count.
const ROUNDS: usize = 10;

#[derive(Parser)]
struct Cli {
    /// Write the figures of every turn to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Count instructions and allocations only: needs neither root nor a quiet machine.
    #[arg(long)]
    instructions: bool,
    /// Count them, and fail if there are over 5 % more than in the committed budget.
    #[arg(long)]
    guard: bool,
    /// Make what is counted the budget.
    #[arg(long, requires = "guard")]
    update: bool,
    /// This program again, as a part of what is measured.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The application.
    Client,
    /// What metering does with one input, and nothing else.
    Drive {
        /// The input.
        input: Input,
        /// How many times.
        times: u32,
    },
}

/// All that was measured.
#[derive(Serialize)]
struct Measured {
    machine: String,
    turns: Turns,
    instructions: Vec<Counted>,
    allocations: Vec<Allocated>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Client) => return client::run(),
        Some(Part::Drive { input, times }) => return driven::drive(input, times),
        None => {}
    }
    if cli.guard {
        return guard(cli.update);
    }
    let machine = format!(
        "{}; load average {}",
        machine::describe()?,
        machine::load()?
    );
    println!("{machine}");
    let mut turns = Turns::default();
    if !cli.instructions {
        turns = travel()?;
        println!();
        print!("{}", Table::new(&turns)?);
    }
    let instructions = Input::ALL.into_iter().map(callgrind::count);
    let instructions = instructions.collect::<Result<Vec<_>>>()?;
    println!();
    print!("{}", Instructions(&instructions));
    let allocations = Input::ALL.into_iter().map(callgrind::allocated);
    let allocations = allocations.collect::<Result<Vec<_>>>()?;
    println!();
    print!("{}", Allocations(&allocations));
    let Some(path) = cli.json else {
        return Ok(());
    };
    let measured = Measured {
        machine,
        turns,
        instructions,
        allocations,
    };
    fs::write(&path, serde_json::to_vec_pretty(&measured)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Holds the instructions against the budget, or makes them the budget.
fn guard(is_update: bool) -> Result<()> {
    let counted = Input::ALL.into_iter().map(callgrind::count);
    let counted = counted.collect::<Result<Vec<_>>>()?;
    if is_update {
        return budget::update(&counted);
    }
    budget::check(&counted)
}

/// Makes the turns of all ways.
fn travel() -> Result<Turns> {
    let world = World::new()?;
    let mut travellers = [Way::Direct, Way::Unread, Way::Read]
        .into_iter()
        .map(|way| Traveller::start(way, &world))
        .collect::<Result<Vec<_>>>()?;
    let (mut turns, mut calls) = (Turns::default(), 0);
    let mut digests = [None; Shape::ALL.len()];
    println!("{ROUNDS} rounds after {WARM_UP} to warm up; direct, unread and read take turns");
    for round in 0..WARM_UP + ROUNDS {
        // Nobody is always the first, or always after the same.
        travellers.rotate_left(1);
        for (index, shape) in Shape::ALL.into_iter().enumerate() {
            let mut turn = Turn {
                shape: index,
                paced: false,
            };
            calls += shape.calls + usize::from(shape.has_events());
            for traveller in &mut travellers {
                let (got, computed) = traveller.turn(turn)?;
                let digest = digests[index].get_or_insert(got.digest);
                ensure!(
                    *digest == got.digest,
                    "{shape}: what came {} differs from what came before",
                    traveller.way
                );
                if round >= WARM_UP {
                    turns.add(shape, traveller.way, Figures::of(&got, computed));
                }
            }
            turn.paced = true;
            for traveller in travellers.iter_mut().filter(|_| shape.has_events()) {
                let (got, _) = traveller.turn(turn)?;
                if round >= WARM_UP {
                    turns.add_delays(shape, traveller.way, got.delays_ns)?;
                }
            }
        }
    }
    for traveller in travellers {
        let way = traveller.way;
        let finished = traveller.finish(calls);
        finished.with_context(|| format!("cannot measure {way}"))?;
    }
    Ok(turns)
}
