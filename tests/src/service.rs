//! A server as it is released, of a set of clients, in the provider's namespace.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::output::Output;
use crate::world::{PROVIDER, World};

/// What a server says when it listens.
const LISTENING: &str = "listening\n";

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    said: Output,
    complained: Output,
}

impl Service {
    /// Starts `command` with three arguments more: its address, a certificate of the
    /// world's CA for `names`, and the key, both as files of PEM. Returns when it
    /// has said that it listens.
    ///
    /// # Errors
    /// It does not.
    pub fn start(world: &World, names: &[&str], command: &[String]) -> Result<Self> {
        let identity = world.emulator.identity(names)?;
        let file = |name: &str| world.directory().join(name);
        let (certificate, key) = (file("service.pem"), file("service.key"));
        fs::write(&certificate, identity.chain_pem)?;
        fs::write(&key, identity.key_pem)?;
        let (program, arguments) = command.split_first().context("a command has a program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(PROVIDER.to_string())
            .args([certificate, key])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = world.provider.spawn(&mut command)?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let stderr = child.stderr.take().context("a pipe was asked for")?;
        let mut service = Self {
            child,
            said: Output::of(stdout),
            complained: Output::of(stderr),
        };
        service
            .said
            .wait_for(LISTENING)
            .with_context(|| format!("the server: {}", service.complained.so_far()))?;
        Ok(service)
    }

    /// What it has said since it listens, as lines.
    pub fn said(&mut self) -> Vec<String> {
        let said = self.said.so_far();
        let (_, since) = said.split_once(LISTENING).unwrap_or_default();
        since.lines().map(str::to_owned).collect()
    }

    /// What it has complained about.
    pub fn complaints(&mut self) -> String {
        self.complained.so_far()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
