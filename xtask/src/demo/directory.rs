//! The files of one run, in a directory that goes with it.
//!
//! The directory holds `owner`, locked for as long as the run lives. One whose lock is free was
//! left by a run that was killed, and the next run removes it; one without `owner` was kept on
//! request.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::{env, io, process};

use anyhow::{Context, Result};

use crate::step::Steps;

/// What weir reports, as JSON.
pub(crate) const REPORT: &str = "report.json";
/// What the emulator says it sent, a JSON object a line.
pub(crate) const LEDGER: &str = "ledger.jsonl";
/// weir's configuration.
pub(crate) const CONFIG: &str = "weir.yaml";
/// The certificate of the CA that the emulator's certificate is of.
pub(crate) const PROVIDER_CA: &str = "provider-ca.pem";
/// `/etc/hosts` of the application host.
pub(crate) const HOSTS: &str = "hosts";
/// `/etc/nsswitch.conf` of the application host.
pub(crate) const NAME_SERVICES: &str = "nsswitch.conf";

/// What the names of these directories begin with.
const PREFIX: &str = "run-";
const OWNER: &str = "owner";

/// The directory of this run, removed when it is dropped.
pub(crate) struct RunDirectory {
    path: PathBuf,
    /// Locked. None once the directory is to stay.
    owner: Option<File>,
}

impl RunDirectory {
    /// Makes it in `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("{PREFIX}{}", process::id()));
        let failed = || format!("cannot make the directory {}", path.display());
        fs::create_dir(&path).with_context(failed)?;
        let directory = Self {
            owner: Some(File::create(path.join(OWNER)).with_context(failed)?),
            path: path.clone(),
        };
        if let Some(owner) = &directory.owner {
            owner.lock().with_context(failed)?;
        }
        // weir writes its report as the user who called sudo, with that user's rights.
        if let (Some(uid), Some(gid)) = (number("SUDO_UID"), number("SUDO_GID")) {
            chown(&path, Some(uid), Some(gid)).with_context(failed)?;
        }
        Ok(directory)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file of that name is, or will be.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.file(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let file = self.file(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Makes it stay when this value is dropped, and for good.
    ///
    /// # Errors
    /// When the mark of a living run cannot be removed from it.
    pub(crate) fn keep(&mut self) -> Result<()> {
        let mark = self.file(OWNER);
        fs::remove_file(&mark).with_context(|| format!("cannot remove {}", mark.display()))?;
        self.owner = None;
        Ok(())
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.owner.is_some()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn number(variable: &str) -> Option<u32> {
    env::var(variable).ok()?.parse().ok()
}

/// Removes from `parent` the directories of runs that were killed, and says so.
///
/// # Errors
/// When `parent` cannot be read, or such a directory cannot be removed.
pub(crate) fn sweep(parent: &Path, steps: &Steps) -> Result<()> {
    let entries =
        fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", parent.display()))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && is_abandoned(&path)
                .with_context(|| format!("cannot look into {}", path.display()))?
        {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
            steps.note(&format!(
                "removed {}, left by a run that was killed",
                path.display()
            ));
        }
    }
    Ok(())
}

fn is_abandoned(directory: &Path) -> io::Result<bool> {
    let owner = match File::open(directory.join(OWNER)) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match owner.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{OWNER, RunDirectory, sweep};
    use crate::step::Steps;

    #[test]
    fn only_what_a_killed_run_left_is_swept() {
        let parent = std::env::temp_dir().join(format!("weir-demo-sweep-{}", std::process::id()));
        fs::create_dir_all(&parent).unwrap();
        let living = RunDirectory::create(&parent).unwrap();
        let killed = parent.join("run-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(OWNER), "").unwrap();
        let kept = parent.join("run-kept");
        fs::create_dir(&kept).unwrap();

        sweep(&parent, &Steps::new("test", parent.clone())).unwrap();
        assert!(living.path().exists());
        assert!(!killed.exists());
        assert!(kept.exists());

        let path = living.path().to_path_buf();
        drop(living);
        assert!(!path.exists());
        fs::remove_dir_all(parent).unwrap();
    }
}
