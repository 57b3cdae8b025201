//! The programs of a pod: who runs them, in which cgroup, and what they are asked.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

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

/// A program built beside this one.
///
/// # Errors
/// It is not built.
pub fn program(name: &str) -> Result<PathBuf> {
    // target/debug/deps/kernel-… beside target/debug/weir
    let own = std::env::current_exe()?;
    let program = own
        .ancestors()
        .nth(2)
        .context("a test program is in target/debug/deps")?
        .join(name);
    ensure!(
        program.exists(),
        "{} is not built: run `cargo xtask test`",
        program.display()
    );
    Ok(program)
}
