//! Debian packages: installed together, never removed, the index refreshed once at most.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::on_path;
use crate::privilege::Privilege;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Variables of every apt-get: no question is ever asked.
const NON_INTERACTIVE: [(&str, &str); 1] = [("DEBIAN_FRONTEND", "noninteractive")];
/// `--no-remove`: a package that conflicts with one the user has is an error, not a removal.
/// The lock: another apt-get, such as the daily upgrade, gets two minutes to finish.
const INSTALL: [&str; 6] = [
    "install",
    "--yes",
    "--no-install-recommends",
    "--no-remove",
    "-o",
    "DPkg::Lock::Timeout=120",
];

/// apt-get, for the length of one set-up.
pub(crate) struct Apt {
    index: Index,
}

/// Whether the package index was refreshed by this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    AsFound,
    Refreshed,
}

impl Apt {
    /// Nothing is run until something is to be installed.
    pub(crate) fn new() -> Self {
        Self {
            index: Index::AsFound,
        }
    }

    /// Whether this is a machine with apt-get.
    pub(crate) fn present() -> bool {
        on_path("apt-get").is_some()
    }

    /// Installs `packages`; nothing is done for none.
    ///
    /// # Errors
    /// Without apt-get, without a way to root, or when apt-get fails.
    pub(crate) fn install(
        &mut self,
        workspace: &Workspace,
        steps: &Steps,
        packages: &[&str],
    ) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let list = packages.join(" ");
        if !Self::present() {
            bail!("there is no apt-get here: install what your system has in place of {list}");
        }
        let words = Privilege::detect()
            .words(&[], &NON_INTERACTIVE, Path::new("apt-get"))
            .ok()
            .with_context(|| {
                format!(
                    "installing packages needs root, and there is no sudo: run as root\n    \
                 apt-get update && apt-get {} {list}\nand start again",
                    INSTALL.join(" ")
                )
            })?;
        if self.index == Index::AsFound {
            let mut update = workspace.command_in(workspace.root(), &words);
            update.arg("update");
            steps.silent(
                "apt-update",
                "apt-get update: the index of packages",
                update,
            )?;
            self.index = Index::Refreshed;
        }
        let mut install = workspace.command_in(workspace.root(), &words);
        install.args(INSTALL).args(packages);
        steps.silent("apt-install", &format!("apt-get install {list}"), install)
    }
}
