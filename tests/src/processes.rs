//! Processes found by what `/proc` says of them.

use std::fs;
use std::path::PathBuf;

/// A process as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: i32,
    /// The name the kernel keeps, of at most 15 characters.
    pub name: String,
    /// The cgroup v2 it is in.
    pub cgroup: PathBuf,
}

/// All processes whose environment holds this text, zombies apart: what a
/// program started, however it detached itself since.
#[must_use]
pub fn with_environment(text: &str) -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            })
        })
        .filter_map(look)
        .collect()
}

/// What `/proc` says of a process, if it is there.
#[must_use]
pub fn look(pid: i32) -> Option<Seen> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let cgroup = memberships
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    Some(Seen {
        pid,
        name: name.trim_end().to_owned(),
        cgroup: cgroup.into(),
    })
}

/// One field of `/proc/PID/status`, such as `CapEff`.
#[must_use]
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}
