//! Where one run of `weir exec` lives: its names in the cgroup hierarchy and in
//! the file system, and the directory that says it is alive.
//!
//! Both are `weir-exec-PID`. The directory holds `owner`, on which the
//! supervisor keeps a lock for as long as it lives; whoever gets that lock knows
//! that the run is over and that nobody else is clearing it away. A pid and its
//! start time would say less: they mean nothing in another pid namespace.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{AccessFlags, Pid, access};
use serde::{Deserialize, Serialize};
use weir_common::OnProxyDown;

/// What the names of runs begin with.
pub(super) const PREFIX: &str = "weir-exec-";

/// The locked file.
const OWNER: &str = "owner";

/// Where runs are kept. A system without `/run` has a temporary directory.
pub(super) fn runtime_root() -> PathBuf {
    let run = Path::new("/run");
    if access(run, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
        run.to_owned()
    } else {
        let temporary = std::env::temp_dir();
        // The command may change its directory before it reads its variables.
        std::path::absolute(&temporary).unwrap_or(temporary)
    }
}

/// The name of this process's run.
pub(super) fn own_name() -> String {
    format!("{PREFIX}{}", Pid::this())
}

/// What a run leaves word of, for whoever has to clear it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    /// The cgroup below which the run's is.
    pub(super) cgroup: PathBuf,
    /// The kernel's id of that cgroup. In another cgroup namespace the same path
    /// is another one.
    pub(super) id: u64,
    /// Whether its processes may go on without weir.
    pub(super) survivors: Survivors,
}

/// What becomes of the command if weir is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Survivors {
    /// It is ended: nothing may go past weir.
    End,
    /// It goes on, not intercepted.
    Release,
}

impl From<OnProxyDown> for Survivors {
    fn from(choice: OnProxyDown) -> Self {
        match choice {
            OnProxyDown::Closed => Self::End,
            OnProxyDown::Open => Self::Release,
        }
    }
}

/// The directory of this run, which goes when it is dropped.
#[derive(Debug)]
pub(super) struct RuntimeDirectory {
    path: PathBuf,
    /// Locked.
    _owner: File,
}

impl RuntimeDirectory {
    /// Makes it, and with it says that this run lives.
    pub(super) fn create(path: &Path, word: &Word) -> io::Result<Self> {
        DirBuilder::new().mode(0o755).create(path)?;
        // From here on there is something to be removed.
        let made = Made(path);
        // Whatever the umask: the command may be another user.
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        let mut owner = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path.join(OWNER))?;
        owner.lock()?;
        owner.write_all(&serde_json::to_vec(word)?)?;
        std::mem::forget(made);
        Ok(Self {
            path: path.to_owned(),
            _owner: owner,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file for everybody to read.
    pub(super) fn publish(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(contents)
    }
}

impl Drop for RuntimeDirectory {
    fn drop(&mut self) {
        drop(Made(&self.path));
    }
}

struct Made<'a>(&'a Path);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.0) {
            super::say(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

/// The right to clear away a run whose supervisor is gone.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    owner: File,
}

/// How to go about a run that somebody may still own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Its supervisor is dead: the lock is free, or somebody clears it away.
    Wait,
    /// It may be alive.
    Try,
}

impl Claim {
    /// Claims the run of this directory. None if it is alive, or not there.
    pub(super) fn take(path: &Path, patience: Patience) -> io::Result<Option<Self>> {
        let file = path.join(OWNER);
        let opened = OpenOptions::new()
            .read(true)
            // In a directory that everybody may write anybody can make that
            // name; a named pipe would wait for a writer.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(&file);
        let owner = match opened {
            Ok(owner) => owner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match patience {
            Patience::Wait => owner.lock()?,
            Patience::Try => match owner.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            },
        }
        let (directory, owned) = (fs::symlink_metadata(path)?, owner.metadata()?);
        let ours = directory.is_dir() && directory.uid() == 0 && owned.uid() == 0;
        // The one before us may have cleared it away.
        if !ours || owned.nlink() == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            owner,
        }))
    }

    /// The word it left. None if it died before it could write one, and so
    /// before it made anything else.
    pub(super) fn word(&self) -> io::Result<Option<Word>> {
        let text = io::read_to_string(&self.owner)?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Removes the directory, and with it the claim.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Word {
        Word {
            cgroup: "/a".into(),
            id: 1,
            survivors: Survivors::End,
        }
    }

    #[test]
    fn a_living_run_cannot_be_claimed_and_leaves_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("weir-exec-1");
        let run = RuntimeDirectory::create(&path, &word()).expect("a free name");
        run.publish("ca.pem", b"x").expect("a free name");
        let taken = Claim::take(&path, Patience::Try).expect("readable");
        assert!(taken.is_none());
        assert!(RuntimeDirectory::create(&path, &word()).is_err());
        assert!(path.exists(), "a second run must not remove the first");
        drop(run);
        assert!(!path.exists());
        let taken = Claim::take(&path, Patience::Try).expect("not there");
        assert!(taken.is_none());
    }

    #[test]
    fn what_is_published_can_be_read_by_everybody() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("weir-exec-1");
        let run = RuntimeDirectory::create(&path, &word()).expect("a free name");
        run.publish("ca.pem", b"x").expect("a free name");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
        assert_eq!(mode(run.path()), 0o755);
        assert_eq!(mode(&run.path().join("ca.pem")), 0o644);
        assert_eq!(mode(&run.path().join(OWNER)), 0o600);
    }
}
