//! What a proxy takes of the machine, by what the kernel says of its processes.

use std::fs;

use anyhow::{Context, Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A process and all below it.
pub(crate) struct Processes(Vec<i32>);

/// Memory of all of them, in bytes. What they share counts for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that was resident since [`Processes::forget_peak`].
    pub(crate) peak: u64,
}

impl Processes {
    /// A process and those that it has started, and they.
    pub(crate) fn from(root: i32) -> Result<Self> {
        let mut found = vec![root];
        let mut next = 0;
        let parents = parents()?;
        while let Some(parent) = found.get(next).copied() {
            let children = parents.iter().filter(|(_, of)| *of == parent);
            found.extend(children.map(|(child, _)| *child));
            next += 1;
        }
        Ok(Self(found))
    }

    /// The same without the first: a shell that waits.
    pub(crate) fn below(root: i32) -> Result<Self> {
        let mut found = Self::from(root)?;
        found.0.remove(0);
        ensure!(!found.0.is_empty(), "process {root} has started none");
        Ok(found)
    }

    /// Time on a processor of all their threads, those that have ended too.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        let clocks = self.0.iter().map(|pid| {
            let clock = clock_getcpuclockid(Pid::from_raw(*pid)).context("the proxy is gone")?;
            let time = std::time::Duration::from(clock_gettime(clock)?);
            Ok(u64::try_from(time.as_nanos())?)
        });
        clocks.sum()
    }

    /// What is resident.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory {
            resident: 0,
            peak: 0,
        };
        for pid in &self.0 {
            memory.resident += kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Rss:")?;
            memory.peak += kilobytes(&format!("/proc/{pid}/status"), "VmHWM:")?;
        }
        Ok(memory)
    }

    /// Begins to look for the peak anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        for pid in &self.0 {
            // proc(5): 5 resets the peak.
            fs::write(format!("/proc/{pid}/clear_refs"), "5")
                .with_context(|| format!("cannot reset the peak of {pid}"))?;
        }
        Ok(())
    }
}

/// Each process with its parent.
fn parents() -> Result<Vec<(i32, i32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // Others' processes may go while they are listed.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name, in parentheses, may contain anything.
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if let Some(parent) = behind.split_whitespace().nth(1) {
            parents.push((pid, parent.parse()?));
        }
    }
    Ok(parents)
}

/// A field of a file of `/proc`, in bytes.
fn kilobytes(file: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let value = line.with_context(|| format!("{file} has no {field}"))?;
    let value = value.trim().trim_end_matches(" kB");
    Ok(value.parse::<u64>()? * 1024)
}
