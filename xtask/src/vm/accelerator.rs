//! Whether this machine's processor can run virtual machines, found by running one.
//!
//! `/dev/kvm` says little: inside another virtual machine it may be there and still stop the
//! emulator, or hang the guest for good.

use std::fmt;
use std::fs::OpenOptions;
use std::time::Duration;

use anyhow::Result;

use super::console::Mark;
use super::machine::{Bounds, Machine};
use crate::step::Steps;

const DEVICE: &str = "/dev/kvm";
/// With KVM a kernel is up in two seconds; a loaded machine gets ten times that.
const PROBE: Bounds = Bounds {
    up_max: Duration::from_secs(20),
    silence_max: Duration::from_secs(20),
    total_max: Duration::from_secs(20),
};

/// What executes the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The processor.
    Kvm,
    /// Software, ten to thirty times slower.
    Tcg,
}

impl Accelerator {
    /// Uses KVM if this machine comes up under it, and says so on its console. Asked once a run: what
    /// hung today may work tomorrow.
    ///
    /// # Errors
    /// When the emulator cannot be started at all.
    pub(crate) fn probe(steps: &Steps, machine: &Machine<'_>) -> Result<Self> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(DEVICE) {
            steps.note(&format!("software emulation: {DEVICE}: {error}"));
            return Ok(Self::Tcg);
        }
        let machine = Machine {
            accelerator: Self::Kvm,
            variables: vec![("WEIR_VM", "probe".to_owned())],
            log: machine.log.with_file_name("kvm.log"),
            bounds: PROBE,
            ..machine.clone()
        };
        let mut is_up = false;
        let end = machine.run(|line| is_up |= matches!(Mark::read(line), Some(Mark::Up { .. })))?;
        if is_up {
            return Ok(Self::Kvm);
        }
        steps.note(&format!(
            "software emulation: {DEVICE} is there, but {end} before the kernel was up (see {})",
            machine.log.display()
        ));
        Ok(Self::Tcg)
    }

    /// What QEMU calls it.
    pub(crate) fn qemu_name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.qemu_name())
    }
}
