//! What people ask weir on a machine: `weir status`, `weir doctor`, `weir trace`,
//! and which pod `weir init --cgroup auto` would take. Root, cgroup2 and BPF.
//!
//! Other weirs may run on the machine meanwhile: each test asks for its own.

mod doctor;
mod place;
mod status;
mod trace;

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_tests::pod::program;

/// `weir` with these words, started by another program if there is one.
fn weir<S: AsRef<OsStr>>(wrapper: &[&str], words: &[S]) -> Result<Command> {
    let weir = program("weir")?;
    let mut line = wrapper.iter().map(AsRef::as_ref).chain([weir.as_os_str()]);
    let mut command = Command::new(line.next().context("it has at least one word")?);
    command
        .args(line)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs it to its end.
fn run<S: AsRef<OsStr>>(wrapper: &[&str], words: &[S]) -> Result<Output> {
    let mut command = weir(wrapper, words)?;
    command
        .output()
        .with_context(|| format!("cannot start {command:?}"))
}

/// What it printed, as JSON.
fn json(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON: {output:?}"))
}

/// The one line with which weir failed by its own fault.
fn refusal(output: &Output) -> Result<String> {
    ensure!(output.status.code() == Some(125), "{output:?}");
    let text = std::str::from_utf8(&output.stderr)?;
    let line = text.strip_prefix("weir: ").context("weir's own line")?;
    Ok(line.trim_end().to_owned())
}

/// Enters a cgroup and executes what follows.
fn inside(directory: &str) -> [&str; 5] {
    const ENTER: &str = "echo 0 > \"$0/cgroup.procs\" && exec \"$@\"";
    ["sh", "-c", ENTER, directory, "env"]
}
