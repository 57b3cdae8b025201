//! Debian's archive, read by an apt of our own: its own sources, lists and cache below `target`.
//!
//! apt verifies the index against Debian's keys and each package against the index, and honours
//! the machine's proxies. The machine's own package lists are never touched, and nothing is
//! installed: packages are only unpacked. Needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::packages::{METAPACKAGE, Selection, select};
use super::series::Series;
use crate::command::shown;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Where Debian itself says to fetch from, for a machine whose apt has no mirror of Debian.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
/// The keys of all releases that are fetched, old ones included.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The label of the archive of releases; that of security updates has another.
const LABEL: &str = "Debian";

/// A private apt for the suites of one kernel.
pub(crate) struct Archive<'run> {
    workspace: &'run Workspace,
    steps: &'run Steps,
    series: Series,
    directory: PathBuf,
}

/// The mirror of Debian that this machine's apt uses, or Debian's default.
pub(crate) fn mirror(workspace: &Workspace) -> String {
    let mut targets = workspace.command("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(LABEL)"]);
    targets.arg("Created-By: Packages");
    let output = targets
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map(|output| output.stdout)
        // A machine whose apt has no sources still reaches the default.
        .unwrap_or_default();
    mirror_among(&String::from_utf8_lossy(&output))
        .unwrap_or(DEFAULT_MIRROR)
        .to_owned()
}

/// The first mirror of Debian in lines of address and label, if it is one that a server serves.
fn mirror_among(targets: &str) -> Option<&str> {
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(uri, label)| label.trim() == LABEL && uri.starts_with("http"))
        .map(|(uri, _)| uri.trim_end_matches('/'))
}

impl<'run> Archive<'run> {
    /// Fetches the index of the suites of `series` from `mirror`, into `directory`.
    ///
    /// # Errors
    /// When apt cannot fetch or verify it.
    pub(crate) fn open(
        workspace: &'run Workspace,
        steps: &'run Steps,
        series: Series,
        mirror: &str,
        directory: PathBuf,
    ) -> Result<Self> {
        // apt makes what lies below them.
        for below in ["state/lists", "cache/archives"] {
            let path = directory.join(below);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("apt.conf", configuration(&directory))?;
        write("debian.list", sources(mirror, series.suites()))?;
        write("status", String::new())?;

        let archive = Self {
            workspace,
            steps,
            series,
            directory,
        };
        let mut update = archive.apt("apt-get");
        update.arg("update");
        let suites = series.suites().join(" and ");
        archive.silent("index", &format!("index of Debian's {suites}"), update)?;
        Ok(archive)
    }

    /// The kernel that the index has for the series.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn select(&self) -> Result<Selection> {
        let names = self.ask(&["pkgnames", "linux-"])?;
        let shown = self.ask(&["show", METAPACKAGE])?;
        select(self.series.choice(), &names, &shown)
            .with_context(|| format!("no kernel for {}", self.series))
    }

    /// Fetches packages and unpacks them into one directory, which it gives.
    ///
    /// # Errors
    /// When one cannot be fetched, verified or unpacked.
    pub(crate) fn unpack(&self, selection: &Selection) -> Result<PathBuf> {
        let downloads = self.directory.join("packages");
        let tree = self.directory.join("tree");
        for fresh in [&downloads, &tree] {
            if fresh.exists() {
                fs::remove_dir_all(fresh)
                    .with_context(|| format!("cannot empty {}", fresh.display()))?;
            }
            fs::create_dir(fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
        }
        let mut download = self.apt("apt-get");
        download.arg("download").args(&selection.packages);
        download.current_dir(&downloads);
        let what = format!("Linux {} for {}", selection.release, self.series);
        self.silent("download", &what, download)?;

        for package in entries(&downloads)? {
            let mut unpack = self.workspace.command("dpkg-deb");
            unpack.arg("--extract").arg(&package).arg(&tree);
            let output = unpack
                .output()
                .with_context(|| format!("cannot start `{}`", shown(&unpack)))?;
            if !output.status.success() {
                bail!(
                    "`{}` failed: {}",
                    shown(&unpack),
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
        }
        Ok(tree)
    }

    /// Removes the lists and packages, which are ten times as large as what was taken from them.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub(crate) fn close(self) -> Result<()> {
        fs::remove_dir_all(&self.directory)
            .with_context(|| format!("cannot remove {}", self.directory.display()))
    }

    fn silent(&self, name: &str, what: &str, command: Command) -> Result<()> {
        let name = format!("{}-{name}", self.series);
        self.steps.silent(&name, what, command)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut query = self.apt("apt-cache");
        query.args(arguments);
        let output = query
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", shown(&query)))?;
        if !output.status.success() {
            bail!(
                "`{}` failed: {}",
                shown(&query),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = self.workspace.command(program);
        command
            .arg("--config-file")
            .arg(self.directory.join("apt.conf"));
        command
    }
}

/// The paths in a directory.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut paths = read().with_context(|| format!("cannot read {}", directory.display()))?;
    paths.sort();
    Ok(paths)
}

/// Read after the machine's own configuration, which keeps its proxies: everything that leads to
/// the machine's packages is led here, and what it runs after an update is left out.
fn configuration(directory: &Path) -> String {
    let here = directory.display();
    format!(
        "Dir::State \"{here}/state\";\n\
         Dir::State::status \"{here}/status\";\n\
         Dir::Cache \"{here}/cache\";\n\
         Dir::Etc::sourcelist \"{here}/debian.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         APT::Architecture \"amd64\";\n\
         #clear APT::Architectures;\n\
         APT::Architectures {{ \"amd64\"; }};\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         #clear Acquire::IndexTargets::deb::DEP-11;\n\
         Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
         Acquire::Languages \"none\";\n\
         APT::Update::Error-Mode \"any\";\n"
    )
}

/// Lines of sources for suites of a mirror, verified with Debian's keys.
pub(crate) fn sources(mirror: &str, suites: &[&str]) -> String {
    suites
        .iter()
        .map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{mirror_among, sources};

    #[test]
    fn the_machines_mirror_of_releases_is_used() {
        let targets = "cdrom://[Debian]/ Debian\n\
                       http://mirror.example/debian-security/ Debian-Security\n\
                       https://mirror.example/debian/ Debian\n\
                       http://other.example/debian/ Debian\n";
        assert_eq!(mirror_among(targets), Some("https://mirror.example/debian"));
        assert_eq!(
            mirror_among("http://archive.example/ubuntu/ Ubuntu\n"),
            None
        );
        assert_eq!(mirror_among(""), None);
    }

    #[test]
    fn every_suite_is_a_signed_source() {
        let text = sources("http://mirror.example/debian", &["trixie-backports", "sid"]);
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            assert!(line.starts_with("deb [signed-by=/usr/share/keyrings/debian-archive-keyring"));
            assert!(line.contains("] http://mirror.example/debian "));
        }
    }
}
