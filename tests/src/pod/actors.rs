//! The programs of a pod: who runs them, in which cgroup, and what they are asked.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use super::place::Container;
use super::running::Running;
use super::{APPLICATION_USER, PROXY_USER, Pod, said};

impl Pod {
    /// Starts the thin proxy with these options and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub fn thin_proxy(&self, options: &[&str]) -> Result<Running> {
        let state = self.path("state").into_os_string();
        let mut words = vec![
            OsStr::new("thin-proxy"),
            OsStr::new("--state"),
            state.as_os_str(),
        ];
        words.extend(options.iter().map(OsStr::new));
        self.stay(Container::Proxy, PROXY_USER, &words)
    }

    /// Starts servers, TCP by default, outside of the pod's cgroups.
    ///
    /// # Errors
    /// An address is not to be had.
    pub fn serve(&self, options: &[&str]) -> Result<Running> {
        let mut words = vec!["serve"];
        words.extend(options);
        self.stay(Container::Outside, 0, &words)
    }

    /// Starts servers at every address of the world, on both ports that are
    /// captured. They close each connection after the answer.
    ///
    /// # Errors
    /// Something else listens there.
    pub fn serve_the_world(&self) -> Result<Running> {
        self.serve(&[
            "--close",
            "0.0.0.0:443",
            "0.0.0.0:80",
            "[::]:443",
            "[::]:80",
        ])
    }

    /// Runs an actor of the application to its end.
    ///
    /// # Errors
    /// It failed, or says something else than a `T`.
    pub fn application<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        self.act(Container::Application, APPLICATION_USER, words)
    }

    /// Runs an actor to its end.
    ///
    /// # Errors
    /// It failed, or says something else than a `T`.
    pub fn act<T: DeserializeOwned>(
        &self,
        container: Container,
        user: u32,
        words: &[&str],
    ) -> Result<T> {
        self.begin(container, user, words)?.finish()
    }

    /// Starts an actor of the application that ends by itself, or when it is told
    /// to finish.
    ///
    /// # Errors
    /// It is not built.
    pub fn begin<S: AsRef<OsStr>>(
        &self,
        container: Container,
        user: u32,
        words: &[S],
    ) -> Result<Running> {
        let actor = program("weir-actor")?;
        let mut line = vec![actor.as_os_str()];
        line.extend(words.iter().map(AsRef::as_ref));
        self.start(container, user, &line)
    }

    /// Starts an actor that stays, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn stay<S: AsRef<OsStr>>(
        &self,
        container: Container,
        user: u32,
        words: &[S],
    ) -> Result<Running> {
        let mut actor = self.begin(container, user, words)?;
        actor.wait_for(&format!("\"{}\"\n", said::READY))?;
        Ok(actor)
    }

    /// Starts a program as this user and in this container's cgroup.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        container: Container,
        user: u32,
        words: &[S],
    ) -> Result<Running> {
        let mut command = Command::new(program("weir-actor")?);
        command.args(["enter", "--user", &user.to_string()]);
        if let Some(cgroup) = self.place.of(container) {
            command.arg("--cgroup").arg(cgroup);
        }
        command.arg("--").args(words);
        Running::start(&self.namespace, &mut command)
    }
}

/// A program built beside this one, where users without rights can execute it:
/// in the home of somebody who lets nobody in, a copy elsewhere.
///
/// # Errors
/// It is not built, or cannot be copied.
pub fn program(name: &str) -> Result<PathBuf> {
    // target/debug/deps/kernel-… beside target/debug/weir
    let own = std::env::current_exe()?;
    let directory = own
        .ancestors()
        .nth(2)
        .context("a test program is in target/debug/deps")?;
    let program = directory.join(name);
    ensure!(
        program.exists(),
        "{} is not built: run `cargo xtask test`",
        program.display()
    );
    if directory.ancestors().all(lets_others_in) {
        return Ok(program);
    }
    static COPIES: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    let copies = match &*copies {
        Some(directory) => directory,
        None => copies.insert(directory_for_copies()?),
    };
    let copy = copies.join(name);
    if !copy.exists() {
        // By another process: a file that is open for writing cannot be executed,
        // and each child that is started meanwhile would have it open.
        let copied = Command::new("cp").arg(&program).arg(&copy).status()?;
        ensure!(
            copied.success(),
            "cannot copy {} to {}",
            program.display(),
            copy.display()
        );
    }
    Ok(copy)
}

/// Whether any user may pass through a directory.
fn lets_others_in(directory: &Path) -> bool {
    const SEARCH_BY_OTHERS: u32 = 0o001;
    fs::metadata(directory).is_ok_and(|found| found.mode() & SEARCH_BY_OTHERS != 0)
}

/// A directory of this process's own. Nobody tells when a test program ends, so
/// that each clears away what those before it left.
fn directory_for_copies() -> Result<PathBuf> {
    const PREFIX: &str = "weir-test-programs-";
    let place = std::env::temp_dir();
    for entry in fs::read_dir(&place)?.flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test program may be at it too.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
    let directory = place.join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}
