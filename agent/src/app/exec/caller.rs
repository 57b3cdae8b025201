//! On whose behalf the command runs: under sudo, the user who called it.
//!
//! weir needs root, the command does not, and `sudo weir exec -- make` must not
//! leave files of root in the user's directories. Supplementary groups are
//! looked up here, before any fork, because that may ask a name service.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{
    Gid, Uid, User, getgrouplist, getgroups, setegid, seteuid, setgroups, setresgid, setresuid,
};

use crate::sys::process::Unprepared;

/// Names of variables, as ordered pairs.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Whom the command runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever started weir.
    AsWeir,
    /// The user who called sudo.
    User(Account),
}

/// A user as the password database knows it, or as little as sudo tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    name: OsString,
    home: PathBuf,
    shell: Option<PathBuf>,
}

/// Why it is not known whom the command should run as.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallerError {
    /// One of sudo's variables makes no sense. To guess would run it as root.
    #[error(
        "{variable} is {value:?}, which is not what sudo sets: unset SUDO_UID to run the command as root"
    )]
    NotFromSudo {
        /// Which variable.
        variable: &'static str,
        /// What it holds.
        value: Option<OsString>,
    },
    /// The user database failed.
    #[error("cannot look up user {uid}, who called sudo: {source}")]
    Lookup {
        /// Which user.
        uid: Uid,
        /// What the database said.
        #[source]
        source: io::Error,
    },
}

impl Caller {
    /// Reads what sudo said, if weir runs as root because of it.
    pub(super) fn of(environment: &Environment) -> Result<Self, CallerError> {
        if !Uid::effective().is_root() || !environment.contains_key(OsStr::new("SUDO_UID")) {
            return Ok(Self::AsWeir);
        }
        let uid = Uid::from_raw(number(environment, "SUDO_UID")?);
        let gid = Gid::from_raw(number(environment, "SUDO_GID")?);
        if uid.is_root() {
            return Ok(Self::AsWeir);
        }
        let lookup = |source: nix::Error| CallerError::Lookup {
            uid,
            source: source.into(),
        };
        let account = match User::from_uid(uid).map_err(lookup)? {
            Some(user) => {
                let name =
                    CString::new(user.name.clone()).map_err(|error| CallerError::Lookup {
                        uid,
                        source: error.into(),
                    })?;
                Account {
                    uid,
                    gid,
                    groups: getgrouplist(&name, gid).map_err(lookup)?,
                    name: user.name.into(),
                    home: user.dir,
                    shell: Some(user.shell),
                }
            }
            // A user without an entry, as containers have them.
            None => Account {
                uid,
                gid,
                groups: vec![gid],
                name: uid.to_string().into(),
                home: "/".into(),
                shell: None,
            },
        };
        Ok(Self::User(account))
    }

    /// The variables the command gets, out of those weir got.
    pub(super) fn environment(&self, mut environment: Environment) -> Environment {
        let Self::User(account) = self else {
            return environment;
        };
        environment.retain(|name, _| !name.to_string_lossy().starts_with("SUDO_"));
        // sudo has pointed these at root.
        environment.remove(OsStr::new("MAIL"));
        environment.insert("HOME".into(), account.home.clone().into());
        environment.insert("USER".into(), account.name.clone());
        environment.insert("LOGNAME".into(), account.name.clone());
        match &account.shell {
            Some(shell) => environment.insert("SHELL".into(), shell.into()),
            None => environment.remove(OsStr::new("SHELL")),
        };
        environment
    }

    /// Becomes the caller for good, in a child that is about to execute the
    /// command. Leaving user 0 takes all capabilities along.
    pub(super) fn assume(&self) -> Result<(), Unprepared> {
        let Self::User(Account {
            uid, gid, groups, ..
        }) = self
        else {
            return Ok(());
        };
        setgroups(groups).map_err(Unprepared::at("take the caller's groups"))?;
        setresgid(*gid, *gid, *gid).map_err(Unprepared::at("take the caller's group id"))?;
        setresuid(*uid, *uid, *uid).map_err(Unprepared::at("take the caller's user id"))
    }

    /// Creates or empties a file as the caller, with the caller's rights: weir
    /// must not write where its caller may not.
    pub(super) fn create(&self, file: &Path) -> io::Result<File> {
        let _identity = match self {
            Self::AsWeir => None,
            Self::User(account) => Some(Identity::borrow(account)?),
        };
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            // Not to wait for the reader of a named pipe.
            .custom_flags(libc::O_NONBLOCK)
            .open(file)
    }
}

fn number(environment: &Environment, variable: &'static str) -> Result<u32, CallerError> {
    let value = environment.get(OsStr::new(variable));
    value
        .and_then(|text| text.to_str())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| CallerError::NotFromSudo {
            variable,
            value: value.cloned(),
        })
}

/// The effective identity of somebody else, until dropped.
struct Identity {
    groups: Vec<Gid>,
    gid: Gid,
    uid: Uid,
}

impl Identity {
    fn borrow(account: &Account) -> io::Result<Self> {
        // Restored by its Drop also if a step below fails.
        let own = Self {
            groups: getgroups()?,
            gid: Gid::effective(),
            uid: Uid::effective(),
        };
        setgroups(&account.groups)?;
        setegid(account.gid)?;
        seteuid(account.uid)?;
        Ok(own)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let restored = seteuid(self.uid)
            .and_then(|()| setegid(self.gid))
            .and_then(|()| setgroups(&self.groups));
        // Root may always go back; to go on as a mixture of two users is worse
        // than not to go on.
        restored.expect("the real and saved user ids are still root's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn the_command_gets_the_variables_of_its_user() {
        let account = Account {
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(1000),
            groups: vec![],
            name: "ada".into(),
            home: "/home/ada".into(),
            shell: Some("/bin/zsh".into()),
        };
        let as_root = variables(&[
            ("HOME", "/root"),
            ("LOGNAME", "root"),
            ("MAIL", "/var/mail/root"),
            ("PATH", "/bin"),
            ("SUDO_COMMAND", "weir exec"),
            ("SUDO_GID", "1000"),
            ("SUDO_UID", "1000"),
            ("SUDO_USER", "ada"),
            ("SHELL", "/bin/bash"),
            ("USER", "root"),
        ]);
        let expected = variables(&[
            ("HOME", "/home/ada"),
            ("LOGNAME", "ada"),
            ("PATH", "/bin"),
            ("SHELL", "/bin/zsh"),
            ("USER", "ada"),
        ]);
        assert_eq!(
            Caller::User(account.clone()).environment(as_root.clone()),
            expected
        );
        assert_eq!(Caller::AsWeir.environment(as_root.clone()), as_root);

        let nameless = Account {
            shell: None,
            ..account
        };
        let set = Caller::User(nameless).environment(as_root);
        assert_eq!(set.get(OsStr::new("SHELL")), None);
    }

    #[test]
    fn what_sudo_did_not_write_is_refused() {
        for value in ["", "-1", "ada", "4294967296"] {
            let environment = variables(&[("SUDO_UID", value)]);
            assert!(number(&environment, "SUDO_UID").is_err(), "{value}");
        }
        assert!(number(&Environment::new(), "SUDO_GID").is_err());
        let environment = variables(&[("SUDO_UID", "1000")]);
        assert_eq!(number(&environment, "SUDO_UID").ok(), Some(1000));
    }
}
