//! How many instructions each input may take, and whether it does.
//!
//! The budget is a file beside this one. Instructions are the same however busy the
//! machine is, but not for another compiler or another build: the file names both.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::callgrind::Counted;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tap/budget.json");
/// How many hundredths more than the budget are a regression.
const REGRESSION_PERCENT: u64 = 5;

/// What the inputs took when somebody last looked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// What built it, and how.
    build: String,
    /// By input.
    instructions: BTreeMap<String, u64>,
}

/// Compares with the budget, and prints both.
///
/// # Errors
/// An input takes more than its budget allows, or has none.
pub(crate) fn check(counted: &[Counted]) -> Result<()> {
    let text = fs::read(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let budget: Budget = serde_json::from_slice(&text).context(FILE)?;
    let build = build()?;
    if build != budget.build {
        println!("the budget is of {}, and this is {build}", budget.build);
    }
    println!(
        "{:<26}{:>14}{:>14}{:>9}",
        "instructions", "budget", "now", ""
    );
    let mut over = Vec::new();
    for it in counted {
        let allowed = budget.instructions.get(&it.input);
        let allowed = allowed.with_context(|| format!("{} has no budget: --update", it.input))?;
        let permille = i128::from(it.instructions) * 1000 / i128::from(*allowed.max(&1)) - 1000;
        let (sign, size) = (if permille < 0 { '-' } else { '+' }, permille.abs());
        let change = format!("{sign}{}.{} %", size / 10, size % 10);
        println!(
            "{:<26}{allowed:>14}{:>14}{change:>12}",
            it.input, it.instructions
        );
        if it.instructions * 100 > allowed * (100 + REGRESSION_PERCENT) {
            over.push(it.input.as_str());
        }
    }
    ensure!(
        over.is_empty(),
        "more than {REGRESSION_PERCENT} % over budget: {}. Where there is a reason, \
         `cargo xtask bench guard -- --update` makes these the budget",
        over.join(", ")
    );
    Ok(())
}

/// Makes these the budget.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn update(counted: &[Counted]) -> Result<()> {
    let budget = Budget {
        build: build()?,
        instructions: counted
            .iter()
            .map(|it| (it.input.clone(), it.instructions))
            .collect(),
    };
    let text = serde_json::to_string_pretty(&budget)? + "\n";
    fs::write(FILE, text).with_context(|| format!("cannot write {FILE}"))
}

/// The compiler's version, and whether it optimised.
fn build() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    if !output.status.success() {
        bail!("rustc does not say its version");
    }
    let compiler = String::from_utf8(output.stdout)?;
    let kind = if cfg!(debug_assertions) {
        "unoptimised"
    } else {
        "optimised"
    };
    Ok(format!("{}, {kind}", compiler.trim()))
}
