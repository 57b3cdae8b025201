//! The proxies that a benchmark puts beside weir: Debian's packages, unpacked and not installed.
//!
//! Installed, their services would start, and take this machine's ports. Those that are installed
//! are left alone, and used where there is no apt-get.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::packages::Apt;
use crate::step::Steps;
use crate::workspace::Workspace;

/// nginx and HAProxy, and the libraries of theirs that few machines have.
const PACKAGES: [&str; 6] = [
    "nginx",
    "libnginx-mod-stream",
    "haproxy",
    "liblua5.3-0",
    "libopentracing-c-wrapper0",
    "libopentracing1",
];
/// Written last: what was unpacked.
const STAMP: &str = "unpacked";

/// Where they are, or would be.
pub(crate) fn directory(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("peers")
}

/// Unpacks them, once.
///
/// # Errors
/// When a package cannot be downloaded or unpacked.
pub(crate) fn ensure(workspace: &Workspace, steps: &Steps, apt: &mut Apt) -> Result<()> {
    let (directory, wanted) = (directory(workspace), PACKAGES.join("\n"));
    let stamp = directory.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(());
    }
    if !Apt::present() {
        steps
            .note("there is no apt-get here: nginx and HAProxy are compared if they are installed");
        return Ok(());
    }
    let downloads = directory.join("packages");
    if downloads.exists() {
        fs::remove_dir_all(&downloads).context("cannot clear what was downloaded before")?;
    }
    fs::create_dir_all(&downloads)
        .with_context(|| format!("cannot create {}", downloads.display()))?;
    apt.download(workspace, steps, &PACKAGES, &downloads)?;
    for entry in fs::read_dir(&downloads).context("cannot read what was downloaded")? {
        unpack(workspace, steps, &entry?.path(), &directory)?;
    }
    fs::write(&stamp, wanted).context("cannot say what was unpacked")
}

fn unpack(workspace: &Workspace, steps: &Steps, package: &Path, into: &Path) -> Result<()> {
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let mut unpack = workspace.command("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(into);
    let what = format!("{name}, unpacked in target/tools/peers: to compare with, in a benchmark");
    steps.silent("peers-unpack", &what, unpack)
}
