//! Clients as they are released, at pinned versions: sets of Python's, each in an
//! environment of its own, and one of Node's.
//!
//! A set is a directory below `tests/clients`: `requirements.txt`, or `package.json`
//! with its lock file, and the scripts that run what they install.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::pod::program;

/// Where the sets are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
/// Written last into an installation: what it was installed from.
const STAMP: &str = "installed";
/// The files that npm reads.
const NODE_MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// An installed set.
#[derive(Debug)]
pub struct Clients {
    /// What runs a script.
    program: PathBuf,
    /// Where scripts are run from.
    scripts: PathBuf,
}

impl Clients {
    /// Installs a set of Python's in `target/…/clients` if it is missing there or
    /// was installed from other pins; once, however many tests ask at the same time.
    ///
    /// # Errors
    /// There is no Python with venv, no package index, or no such set.
    pub fn python(set: &str) -> Result<Self> {
        let place = Place::of(set)?;
        let pins = place.sources.join("requirements.txt");
        let python = place.installation.join("bin/python");
        // Packages are in a directory named after the version: another Python has none.
        let wanted = printed("python3", ["--version"])? + &read(&pins)?;
        if !place.has(&wanted) {
            done(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&place.installation),
            )?;
            let pip = ["-m", "pip", "install", "--no-input", "--quiet"];
            let options = ["--disable-pip-version-check", "--requirement"];
            done(Command::new(&python).args(pip).args(options).arg(&pins))?;
            place.stamp(&wanted)?;
        }
        Ok(Self {
            program: python,
            scripts: place.sources,
        })
    }

    /// The same for a set of Node's.
    ///
    /// # Errors
    /// There is no Node, no npm, no registry, or no such set.
    pub fn node(set: &str) -> Result<Self> {
        let place = Place::of(set)?;
        fs::create_dir_all(&place.installation)?;
        let mut wanted = printed("node", ["--version"])?;
        for manifest in NODE_MANIFESTS {
            wanted.push_str(&read(&place.sources.join(manifest))?);
        }
        // A script finds packages only from beside them.
        for entry in fs::read_dir(&place.sources)? {
            let file = entry?.path();
            let name = file.file_name().context("a file has a name")?;
            fs::copy(&file, place.installation.join(name))?;
        }
        if !place.has(&wanted) {
            let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            done(
                Command::new("npm")
                    .args(npm)
                    .arg("--no-update-notifier")
                    .current_dir(&place.installation),
            )?;
            place.stamp(&wanted)?;
        }
        Ok(Self {
            program: "node".into(),
            scripts: place.installation,
        })
    }

    /// A program that a set of Python's has installed.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.program.with_file_name(name)
    }

    /// A script of the set.
    #[must_use]
    pub fn script(&self, name: &str) -> PathBuf {
        self.scripts.join(name)
    }

    /// The command line of a script of the set.
    #[must_use]
    pub fn command(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let mut words = vec![self.program.display().to_string()];
        words.push(self.scripts.join(script).display().to_string());
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        words
    }
}

/// Where a set comes from and goes to, while nobody else installs it.
struct Place {
    sources: PathBuf,
    installation: PathBuf,
    _lock: File,
}

impl Place {
    fn of(set: &str) -> Result<Self> {
        let weir = program("weir")?;
        let clients = weir.parent().context("weir is in a directory")?;
        let clients = clients.join("clients");
        let lock = clients.join(format!("{set}.lock"));
        if let Some(directory) = lock.parent() {
            fs::create_dir_all(directory)?;
        }
        let lock = File::create(lock)?;
        lock.lock().with_context(|| format!("cannot lock {set}"))?;
        Ok(Self {
            sources: Path::new(SOURCES).join(set),
            installation: clients.join(set),
            _lock: lock,
        })
    }

    fn has(&self, wanted: &str) -> bool {
        fs::read_to_string(self.installation.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
    }

    fn stamp(&self, wanted: &str) -> Result<()> {
        let stamp = self.installation.join(STAMP);
        fs::write(stamp, wanted).context("cannot say what was installed")
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What a program prints.
fn printed<const N: usize>(program: &str, arguments: [&str; N]) -> Result<String> {
    let mut command = Command::new(program);
    let output = run(command.args(arguments.map(OsStr::new)))?;
    String::from_utf8(output).with_context(|| format!("{program} does not print text"))
}

/// Runs a step of the installation.
fn done(command: &mut Command) -> Result<()> {
    run(command).map(drop)
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}: `cargo xtask setup` installs it"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
