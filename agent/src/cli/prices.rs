//! What `weir prices` can be told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `weir prices`.
#[derive(Debug, Args)]
pub struct PricesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PricesCommand,
}

/// What can be done about prices.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// Show what calls to a model are charged, and where that price was taken from
    #[command(after_long_help = SHOW_AFTER)]
    Show(ShowPricesArgs),
    /// Make a price file of another table, and show what it changes
    #[command(long_about = UPDATE_ABOUT, after_long_help = UPDATE_AFTER)]
    Update(UpdatePricesArgs),
}

const SHOW_AFTER: &str = "\
Units:
  US dollars per million tokens; those that begin with `per_` per one.

Exit status:
  0    there is a price
  1    there is none: calls are recorded as unpriced
  125  weir prices itself failed

Examples:
  weir prices show gpt-4o
  weir prices show claude-sonnet-4-6 --provider anthropic --config /etc/weir/weir.yaml";

const UPDATE_ABOUT: &str = "\
Make a price file of another table, and show what it changes

Reads FILE, which is a price file of weir's or LiteLLM's \
model_prices_and_context_window.json, checks all of it, prints each price that \
differs from those in force, and writes a price file for `prices.file` of the \
configuration to name. Models of a price file that is there already and are not \
in FILE stay as they are. Nothing is fetched from anywhere.";

const UPDATE_AFTER: &str = "\
weir reads its prices when it starts; one that runs goes on with those it has.

Examples:
  weir prices update model_prices_and_context_window.json --output /etc/weir/prices.json
  weir prices update negotiated.json --config /etc/weir/weir.yaml --dry-run";

/// Arguments of `weir prices show`.
#[derive(Debug, Args)]
pub struct ShowPricesArgs {
    /// The model, as calls name it
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Who bills, as records name them, such as `openai` or `aws.bedrock` [default: all]
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Configuration file, whose `prices.file` goes before the built-in prices
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `weir prices update`.
#[derive(Debug, Args)]
pub struct UpdatePricesArgs {
    /// The table to take prices from
    #[arg(value_name = "FILE")]
    pub table: PathBuf,
    /// Price file to write [default: `prices.file` of the configuration]
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub output: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// When the table was published, if it does not say so [default: when FILE was last changed]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub date: Option<String>,
    /// Show what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn date(text: &str) -> Result<String, String> {
    let shape = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if shape && text.len() == 10 {
        Ok(text.to_owned())
    } else {
        Err("write it as 2026-11-20".to_owned())
    }
}
