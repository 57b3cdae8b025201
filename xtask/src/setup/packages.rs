//! Debian packages: installed together, never removed, the index refreshed once at most.
//!
//! Packages whose kin came from backports come from there too: only one version of a source can be
//! installed, and apt would otherwise want to remove the kin. The machine's sources are never
//! changed for it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::on_path;
use crate::privilege::Privilege;
use crate::step::Steps;
use crate::vm;
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

/// Packages and others of the same source, which many have installed without them.
const KIN: [(&str, &str); 2] = [
    ("qemu-system-x86", "qemu-utils"),
    ("qemu-system-x86", "qemu-system-common"),
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
        self.refresh(workspace, steps, &words)?;
        let (from_backports, usual): (Vec<&str>, Vec<&str>) = packages
            .iter()
            .partition(|package| kin_is_of_backports(package));
        if !usual.is_empty() {
            let mut install = workspace.command_in(workspace.root(), &words);
            install.args(INSTALL).args(&usual);
            let what = format!("apt-get install {}", usual.join(" "));
            steps.silent("apt-install", &what, install)?;
        }
        if from_backports.is_empty() {
            return Ok(());
        }
        install_from_backports(workspace, steps, &words, &from_backports)
    }

    /// Downloads `packages` into a directory, and installs nothing.
    ///
    /// # Errors
    /// When one of them is not to be had; without root the index is taken as it is.
    pub(crate) fn download(
        &mut self,
        workspace: &Workspace,
        steps: &Steps,
        packages: &[&str],
        into: &Path,
    ) -> Result<()> {
        let words = Privilege::detect().words(&[], &NON_INTERACTIVE, Path::new("apt-get"));
        if let Ok(words) = words {
            self.refresh(workspace, steps, &words)?;
        }
        let mut download = workspace.command("apt-get");
        download.arg("download").args(packages).current_dir(into);
        let what = format!("apt-get download {}", packages.join(" "));
        steps.silent("apt-download", &what, download)
    }

    /// Refreshes the index, once.
    fn refresh(&mut self, workspace: &Workspace, steps: &Steps, words: &[String]) -> Result<()> {
        if self.index == Index::Refreshed {
            return Ok(());
        }
        let mut update = workspace.command_in(workspace.root(), words);
        update.arg("update");
        steps.silent(
            "apt-update",
            "apt-get update: the index of packages",
            update,
        )?;
        self.index = Index::Refreshed;
        Ok(())
    }
}

/// Installs what must come from the release's backports: through the machine's own sources where
/// they have that suite, else through sources of our own, which last for this call. A machine may
/// have kin from backports and no longer the source that it came from.
fn install_from_backports(
    workspace: &Workspace,
    steps: &Steps,
    words: &[String],
    packages: &[&str],
) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = codename_of(&release).context("/etc/os-release has no VERSION_CODENAME")?;
    let suite = backports_of(codename);
    let mut options = Vec::new();
    let mut whence = "";
    if !is_among(&suite, &codenames(workspace)) {
        whence = ", read for this alone: apt's sources here have no backports";
        options = own_sources(workspace, codename)?;
        let mut update = workspace.command_in(workspace.root(), words);
        update.args(&options).arg("update");
        let what = format!("apt-get update: the index of {suite}, not in apt's sources here");
        steps.silent("apt-update-backports", &what, update)?;
    }
    let list = packages.join(" ");
    let mut install = workspace.command_in(workspace.root(), words);
    install.args(&options).args(INSTALL);
    install.args(["--target-release", &suite]).args(packages);
    let what = format!("apt-get install {list} from {suite}, where its kin came from{whence}");
    steps
        .silent("apt-install-backports", &what, install)
        .with_context(|| {
            format!(
                "{list} must come from {suite}, like its kin here: add that suite to apt's \
                 sources, `apt-get update && apt-get install -t {suite} {list}`, and start again"
            )
        })
}

/// Options of apt-get by which it reads a release of Debian with its backports and nothing else:
/// its lists are kept below target/tools, so that the machine's own stay as they are.
fn own_sources(workspace: &Workspace, codename: &str) -> Result<Vec<String>> {
    let directory = workspace.tools().join("apt");
    let lists = directory.join("lists");
    fs::create_dir_all(lists.join("partial"))
        .with_context(|| format!("cannot create {}", lists.display()))?;
    let sources = directory.join("sources.list");
    let text = vm::sources(&vm::mirror(workspace), &[codename, &backports_of(codename)]);
    fs::write(&sources, text).with_context(|| format!("cannot write {}", sources.display()))?;
    let settings = [
        ("Dir::State::lists", lists.display().to_string()),
        ("Dir::Etc::sourcelist", sources.display().to_string()),
        ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
    ];
    Ok(settings
        .iter()
        .flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")])
        .collect())
}

/// The codenames of the suites in the machine's sources, one a line.
fn codenames(workspace: &Workspace) -> String {
    let mut targets = workspace.command("apt-get");
    targets.args(["indextargets", "--format", "$(CODENAME)"]);
    targets.arg("Created-By: Packages").stdin(Stdio::null());
    // apt that cannot tell is apt without the suite: it is then read from sources of our own.
    let output = targets.output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
}

fn is_among(suite: &str, codenames: &str) -> bool {
    codenames.lines().any(|codename| codename.trim() == suite)
}

/// Whether a package of the same source is installed, and came from backports.
fn kin_is_of_backports(package: &str) -> bool {
    KIN.iter()
        .filter(|(it, _)| *it == package)
        .filter_map(|(_, kin)| installed_version(kin))
        .any(|version| is_of_backports(&version))
}

fn installed_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Version}", package])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

/// Debian's backports end with `~bpo` and the release they were made for.
fn is_of_backports(version: &str) -> bool {
    version.contains("~bpo")
}

/// The codename of the release that `/etc/os-release` describes.
fn codename_of(os_release: &str) -> Option<&str> {
    let codename = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(codename.trim_matches('"'))
}

/// The suite of backports of a release.
fn backports_of(codename: &str) -> String {
    format!("{codename}-backports")
}

#[cfg(test)]
mod tests {
    use super::{backports_of, codename_of, is_among, is_of_backports};

    #[test]
    fn backports_are_known_by_their_version() {
        assert!(is_of_backports("1:10.0.2+ds-2+deb13u1~bpo12+1"));
        assert!(!is_of_backports("1:7.2+dfsg-7+deb12u18+b3"));
        assert!(!is_of_backports(""));
    }

    #[test]
    fn the_suite_of_backports_is_the_releases_own() {
        let bookworm = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\n";
        let codename = codename_of(bookworm).unwrap();
        assert_eq!(backports_of(codename), "bookworm-backports");
        assert_eq!(codename_of("VERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(codename_of("NAME=Other\n"), None);
    }

    #[test]
    fn a_source_of_backports_is_that_of_the_release_and_no_other() {
        let sources = "bookworm\nbookworm-updates\nbookworm-backports-sloppy\n";
        assert!(!is_among("bookworm-backports", sources));
        assert!(is_among(
            "bookworm-backports",
            &format!("{sources}bookworm-backports\n")
        ));
    }
}
