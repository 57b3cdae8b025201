//! The clients: which they are, at which versions, and where they are installed.
//!
//! Versions are pinned in `xtask/demo`, down to what the SDKs themselves depend on. Installed
//! once, in `target/demo`; nothing is put in the system's own Python or Node.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{on_path, shown, succeeds};
use crate::step::Steps;
use crate::workspace::Workspace;

/// Written last into an installation: what it was installed from.
const STAMP: &str = "installed";
/// The files that npm reads.
const NODE_MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// The Node client, which finds its SDK only from beside it.
const NODE_CLIENT: &str = "node_openai.js";

/// All clients, installed.
pub(crate) struct Clients {
    scripts: PathBuf,
    python: PathBuf,
    node: PathBuf,
    node_client: PathBuf,
}

/// Installs what is missing or was installed from other pins.
///
/// # Errors
/// When pip or npm fails; the end of its output is printed first.
pub(crate) fn ensure(workspace: &Workspace, steps: &Steps) -> Result<()> {
    ensure_python(workspace, steps)?;
    ensure_node(workspace, steps)
}

impl Clients {
    /// The clients that [`ensure`] installed.
    ///
    /// # Errors
    /// When there is no Node any more.
    pub(crate) fn installed(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            scripts: scripts(workspace),
            python: venv(workspace).join("bin/python"),
            node: on_path("node").context("node is not on PATH any more")?,
            node_client: node_directory(workspace).join(NODE_CLIENT),
        })
    }

    /// The command line that runs all of them. curl verifies the host that is not to be
    /// intercepted with `provider_ca` alone.
    pub(crate) fn command_line(&self, provider_ca: &Path) -> Vec<OsString> {
        let script = self.scripts.join("clients.sh");
        let words: [&Path; 7] = [
            Path::new("sh"),
            &script,
            &self.scripts,
            &self.python,
            &self.node,
            &self.node_client,
            provider_ca,
        ];
        words.map(OsString::from).into()
    }
}

/// Scripts and pins.
fn scripts(workspace: &Workspace) -> PathBuf {
    workspace.root().join("xtask/demo")
}

fn venv(workspace: &Workspace) -> PathBuf {
    super::directory(workspace).join("venv")
}

fn node_directory(workspace: &Workspace) -> PathBuf {
    super::directory(workspace).join("node")
}

fn ensure_python(workspace: &Workspace, steps: &Steps) -> Result<()> {
    let requirements = scripts(workspace).join("requirements.txt");
    let venv = venv(workspace);
    // Its packages are in a directory named after the version: another Python has none.
    let wanted = format!("{}\n{}", python_version()?, read(&requirements)?);
    let python = venv.join("bin/python");
    let is_installed = fs::read_to_string(venv.join(STAMP)).is_ok_and(|stamp| stamp == wanted);
    if is_installed && succeeds(&python, &["-c", ""]) {
        return Ok(());
    }
    let mut create = workspace.command("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    steps.silent(
        "demo-venv",
        "a Python environment of the demo's own, in target/demo/venv",
        create,
    )?;
    let mut install = workspace.command(&python);
    install
        .args(["-m", "pip", "install", "--no-input"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(requirements);
    steps.silent(
        "demo-pip",
        "pip install: the OpenAI and Anthropic SDKs for Python, which the demo runs",
        install,
    )?;
    write(&venv.join(STAMP), &wanted)
}

fn python_version() -> Result<String> {
    let mut ask = Command::new("python3");
    ask.arg("--version");
    let output = ask
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&ask)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&ask), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn ensure_node(workspace: &Workspace, steps: &Steps) -> Result<()> {
    let (scripts, directory) = (scripts(workspace), node_directory(workspace));
    let mut wanted = String::new();
    for manifest in NODE_MANIFESTS {
        wanted.push_str(&read(&scripts.join(manifest))?);
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    copy(&scripts.join(NODE_CLIENT), &directory.join(NODE_CLIENT))?;
    if fs::read_to_string(directory.join(STAMP)).is_ok_and(|stamp| stamp == wanted) {
        return Ok(());
    }
    for manifest in NODE_MANIFESTS {
        copy(&scripts.join(manifest), &directory.join(manifest))?;
    }
    let mut install = workspace.command("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .arg("--no-update-notifier")
        .current_dir(&directory);
    steps.silent(
        "demo-npm",
        "npm ci: the OpenAI SDK for Node, which the demo runs",
        install,
    )?;
    write(&directory.join(STAMP), &wanted)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
