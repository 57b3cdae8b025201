//! What figures depend on: the machine, the build, what else runs, and which
//! processors are used.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::pod::program;

/// weir's version and build, the kernel and the processors, in a line.
///
/// # Errors
/// weir is not built.
pub fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let count = cpus.lines().filter(|it| it.starts_with("processor"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let build = if cfg!(debug_assertions) {
        "debug build, whose figures mean little"
    } else {
        "release build"
    };
    let version = Command::new(program("weir")?).arg("--version").output()?;
    Ok(format!(
        "{}, {build}; Linux {}; {} × {cpu}",
        String::from_utf8(version.stdout)?.trim(),
        kernel.trim(),
        count.count(),
    ))
}

/// The load average of the last minute.
///
/// # Errors
/// There is no `/proc`.
pub fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().context("/proc/loadavg is not as expected")
}

/// The processors that this thread may use, in ascending order.
///
/// # Errors
/// The kernel does not say.
pub fn processors() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let is_allowed = |number: &usize| allowed.is_set(*number).unwrap_or(false);
    let processors: Vec<usize> = (0..CpuSet::count()).filter(is_allowed).collect();
    ensure!(!processors.is_empty(), "no processor is allowed");
    Ok(processors)
}

/// Keeps this thread, and the threads and processes it starts from now on, to
/// these processors.
///
/// # Errors
/// One of them is not allowed.
pub fn keep_to(processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for number in processors {
        set.set(*number)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("processors {processors:?} are not to be had"))
}
