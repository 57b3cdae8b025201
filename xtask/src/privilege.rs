//! Who runs xtask, and how a command becomes one of root's.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::command::on_path;

/// The way to root from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// Already there.
    Root,
    /// Through sudo, which may ask for a password.
    Sudo,
    /// None: someone else must run the command.
    None,
}

impl Privilege {
    /// Reads the effective user from the owner of `/proc/self`, and looks for sudo.
    pub(crate) fn detect() -> Self {
        // A missing /proc reads as "not root": the remedy is then printed instead of run.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if is_root {
            Self::Root
        } else if on_path("sudo").is_some() {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// The words of a command line that runs `program` as root.
    ///
    /// Of this process's environment it gets the variables named by `kept`, and `set` besides.
    ///
    /// # Errors
    /// When there is no way to root.
    pub(crate) fn words(
        self,
        kept: &[&str],
        set: &[(&str, &str)],
        program: &Path,
    ) -> Result<Vec<String>> {
        // `env` in both cases: sudo clears the environment, and one form is one thing to test.
        let mut words = match self {
            Self::Root => vec!["env".to_owned()],
            Self::Sudo => vec!["sudo".to_owned(), "env".to_owned()],
            Self::None => bail!("there is no way to root from here"),
        };
        let kept = kept
            .iter()
            .filter_map(|name| Some(format!("{name}={}", env::var(name).ok()?)));
        words.extend(kept);
        words.extend(set.iter().map(|(name, value)| format!("{name}={value}")));
        words.push(program.to_string_lossy().into_owned());
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Privilege;

    #[test]
    fn variables_survive_the_change_of_user() {
        let words = |privilege: Privilege| {
            privilege.words(&["NOT_SET_ANYWHERE"], &[("A", "b c")], Path::new("id"))
        };
        assert_eq!(words(Privilege::Root).unwrap(), ["env", "A=b c", "id"]);
        assert_eq!(
            words(Privilege::Sudo).unwrap(),
            ["sudo", "env", "A=b c", "id"]
        );
        assert!(words(Privilege::None).is_err());
    }

    #[test]
    fn what_is_kept_comes_from_here() {
        let words = Privilege::Root.words(&["PATH"], &[], Path::new("id"));
        let expected = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(words.unwrap(), ["env", &expected, "id"]);
    }
}
