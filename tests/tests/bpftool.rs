//! What the README shows of bpftool is what bpftool shows.
//!
//! Numbers differ from run to run, and so does the order of a hash map; every
//! line that is printed in the README must be a line of the real output, its
//! numbers apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use weir_tests::pod::Pod;

/// The directory that stands for the pod's in the README.
const POD: &str = "/sys/fs/cgroup/my-pod";

/// A command of the README, and the lines that follow it.
struct Example {
    words: Vec<String>,
    lines: Vec<String>,
}

fn examples(readme: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut in_example = false;
    for line in readme.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            in_example = command.starts_with("bpftool ");
            if in_example {
                examples.push(Example {
                    words: command.split(' ').map(str::to_owned).collect(),
                    lines: Vec::new(),
                });
            }
        } else if line.starts_with("```") {
            in_example = false;
        } else if in_example
            && line != "…"
            && let Some(example) = examples.last_mut()
        {
            example.lines.push(normal(line));
        }
    }
    examples
}

/// A line without its numbers, the width of its columns and the comma at its end.
fn normal(line: &str) -> String {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| {
            if word.bytes().all(|byte| byte.is_ascii_digit()) {
                "N".to_owned()
            } else {
                word.to_owned()
            }
        })
        .collect();
    words.join(" ")
}

fn readme() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Runs a command, on the maps of this pod and no other.
fn run(words: &[String], pod: &Pod) -> Result<String> {
    let maps = pod.attached()?.maps;
    let mut words: Vec<String> = words
        .iter()
        .map(|word| match word.as_str() {
            POD => pod.cgroup().display().to_string(),
            word => word.to_owned(),
        })
        .collect();
    // Other pods on this machine have maps of that name, too.
    if let Some(at) = words.iter().position(|word| word == "name") {
        let name = words.get(at + 1).context("a name follows")?;
        let mut named = maps.iter().filter(|(_, called)| *called == name);
        let (id, _) = named.next().with_context(|| format!("no map {name}"))?;
        let id = id.to_string();
        words.splice(at..at + 2, ["id".to_owned(), id]);
    }
    let (program, arguments) = words.split_first().context("a command")?;
    let output = Command::new(PathBuf::from(program))
        .args(arguments)
        .output()
        .context("install bpftool: `cargo xtask setup` does")?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_readme_shows_what_bpftool_shows() -> Result<()> {
    let examples = examples(&readme()?);
    assert_eq!(examples.len(), 3, "the README shows three commands");
    let pod = Pod::captured("")?;
    for example in examples {
        let output = run(&example.words, &pod)?;
        let lines: BTreeSet<String> = output.lines().map(normal).collect();
        ensure!(
            !example.lines.is_empty(),
            "{:?} shows nothing",
            example.words
        );
        for line in &example.lines {
            ensure!(
                lines.contains(line),
                "{:?} does not show {line:?} but {output}",
                example.words
            );
        }
    }
    Ok(())
}
