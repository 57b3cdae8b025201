//! `weir inject`: reads manifests, writes them changed; and its webhook.

mod certificate;
mod serve;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::say;
use crate::cli::{InjectArgs, InjectCommand};
use crate::inject::options::Image;
use crate::inject::stream::{self, StreamError, Task};

pub use serve::Webhook;

/// Upper bound of what is read, in bytes: a whole cluster's manifests are less.
const MANIFESTS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Does what was asked for.
///
/// # Errors
/// A file cannot be read, or holds no manifests.
pub fn run(args: &InjectArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(InjectCommand::Serve(args)) => serve::run(args),
        Some(InjectCommand::Certificate(args)) => certificate::run(args),
        None => filter(args),
    }
}

fn filter(args: &InjectArgs) -> anyhow::Result<ExitCode> {
    let options = args.chosen.options(Image::Default);
    let task = if args.remove {
        Task::Remove
    } else {
        Task::Inject(&options)
    };
    let mut text = String::new();
    let mut templates = 0;
    let mut refused = false;
    for file in &args.files {
        let manifests = read(file)?;
        match stream::run(&manifests, task) {
            Ok(outcome) => {
                for note in &outcome.notes {
                    say(note);
                }
                templates += outcome.templates;
                append(&mut text, &outcome.text);
            }
            Err(StreamError::Refused(lines)) => {
                refused = true;
                for line in lines {
                    say(&line.to_string());
                }
            }
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        }
    }
    if refused {
        say("nothing is written");
        return Ok(ExitCode::FAILURE);
    }
    if templates == 0 {
        say("there is no pod in these manifests: nothing is changed");
    }
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a file's documents after another's.
fn append(text: &mut String, more: &str) {
    let is_yaml = !more.trim_start().starts_with('{');
    if !text.is_empty() && is_yaml && !more.trim_start().starts_with("---") {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("---\n");
    }
    text.push_str(more);
}

fn read(file: &Path) -> anyhow::Result<String> {
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let opened = File::open(file);
        Box::new(opened.with_context(|| format!("cannot read {}", file.display()))?)
    };
    let mut text = String::new();
    source
        .take(MANIFESTS_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() as u64 > MANIFESTS_BYTES_MAX {
        bail!(
            "{}: more than {} MiB, which no manifests have: name other files",
            file.display(),
            MANIFESTS_BYTES_MAX / 1024 / 1024
        );
    }
    Ok(text)
}
