//! Clients in Python as they are released, at pinned versions.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::pod::program;

/// Scripts and pins.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
/// Written last into an installation: what it was installed from.
const STAMP: &str = "installed";

/// A Python that has them.
#[derive(Debug)]
pub struct Clients {
    python: PathBuf,
}

impl Clients {
    /// Installs what is missing or was installed from other pins, into
    /// `target/…/clients`; once, however many tests ask at the same time.
    ///
    /// # Errors
    /// There is no Python with venv, or no package index.
    pub fn installed() -> Result<Self> {
        let weir = program("weir")?;
        let target = weir.parent().context("weir is in a directory")?;
        let venv = target.join("clients");
        let lock = File::create(target.join("clients.lock"))?;
        lock.lock().context("cannot lock the clients")?;
        let python = venv.join("bin/python");
        let pins = Path::new(SOURCES).join("requirements.txt");
        let wanted = fs::read_to_string(&pins)?;
        if fs::read_to_string(venv.join(STAMP)).is_ok_and(|stamp| stamp == wanted) {
            return Ok(Self { python });
        }
        done(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
        let pip = ["-m", "pip", "install", "--no-input", "--quiet"];
        let options = ["--disable-pip-version-check", "--requirement"];
        done(Command::new(&python).args(pip).args(options).arg(&pins))?;
        fs::write(venv.join(STAMP), wanted)?;
        Ok(Self { python })
    }

    /// The command line of a script in `tests/clients`.
    #[must_use]
    pub fn command(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let script = Path::new(SOURCES).join(script);
        let mut words = vec![self.python.display().to_string()];
        words.push(script.display().to_string());
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        words
    }
}

/// Runs a step of the installation.
fn done(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
