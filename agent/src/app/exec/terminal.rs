//! The terminal weir and the command share, if there is one.

use std::fs::File;

use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// The controlling terminal, as it was when weir started.
#[derive(Debug)]
pub(super) struct Terminal {
    device: Option<File>,
    was_foreground: bool,
}

impl Terminal {
    /// Opens it, if there is one.
    pub(super) fn open() -> Self {
        let device = File::options().read(true).write(true).open("/dev/tty").ok();
        let was_foreground = device
            .as_ref()
            .is_some_and(|device| tcgetpgrp(device) == Ok(getpgrp()));
        Self {
            device,
            was_foreground,
        }
    }

    /// Whether there is one, and so somebody who may do job control.
    pub(super) fn exists(&self) -> bool {
        self.device.is_some()
    }

    /// Makes weir's group the foreground again. An interactive shell makes that
    /// its own group, and gives it back unless it was killed; without it the
    /// Ctrl-C of which weir speaks would reach nobody.
    pub(super) fn take_back(&self) {
        if let Some(device) = &self.device
            && self.was_foreground
            && tcgetpgrp(device).is_ok_and(|group| group != getpgrp())
        {
            // SIGTTOU, which this raises in the background, is blocked and read. If
            // it fails the terminal is gone.
            let _gone = tcsetpgrp(device, getpgrp());
        }
    }
}
