//! What clients of many languages and TLS stacks make of weir: each makes calls
//! as it is installed, and again with roots of its own, which no variable can
//! extend. Prints a table, and fails if one came out otherwise than expected.
//!
//! Run by `cargo xtask clients`, which installs the clients.

mod client;
mod fate;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use weir_tests::world::{World, usual};

use client::{Client, Mode};
use fate::Fate;

/// What every client calls.
const HOST: &str = "api.openai.com";

/// Makes calls with clients of many languages through weir.
#[derive(Parser)]
struct Cli {
    /// Only clients whose names contain one of these.
    only: Vec<String>,
    /// Also write the table to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut clients = client::all().context("clients cannot be prepared")?;
    clients.retain(|client| {
        cli.only.is_empty() || cli.only.iter().any(|part| client.name.contains(part))
    });
    ensure!(!clients.is_empty(), "no client is called that");
    let mut rows = Vec::new();
    for client in &clients {
        let mut row = table::Row::of(client);
        for mode in Mode::ALL {
            if let Some(command) = client.command(mode) {
                let fate = fate(client, &command).with_context(|| client.name.to_owned())?;
                row.take(mode, &fate);
            }
        }
        eprintln!("{row}");
        rows.push(row);
    }
    let markdown = table::markdown(&rows);
    println!("{markdown}");
    if let Some(file) = &cli.markdown {
        std::fs::write(file, &markdown)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let unexpected: Vec<&str> = rows
        .iter()
        .filter(|row| !row.is_as_expected())
        .map(|row| row.name)
        .collect();
    ensure!(
        unexpected.is_empty(),
        "otherwise than expected: {}",
        unexpected.join(", ")
    );
    Ok(())
}

/// Makes calls direct and through weir, in worlds of their own.
fn fate(client: &Client, command: &[String]) -> Result<Fate> {
    let world = World::naming(&[HOST], usual())?;
    // How it fails without weir does not matter, only whether.
    let direct = world.run_direct(&client::at(command, &world.ca())).ok();
    let through = World::naming(&[HOST], usual())?;
    let words = client::at(command, &through.ca());
    let ended = through.weir().run(&fate::repeated(&words))?;
    Ok(Fate::of(
        direct.as_deref(),
        &fate::calls(&ended.text())?,
        ended.records(),
        client.speaks_chat,
    ))
}
