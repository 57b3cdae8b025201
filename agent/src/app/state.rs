//! What `weir init` leaves for `weir proxy`: its secrets, and where to listen.
//!
//! One small file in a directory that both containers mount and the application
//! does not. Only the proxy's user may read it: whoever has the secret can
//! exempt itself from capture.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::replace::{Access, replace};
use crate::{capture::Listening, sys::claim::Token, tls::seal::Seal};

/// Its name in the state directory.
pub const FILE: &str = "capture.json";
/// The version of its form.
const VERSION: u32 = 2;

/// The contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// The secret of a claim.
    pub token: Token,
    /// Under which the CA's key is left with the kernel half, for the next proxy.
    /// It is nowhere else, so that the kernel's maps give no key away.
    pub seal: Seal,
    /// The first port to listen on.
    pub listen_port: u16,
    /// How many ports, from the first on.
    pub listen_count: u16,
    /// The cgroup the programs are attached to, as a directory.
    pub cgroup: PathBuf,
    /// Its id.
    pub cgroup_id: u64,
}

/// Why there is no state to work from.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is not there.
    #[error(
        "there is no {path}: run `weir init` first, with the same --state directory",
        path = .0.display()
    )]
    Absent(PathBuf),
    /// It may not be read.
    #[error(
        "cannot read {path}: it belongs to another user: name this one with `weir init --proxy-uid`",
        path = .0.display()
    )]
    Forbidden(PathBuf),
    /// Reading failed.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what `weir init` writes.
    #[error("{path} is not a state file of this version of weir: run its `weir init` again", path = .0.display())]
    Malformed(PathBuf),
    /// Writing failed.
    #[error("cannot write {path}: {source}: name a writable directory with --state", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl State {
    /// What was just set up.
    #[must_use]
    pub fn new(
        token: Token,
        seal: Seal,
        listening: Listening,
        cgroup: PathBuf,
        cgroup_id: u64,
    ) -> Self {
        Self {
            version: VERSION,
            token,
            seal,
            listen_port: listening.port,
            listen_count: listening.count,
            cgroup,
            cgroup_id,
        }
    }

    /// Reads the file in this directory.
    ///
    /// # Errors
    ///
    /// It is not there, may not be read, or is something else.
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Absent(path));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(StateError::Forbidden(path));
            }
            Err(source) => return Err(StateError::Read { path, source }),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(state) if state.version == VERSION => Ok(state),
            // What it says is not quoted: it may hold the secret.
            Ok(_) | Err(_) => Err(StateError::Malformed(path)),
        }
    }

    /// Writes the file into this directory, for this user alone, at once: a
    /// reader sees the old contents or the new.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or written.
    pub fn write(&self, directory: &Path, uid: u32) -> Result<(), StateError> {
        let path = directory.join(FILE);
        let error = |source| StateError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(directory).map_err(error)?;
        let text = serde_json::to_vec_pretty(self).map_err(|cause| error(cause.into()))?;
        let access = Access {
            mode: 0o400,
            owner: Some(uid),
        };
        replace(&path, &text, access).map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn state() -> State {
        let listening = Listening {
            port: 15001,
            count: 16,
            ipv6: true,
        };
        State::new(
            Token::random().unwrap(),
            Seal::random().unwrap(),
            listening,
            "/sys/fs/cgroup/pod".into(),
            42,
        )
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let directory = tempfile::tempdir().unwrap();
        let uid = fs::metadata(directory.path()).unwrap().uid();
        let inside = directory.path().join("weir");
        let first = state();
        first.write(&inside, uid).unwrap();
        assert_eq!(State::read(&inside).unwrap(), first);
        let second = state();
        second.write(&inside, uid).unwrap();
        assert_eq!(State::read(&inside).unwrap(), second);
        let metadata = fs::metadata(inside.join(FILE)).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o400, uid));
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let absent = State::read(directory.path()).unwrap_err();
        assert!(absent.to_string().contains("run `weir init` first"));
        let path = directory.path().join(FILE);
        for contents in ["", "{}", "{\"version\":1}"] {
            fs::write(&path, contents).unwrap();
            let error = State::read(directory.path()).unwrap_err();
            assert!(matches!(error, StateError::Malformed(_)), "{error}");
        }
    }
}
