//! What an image is made from: the commit, its time, and whether the tree is that commit.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::command::shown;
use crate::workspace::Workspace;

/// The convention of reproducible builds for the time of everything that is made.
const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// The sources, as an image names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The commit; `-dirty` follows if the tree differs.
    pub(crate) revision: String,
    /// Seconds since 1970.
    pub(crate) epoch_secs: u64,
    /// weir's version.
    pub(crate) version: String,
}

impl Source {
    /// The sources of this checkout.
    ///
    /// # Errors
    /// When git cannot tell, and `SOURCE_DATE_EPOCH` is not set.
    pub(crate) fn of(workspace: &Workspace) -> Result<Self> {
        let mut revision = git(workspace, &["rev-parse", "HEAD"])?;
        if !git(workspace, &["status", "--porcelain"])?.is_empty() {
            revision.push_str("-dirty");
        }
        let epoch = match env::var(EPOCH_VARIABLE) {
            Ok(epoch) => epoch,
            Err(_unset) => git(workspace, &["log", "-1", "--format=%ct"])?,
        };
        let epoch_secs = epoch
            .parse()
            .with_context(|| format!("{EPOCH_VARIABLE} is not a number of seconds: {epoch}"))?;
        Ok(Self {
            revision,
            epoch_secs,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// What a reader of the digest must know.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        self.revision.ends_with("-dirty").then_some(
            "the tree has changes that are not committed: nobody else can build this image",
        )
    }

    /// Its time, as RFC 3339 says it.
    pub(crate) fn created(&self) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.epoch_secs);
        humantime::format_rfc3339_seconds(time).to_string()
    }
}

/// Copies what git knows of, as it is in the tree, to an empty directory.
///
/// # Errors
/// When git or a file cannot be read.
pub(crate) fn copy(workspace: &Workspace, place: &Path) -> Result<()> {
    let names = git(
        workspace,
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    )?;
    for name in names.lines() {
        let (from, to) = (workspace.root().join(name), place.join(name));
        // Removed, and not yet committed.
        let Ok(metadata) = fs::symlink_metadata(&from) else {
            continue;
        };
        fs::create_dir_all(to.parent().unwrap_or(place))
            .and_then(|()| {
                if metadata.is_symlink() {
                    symlink(fs::read_link(&from)?, &to)
                } else {
                    fs::copy(&from, &to).map(drop)
                }
            })
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Makes a copy that lies in another checkout one of its own, so that git does not take it for
/// what the other ignores.
///
/// # Errors
/// When git cannot.
pub(crate) fn keep_apart(workspace: &Workspace) -> Result<()> {
    let arguments = ["-c", "init.defaultBranch=main", "init", "--quiet"];
    git(workspace, &arguments).map(drop)
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let mut git = workspace.command("git");
    // A checkout of another user's is refused by git unless it is named as safe.
    git.arg("-c")
        .arg(format!("safe.directory={}", workspace.root().display()))
        .args(["-c", "core.quotePath=false"])
        .args(arguments)
        .stderr(Stdio::inherit());
    let output = git
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&git)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&git), output.status);
    }
    let text = String::from_utf8(output.stdout).context("git did not print UTF-8")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where git takes the copy for a part of what it lies in.
    #[test]
    fn a_copy_in_what_a_checkout_ignores_can_be_copied_in_turn() {
        let outer = tempfile::tempdir().unwrap();
        let checkout = Workspace::locate().unwrap().at(outer.path());
        keep_apart(&checkout).unwrap();
        fs::write(outer.path().join(".gitignore"), "/target\n").unwrap();
        let place = outer.path().join("target/copy");
        copy(&checkout, &place).unwrap();
        let inner = checkout.at(&place);
        keep_apart(&inner).unwrap();
        copy(&inner, &place.join("copy")).unwrap();
        assert!(place.join("copy/.gitignore").is_file());
    }

    #[test]
    fn a_source_says_when_it_was_made_and_whether_it_is_a_commit() {
        let mut source = Source {
            revision: "0123".to_owned(),
            epoch_secs: 1_700_000_000,
            version: "0.1.0".to_owned(),
        };
        assert_eq!(source.created(), "2023-11-14T22:13:20Z");
        assert_eq!(source.warning(), None);
        source.revision.push_str("-dirty");
        assert!(source.warning().is_some());
    }
}
