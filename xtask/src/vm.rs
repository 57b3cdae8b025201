//! `cargo xtask vm`: the kernel suite on the kernels of Debian's releases.
//!
//! Owns which kernels these are, where they come from and how they are run: each in a virtual
//! machine that holds the suite and nothing else, made anew for every run. A kernel whose machine
//! hangs, panics or says nothing has failed.

mod accelerator;
mod archive;
mod console;
mod image;
mod machine;
mod matrix;
mod packages;
mod series;
mod store;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build::{self, HostProfile};
use crate::setup::route::{RouteChoice, Toolchain};
use crate::setup::{self, Purpose};
use crate::step::{Steps, seconds};
use crate::test;
use crate::workspace::Workspace;

pub(crate) use accelerator::Accelerator;
pub(crate) use archive::{KEYRING, mirror, sources};
pub(crate) use console::Mark;
use console::{Heard, failed_test};
use image::{Programs, Root};
pub(crate) use machine::{Boot, Bounds, End, Machine, QEMU};
use matrix::{Matrix, Row, judge};
use series::Series;
use store::{Freshness, Kernel, MODULES, Origin};

/// The test target that runs in the machines.
const SUITE: &str = "kernel";
/// Connections of the tests that make many. Software emulation is ten to thirty times slower than
/// the processor; this many still use each of the 24 source ports forty times.
const EMULATED_CONNECTIONS: u32 = 1_000;
/// Holds the image twice, packed and unpacked, and what the suite makes.
const MEMORY_MIB: u32 = 2048;
/// A test says nothing while it runs; the longest takes a minute under software emulation.
const BOUNDS: Bounds = Bounds {
    up_max: Duration::from_secs(2 * 60),
    silence_max: Duration::from_secs(5 * 60),
    total_max: Duration::from_secs(40 * 60),
};
/// Lines of a failed machine's console that are shown: enough for a panic's call trace.
const TAIL_LINES: usize = 40;

/// Runs the kernel suite on Debian's kernels, and ends with a table.
///
/// Fetches each kernel once (from the mirror that apt uses here, verified with Debian's keys) into
/// target/vm, builds the suite, and boots it with QEMU: with KVM where that works, else in software,
/// which takes a few minutes a kernel. The consoles are kept in target/vm/log. Needs no root, but
/// for what set-up installs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernels, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Series::USUAL)]
    kernel: Vec<Series>,
    /// Say which kernels there are and which are fetched, and do nothing.
    #[arg(long)]
    list: bool,
    /// Pack the suite as target/vm/suite.tar, for another machine (see vagrant/suite.sh), and run
    /// nothing.
    #[arg(long, conflicts_with_all = ["list", "kernel", "update", "arguments"])]
    bundle: bool,
    /// Fetch the kernels that the archive has today, even if others are here.
    #[arg(long)]
    update: bool,
    /// Where to fetch from. Without it: the mirror that apt uses here, else deb.debian.org.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,
    #[command(flatten)]
    route: RouteChoice,
    /// Arguments for the test program, such as a part of a test's name, or --nocapture.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The verb.
///
/// # Errors
/// When set-up, fetching or a build fails, or a kernel did not pass.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.list {
        list(workspace);
        return Ok(());
    }
    require_host()?;
    let toolchain = setup::ensure(workspace, &[Purpose::Vm], args.route)?;
    let logs = workspace.root().join("target/vm/log");
    let steps = Steps::new("vm", logs.clone());
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let _lock = lock(workspace, &steps)?;
    if args.bundle {
        let programs = build_all(workspace, &steps, &toolchain)?;
        let path = workspace.root().join("target/vm/suite.tar");
        Root::assemble(workspace, &programs, &[])?.bundle(&path)?;
        steps.note(&format!("{} is the suite", path.display()));
        return Ok(());
    }
    let freshness = if args.update {
        Freshness::Today
    } else {
        Freshness::Stored
    };
    let kernels = fetch(
        workspace,
        &steps,
        &args.kernel,
        Origin {
            freshness,
            mirror: args.mirror.as_deref(),
        },
    )?;

    let programs = build_all(workspace, &steps, &toolchain)?;
    let root = Root::assemble(workspace, &programs, &suite_arguments(&args.arguments))?;

    let mut matrix = Matrix::default();
    let mut accelerator = None;
    for kernel in kernels {
        let image = root.pack(&kernel)?;
        let mut machine = Machine {
            workspace,
            accelerator: Accelerator::Tcg,
            vmlinuz: kernel.vmlinuz(),
            boot: Boot::Memory(image.path().to_path_buf()),
            memory_mib: MEMORY_MIB,
            variables: Vec::new(),
            log: logs.join(format!("{}.log", kernel.series)),
            bounds: BOUNDS,
        };
        machine.accelerator = match accelerator {
            Some(known) => known,
            None => *accelerator.insert(Accelerator::probe(&steps, &machine)?),
        };
        machine.variables = variables(machine.accelerator);
        matrix.add(try_kernel(&steps, &kernel, &machine, &args.arguments)?);
    }
    eprintln!();
    println!("{matrix}");
    matrix.verdict()
}

/// Waits until no other run uses the image of this checkout; held as long as the file is open.
fn lock(workspace: &Workspace, steps: &Steps) -> Result<File> {
    let path = workspace.root().join("target/vm/lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if lock.try_lock().is_err() {
        steps.note("another run is using target/vm: waiting for its end");
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(lock)
}

/// The kernels of `series`, fetched where they are not here. Kernels named twice are run once.
///
/// # Errors
/// When one cannot be fetched.
pub(crate) fn fetch(
    workspace: &Workspace,
    steps: &Steps,
    series: &[Series],
    origin: Origin<'_>,
) -> Result<Vec<Kernel>> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for &series in series {
        if kernels.iter().all(|kernel| kernel.series != series) {
            kernels.push(Kernel::ensure(workspace, steps, series, origin)?);
        }
    }
    Ok(kernels)
}

/// Fetches the usual kernels where they are not here: for working offline later.
///
/// # Errors
/// When one cannot be fetched, or this machine could not run it.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    require_host()?;
    let steps = Steps::new("setup", workspace.tools().join("log"));
    let origin = Origin {
        freshness: Freshness::Stored,
        mirror: None,
    };
    fetch(workspace, &steps, &Series::USUAL, origin).map(drop)
}

/// The suite is built for the host, and so the machine is the host's kind.
fn require_host() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the kernel matrix runs on x86_64 only so far, this is {}: run `cargo xtask test` on \
             the kernel that is here",
            std::env::consts::ARCH
        );
    }
    Ok(())
}

fn list(workspace: &Workspace) {
    println!("{:9}  {:23}  release", "kernel", "from");
    for series in <Series as clap::ValueEnum>::value_variants() {
        let release = Kernel::stored(workspace, *series)
            .map_or_else(|| "not fetched yet".to_owned(), |kernel| kernel.release);
        let suites = series.suites().join(", ");
        println!("{series:9}  {suites:23}  {release}");
    }
}

/// Builds weir and the suite.
fn build_all(workspace: &Workspace, steps: &Steps, toolchain: &Toolchain) -> Result<Programs> {
    build::object(workspace, steps, toolchain)?;
    build::host(workspace, steps, HostProfile::Debug)?;
    build_suite(workspace, steps)
}

/// Builds the suite and what it runs, and finds them in what cargo announces.
fn build_suite(workspace: &Workspace, steps: &Steps) -> Result<Programs> {
    let mut tests = test::privileged_tests(workspace)?;
    tests.retain(|test| test.name == SUITE);
    if tests.is_empty() {
        bail!("the workspace has no privileged test {SUITE}");
    }
    let mut programs = test::build_programs(workspace, steps, &tests)?;
    let suite = programs
        .iter()
        .position(|(name, _)| name == SUITE)
        .map(|at| programs.swap_remove(at).1)
        .with_context(|| format!("cargo did not build the test {SUITE}"))?;
    // PROFILE/deps/suite-HASH
    let profile = suite
        .ancestors()
        .nth(2)
        .with_context(|| format!("{} lies in no profile", suite.display()))?
        .to_path_buf();
    let mut others: Vec<PathBuf> = programs.into_iter().map(|(_, path)| path).collect();
    others.push(profile.join("weir"));
    others.sort();
    others.dedup();
    Ok(Programs {
        profile,
        suite,
        others,
    })
}

/// The console is a terminal to the suite, and its colours would be kept in the log.
fn suite_arguments(arguments: &[String]) -> Vec<String> {
    let mut all = arguments.to_vec();
    if !all.iter().any(|argument| argument.starts_with("--color")) {
        all.push("--color=never".to_owned());
    }
    all
}

fn variables(accelerator: Accelerator) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("WEIR_VM", "suite".to_owned()),
        ("WEIR_MODULES", MODULES.join(" ")),
    ];
    if accelerator == Accelerator::Tcg {
        variables.push(("WEIR_TEST_CONNECTIONS", EMULATED_CONNECTIONS.to_string()));
        // One test at a time: what one asserts about time, another would spoil on processors this
        // slow.
        variables.push(("RUST_TEST_THREADS", "1".to_owned()));
    }
    variables
}

/// Runs the suite on one kernel, and says what happens.
fn try_kernel(
    steps: &Steps,
    kernel: &Kernel,
    machine: &Machine<'_>,
    arguments: &[String],
) -> Result<Row> {
    let series = kernel.series;
    let started = Instant::now();
    steps.note(&format!(
        "{series}: Linux {} with {}",
        kernel.release, machine.accelerator
    ));
    let mut heard = Heard::default();
    let mut tail = VecDeque::new();
    let end = machine.run_up(steps, |line| {
        match heard.line(line) {
            Some(Mark::Up { after, .. }) => {
                steps.note(&format!("{series}: up after {}", seconds(after)));
            }
            Some(Mark::Doctor(_) | Mark::Problem(_) | Mark::Suite | Mark::Exit(_)) => {}
            None => {
                if let Some(test) = failed_test(line) {
                    steps.note(&format!("{series}: {test} FAILED"));
                }
            }
        }
        tail.push_back(line.trim_end().to_owned());
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    })?;
    let outcome = judge(end, &heard, &kernel.release, arguments);
    if outcome != test::report::Outcome::Passed {
        for line in &tail {
            eprintln!("{:>7}  | {line}", "");
        }
        steps.note(&format!("{series}: see {}", machine.log.display()));
    }
    steps.note(&format!(
        "{series}: {} passed, {} failed in {}",
        heard.counts.passed,
        heard.counts.failed,
        seconds(started.elapsed())
    ));
    Ok(Row {
        series,
        release: kernel.release.clone(),
        accelerator: machine.accelerator,
        outcome,
        counts: heard.counts,
        duration: started.elapsed(),
        doctor: heard.doctor,
    })
}
