//! `cargo xtask fuzz`: the fuzzers of everything that reads what others send.
//!
//! Owns building them with cargo-fuzz, what they begin with, running them side by side, and
//! bringing what they found back into the committed corpus. What must hold is said in the agent
//! (`weir::invariant`); a plain test replays the corpus.
//!
//! The fuzzers are built with AddressSanitizer. What they read is read by safe code, mostly; but it
//! is the sanitizer that shows libFuzzer which strings of bytes are compared (it stands before
//! `memcmp`), without which a fuzzer does not guess a word of a protocol.

mod merge;
mod program;
mod seeds;
mod session;
mod statistics;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fuzz::program::Programs;
use crate::fuzz::session::Verdict;
use crate::setup;
use crate::step::Steps;
use crate::workspace::Workspace;

pub(crate) use program::ensure as ensure_cargo_fuzz;

/// Fuzzes everything that reads what others send, and ends with a table.
///
/// Builds the fuzzers (with cargo-fuzz, which is installed into target/tools, and a C++ compiler),
/// lets each begin with its committed corpus, with the exchanges of tests/fixtures/llm and with
/// what earlier runs found, and runs them at the lowest priority. What one finds ends it; the input
/// is kept in target/fuzz/findings, the command that shows it again is printed, and the verb fails.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which fuzzers, by their names in tests/fuzz/targets; without any: all.
    targets: Vec<String>,
    /// How long each runs, in seconds of the processor.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// How many run at a time; without it: as many as there are processors.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Put what was found into the committed corpus, as few and as small files as reach as much of
    /// the code; with --seconds 0 nothing is run before.
    #[arg(long, alias = "minimize")]
    minimise: bool,
}

/// Where things are that the fuzzers read and write.
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        Self {
            root: workspace.root().to_path_buf(),
        }
    }

    /// The package.
    pub(crate) fn package(&self) -> PathBuf {
        self.root.join("tests/fuzz")
    }

    /// The committed corpus of a fuzzer.
    pub(crate) fn committed(&self, target: &str) -> PathBuf {
        self.package().join("corpus").join(target)
    }

    /// Everything that is not committed; also cargo's target directory of the fuzzers, which are
    /// compiled with flags of their own.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("target/fuzz")
    }

    /// What a fuzzer added to its corpus, in this run and earlier ones.
    pub(crate) fn grown(&self, target: &str) -> PathBuf {
        self.work().join("corpus").join(target)
    }

    /// Examples for each fuzzer.
    pub(crate) fn seeds(&self) -> PathBuf {
        self.work().join("seeds")
    }

    /// The inputs for which something did not hold.
    pub(crate) fn findings(&self, target: &str) -> PathBuf {
        self.work().join("findings").join(target)
    }

    /// The fuzzers there are.
    fn targets(&self) -> Result<Vec<String>> {
        let directory = self.package().join("targets");
        let list = || format!("cannot list {}", directory.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).with_context(list)? {
            let path = entry.with_context(list)?.path();
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
        names.sort();
        Ok(names)
    }
}

/// The verb.
///
/// # Errors
/// When set-up or the build fails, a name is not that of a fuzzer, or something was found.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let places = Places::new(workspace);
    let all = places.targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no fuzzer {unknown}: name some of {}",
            all.join(", ")
        );
    }
    let targets = if args.targets.is_empty() {
        all
    } else {
        args.targets.clone()
    };
    let cargo_fuzz = setup::ensure_fuzzers(workspace)?;
    let steps = Steps::new("fuzz", workspace.tools().join("log"));
    let programs = Programs::build(workspace, &steps, &places, &cargo_fuzz, &targets)?;
    seeds::write(workspace, &steps, &places)?;

    let verdicts = if args.seconds > 0 {
        run_all(&steps, &places, &programs, &targets, args)?
    } else {
        Vec::new()
    };
    if args.minimise {
        for target in &targets {
            merge::into_committed(workspace, &steps, &places, &programs, target)?;
        }
    }
    if verdicts.is_empty() {
        return Ok(());
    }
    eprintln!();
    println!("{}", table::Table(&verdicts));
    let findings: Vec<&Verdict> = verdicts.iter().filter(|it| it.has_failed()).collect();
    for verdict in &findings {
        println!("\n{}", verdict.explanation(&programs));
    }
    if !findings.is_empty() {
        let names: Vec<_> = findings.iter().map(|it| it.target.as_str()).collect();
        bail!("something did not hold: {}", names.join(", "));
    }
    Ok(())
}

/// Runs the fuzzers, a few at a time, in the order of their names.
fn run_all(
    steps: &Steps,
    places: &Places,
    programs: &Programs,
    targets: &[String],
    args: &Args,
) -> Result<Vec<Verdict>> {
    let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(processors).get().min(targets.len());
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let seconds = Duration::from_secs(args.seconds);
    let work = || -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        while let Some(target) = next() {
            verdicts.push(session::run(places, programs, target, seconds, steps)?);
        }
        Ok(verdicts)
    };
    let mut verdicts = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let done = worker
                .join()
                .map_err(|_panic| anyhow::anyhow!("a worker panicked"))?;
            all.extend(done?);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    verdicts.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(verdicts)
}
