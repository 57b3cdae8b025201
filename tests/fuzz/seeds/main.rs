//! Writes what each fuzzer begins with into a directory of its own: the exchanges
//! of `tests/fixtures/llm` in the form that the fuzzer's function reads, and
//! examples of what is no exchange.

mod bodies;
mod exchanges;
mod heads;
mod hellos;
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use weir::invariant::ALL;

/// Beginnings for the fuzzer of that name.
fn seeds(name: &str, exchanges: &[exchanges::Exchange]) -> Result<Vec<Vec<u8>>> {
    Ok(match name {
        "authority" => heads::authorities(),
        "capture" => bodies::captured(exchanges),
        "chunked" => bodies::chunked(exchanges),
        "classify" => exchanges.iter().map(heads::line).collect(),
        "config" => tables::configurations()?,
        "decode" => bodies::encoded(exchanges)?,
        "eventstream" => bodies::of_type(exchanges, "application/vnd.amazon.eventstream"),
        "grpc" => bodies::of_type(exchanges, "application/grpc"),
        "h1_request" => exchanges.iter().map(heads::request).collect(),
        "h1_response" => exchanges.iter().map(heads::response).collect(),
        "inspection" => exchanges.iter().filter_map(bodies::shown).collect(),
        "json" => bodies::documents(exchanges),
        "json_array" => bodies::arrays(exchanges),
        "litellm" => tables::litellm(),
        "multipart" => bodies::forms(exchanges),
        "ndjson" => bodies::lines(exchanges),
        "prices" => tables::prices()?,
        "protobuf" => bodies::messages(exchanges),
        "session" | "websocket" => bodies::frames(exchanges),
        "sniff" => hellos::first_flights(exchanges)?,
        "sse" | "usage_filter" => bodies::streams(exchanges),
        "traceparent" => heads::contexts(),
        "usage_request" => bodies::requests(exchanges),
        other => anyhow::bail!("nothing to begin the fuzzer {other} with: say so here"),
    })
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [root] = arguments.as_slice() else {
        anyhow::bail!("usage: seeds DIRECTORY");
    };
    let exchanges = exchanges::load()?;
    for invariant in ALL {
        let all: BTreeSet<_> = seeds(invariant.name, &exchanges)?.into_iter().collect();
        ensure!(!all.is_empty(), "{} begins with nothing", invariant.name);
        let directory = PathBuf::from(root).join(invariant.name);
        write(&directory, &all).with_context(|| format!("cannot write {}", directory.display()))?;
    }
    Ok(())
}

fn write(directory: &Path, seeds: &BTreeSet<Vec<u8>>) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{index:03}")), seed)?;
    }
    Ok(())
}
