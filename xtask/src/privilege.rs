//! Who runs xtask, and how a command becomes one of root's.

use std::os::unix::fs::MetadataExt;

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

    /// The words of a command line that runs `program` as root with `variables` set, or nothing
    /// where that is impossible.
    pub(crate) fn words(self, variables: &[(&str, &str)], program: &str) -> Option<Vec<String>> {
        // `env` in both cases: sudo clears the environment, and one form is one thing to test.
        let environment = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let mut words = match self {
            Self::Root => vec!["env".to_owned()],
            Self::Sudo => vec!["sudo".to_owned(), "env".to_owned()],
            Self::None => return None,
        };
        words.extend(environment);
        words.push(program.to_owned());
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::Privilege;

    #[test]
    fn variables_survive_the_change_of_user() {
        let words = |privilege: Privilege| privilege.words(&[("A", "b c")], "id");
        assert_eq!(words(Privilege::Root).unwrap(), ["env", "A=b c", "id"]);
        assert_eq!(
            words(Privilege::Sudo).unwrap(),
            ["sudo", "env", "A=b c", "id"]
        );
        assert_eq!(words(Privilege::None), None);
    }
}
