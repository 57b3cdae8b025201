//! A terminal of one's own, to press keys at.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::libc;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::output::Output;

/// Ctrl-C.
pub const INTERRUPT: &str = "\x03";
/// Ctrl-Z.
pub const SUSPEND: &str = "\x1a";

/// The side at which the user sits.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    /// What is shown.
    pub screen: Output,
}

impl Terminal {
    /// Starts a program as the leader of a session on a new terminal.
    ///
    /// # Errors
    /// There is no terminal, no setsid(1), or no such program.
    pub fn start(command: &Command) -> Result<(Self, Child)> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?;
        let device = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(name.to_str()?)?;

        // util-linux makes its input the controlling terminal, and then becomes
        // the program.
        let mut on_terminal = Command::new("setsid");
        on_terminal
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::from(device.try_clone()?))
            .stdout(Stdio::from(device.try_clone()?))
            .stderr(Stdio::from(device));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        let child = on_terminal
            .spawn()
            .context("cannot start setsid: install util-linux")?;
        // The command holds copies of the device as long as it lives.
        drop(on_terminal);
        let keyboard = File::from(controller);
        let screen = Output::of(File::from(OwnedFd::from(keyboard.try_clone()?)));
        Ok((Self { keyboard, screen }, child))
    }

    /// Types this.
    ///
    /// # Errors
    /// Nobody has the terminal open any more.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }
}
