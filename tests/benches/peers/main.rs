//! weir beside other proxies, on the same path and in one run.
//!
//! ```text
//!  the application's namespace                                  the provider's
//!  cgroup app: client   lo    cgroup proxy: weir, or a peer     veth
//!  ─────────── TLS 1.3 ────────────────┘ └────── TLS 1.3 ──────── upstream
//! ```
//!
//! Each path has namespaces and cgroups of its own, with one client and one
//! provider, the same programs for all. nginx, HAProxy, Envoy and mitmproxy are
//! told to terminate and to encrypt again, with certificates of the same kind,
//! and to keep their connections; the client is told of them. Of weir it knows
//! nothing. The proxy has a processor to itself, client and provider share
//! another. The paths alternate after each turn, so that whatever else the
//! machine does meets all alike.
//!
//! weir behind rules of iptables is not among them: it takes a connection's
//! destination from its own programs alone, and refuses those without. What the
//! two ways of redirecting cost is for the benchmark `redirect`.
//!
//! Prints figures and judges nothing: it fails only if it could not measure weir
//! or the direct path. Peers that it could not are named.

mod answer;
mod bars;
mod case;
mod client;
mod framing;
mod ground;
mod link;
mod load;
mod measure;
mod path;
mod processes;
mod programs;
mod results;
mod session;
mod table;
mod upstream;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weir_tests::bench::machine;

use crate::case::Case;
use crate::ground::{Authority, Ground, Processors};
use crate::path::Path;
use crate::programs::{Means, version};
use crate::results::{LeftOut, Results};
use crate::session::{Session, Times};
use crate::table::{Markdown, Terminal};

/// Two sockets for each of 10,000 streams, with room.
const FILES: u64 = 65_536;
/// Rounds that count, unless told.
const ROUNDS: usize = 7;

/// weir beside other proxies: all cases, or some.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// What to measure; all of it by default.
    cases: Vec<Case>,
    /// Rounds that count, after one to warm up [default: 7, or fewer where they take long]
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each path has a load in a round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How long after a load memory is looked at again.
    #[arg(long, default_value_t = 60.0)]
    settle_seconds: f64,
    /// Only these paths; `direct` is always among them.
    #[arg(long, value_delimiter = ',')]
    paths: Vec<Path>,
    /// Processors of the proxy: with 1 it has one to itself, and client and provider another; with 2
    /// all share both, and each proxy has two workers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    processors: u8,
    /// Round-trip time to the provider where it is far away, in milliseconds.
    #[arg(long, default_value_t = 30)]
    round_trip_ms: u64,
    /// Where Debian's packages of the peers were unpacked; otherwise they are those installed.
    #[arg(long, value_name = "DIR")]
    unpacked: Option<PathBuf>,
    /// Write every figure of every round to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// This program again, as a part of what is measured.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The application.
    Client,
    /// The provider.
    Upstream(upstream::Args),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Client) => client::run(),
        Some(Part::Upstream(args)) => upstream::run(&args),
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) -> Result<()> {
    let files = allow_files()?;
    let authority = Authority::new()?;
    let unpacked = cli.unpacked.as_deref().map(fs::canonicalize).transpose();
    let unpacked = unpacked.context("cannot find what was unpacked")?;
    let means = Means {
        authority: &authority,
        unpacked: unpacked.as_deref(),
        files,
        workers: usize::from(cli.processors),
    };
    let processors = processors(cli.processors)?;
    let mut run = Run {
        cli,
        means: &means,
        processors,
        results: Results::default(),
    };
    run.all()?;
    print!("{}", Terminal(&run.results));
    if let Some(path) = &cli.json {
        fs::write(path, serde_json::to_vec_pretty(&run.results)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &cli.markdown {
        fs::write(path, Markdown(&run.results).to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let ours = |it: &&LeftOut| it.path.is_weir() || it.path == Path::Direct;
    match run.results.left_out.iter().find(ours) {
        Some(it) => bail!("{} could not be measured: {}", it.path, it.why),
        None => Ok(()),
    }
}

/// Has the kernel allow this process and its children many open files; as many as it may
/// without privilege, if it has none. Says how many.
fn allow_files() -> Result<u64> {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(FILES);
    let allow = |files| {
        let limit = Rlimit {
            current: Some(files),
            maximum: Some(files),
        };
        setrlimit(Resource::Nofile, limit).map(|()| files)
    };
    allow(most.max(FILES))
        .or_else(|_not_privileged| allow(most))
        .context("cannot have many files open")
}

/// Which processor is whose.
fn processors(of_proxy: u8) -> Result<Processors> {
    let all = machine::processors()?;
    // The first serves more of the machine's interrupts than the last.
    Ok(match (of_proxy, all.as_slice()) {
        (1, [first, .., last]) => Processors {
            proxy: vec![*last],
            others: vec![*first],
        },
        (1, _) => bail!("the proxy has a processor to itself: this takes two"),
        (_, [first, second, ..]) => Processors {
            proxy: vec![*first, *second],
            others: vec![*first, *second],
        },
        (_, _) => bail!("there is only one processor"),
    })
}

/// A run under way.
struct Run<'a> {
    cli: &'a Cli,
    means: &'a Means<'a>,
    processors: Processors,
    results: Results,
}

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let round_trip = Duration::from_millis(self.cli.round_trip_ms);
        let (mut grounds, mut versions) = (Vec::new(), Vec::new());
        for path in Path::ALL {
            let is_chosen = self.cli.paths.is_empty() || self.cli.paths.contains(&path);
            if !is_chosen && path != Path::Direct {
                continue;
            }
            match version(path, self.means) {
                Ok(version) => versions.extend(version),
                Err(error) => {
                    self.leave_out(path, None, &error);
                    continue;
                }
            }
            let ground = Ground::new(path, self.means.authority, round_trip);
            grounds.push(ground.with_context(|| format!("cannot set up {path}"))?);
        }
        let before = machine::load()?;
        let cases = match self.cli.cases.as_slice() {
            [] => Case::ALL.as_slice(),
            chosen => chosen,
        };
        for case in cases {
            self.case(*case, &grounds)?;
        }
        self.results.conditions = vec![
            machine::describe()?,
            versions.join(", "),
            format!(
                "proxy on processors {:?}, client and provider on {:?}; load average {before:.2} \
                 before and {:.2} after, this benchmark included",
                self.processors.proxy,
                self.processors.others,
                machine::load()?
            ),
            format!(
                "TLS 1.3 on both legs, certificates of ECDSA on P-256; at most {} rounds of {} s; \
                 far away: {} ms; afterwards: after {} s",
                self.cli.rounds.unwrap_or(ROUNDS),
                self.cli.seconds,
                self.cli.round_trip_ms,
                self.cli.settle_seconds
            ),
        ];
        Ok(())
    }

    fn case(&mut self, case: Case, grounds: &[Ground]) -> Result<()> {
        let mut sessions = Vec::new();
        for ground in grounds {
            if !case.concerns(ground.path) {
                continue;
            }
            if let Some(why) = case.leaves_out(ground.path) {
                self.leave_out(ground.path, Some(case), &anyhow::anyhow!(why));
                continue;
            }
            match Session::start(ground, self.means, &self.processors) {
                Ok(session) => sessions.push(session),
                Err(error) => self.leave_out(ground.path, Some(case), &error),
            }
        }
        let times = Times {
            turn: Duration::from_secs_f64(self.cli.seconds),
            settle: Duration::from_secs_f64(self.cli.settle_seconds),
        };
        let rounds = self.cli.rounds.unwrap_or(ROUNDS.min(case.rounds_max()));
        let warm_up = usize::from(rounds > 1);
        let steps = case.steps(self.means.files);
        for step in &steps {
            self.results.begin(case, step);
        }
        for round in 0..warm_up + rounds {
            eprintln!("{case:?}: round {} of {}", round + 1, warm_up + rounds);
            for step in &steps {
                // Nobody is always the first, or always after the same.
                if !sessions.is_empty() {
                    sessions.rotate_left(1);
                }
                let mut standing = Vec::new();
                for mut session in sessions {
                    match session.turn(step, times) {
                        Ok(seen) => {
                            for row in self.results.of(case, step).filter(|_| round >= warm_up) {
                                let figures = row.figures.entry(session.path).or_default();
                                figures.push(row.measure.of(&seen)?);
                            }
                            standing.push(session);
                        }
                        Err(error) => {
                            let error = error.context(format!("at {}", step.name));
                            self.leave_out(session.path, Some(case), &error);
                        }
                    }
                }
                sessions = standing;
            }
        }
        for session in sessions {
            let path = session.path;
            if let Err(error) = session.finish() {
                self.leave_out(path, Some(case), &error);
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: Path, case: Option<Case>, why: &anyhow::Error) {
        let why = format!("{why:#}");
        eprintln!("not measured: {path}: {why}");
        self.results.left_out.push(LeftOut { path, case, why });
    }
}
