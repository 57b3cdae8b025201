//! A virtual machine: started, listened to, and ended within its bounds.
//!
//! It has two processors, memory, a serial line, disks if it boots from them, and nothing else: no
//! network. It ends by itself, or is killed when it is silent for too long or takes too long.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::accelerator::Accelerator;
use super::console::Mark;
use crate::command::shown;
use crate::step::{Steps, seconds};
use crate::workspace::Workspace;

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// Two, because races between processors are what the kernel half must survive.
const PROCESSORS: &str = "2";
/// A panic ends the machine (`panic=-1` reboots at once, which `-no-reboot` turns into an end), and
/// so does an oops, after which nothing could be believed. The processor's random numbers are
/// trusted, because an emulated machine has no other source and would wait for one.
const KERNEL_PARAMETERS: &str = "console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on";

/// Where the system is, for a kernel without an archive in memory.
const DISK_PARAMETERS: &str = " root=/dev/nvme0n1 rw";

/// How often a machine is started that does not come up. An emulated processor of QEMU's loses its
/// timer now and then while the kernel starts, and waits for it for good ("rcu_preempt kthread timer
/// wakeup didn't happen").
const STARTS_MAX: usize = 3;

/// How long a machine may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Until its first process runs.
    pub(crate) up_max: Duration,
    /// Between two lines of its console.
    pub(crate) silence_max: Duration,
    /// In all.
    pub(crate) total_max: Duration,
}

impl Bounds {
    /// Gives the reason for which to kill the machine, or none once its console is closed.
    fn listen(
        self,
        lines: &Receiver<String>,
        mut heard: impl FnMut(&str) -> Result<()>,
    ) -> Result<Option<End>> {
        let started = Instant::now();
        let Self {
            up_max,
            silence_max,
            total_max,
        } = self;
        let mut is_up = false;
        loop {
            let left = total_max.saturating_sub(started.elapsed());
            let left_until_up = if is_up {
                left
            } else {
                up_max.saturating_sub(started.elapsed())
            };
            match lines.recv_timeout(left.min(left_until_up).min(silence_max)) {
                Ok(line) => {
                    heard(&line)?;
                    is_up |= matches!(Mark::read(&line), Some(Mark::Up { .. }));
                    // One that only complains is no more up than a silent one.
                    if !is_up && left_until_up.is_zero() {
                        return Ok(Some(End::NotUp(up_max)));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if left_until_up < left.min(silence_max) => {
                    return Ok(Some(End::NotUp(up_max)));
                }
                Err(RecvTimeoutError::Timeout) if left < silence_max => {
                    return Ok(Some(End::TooLong(total_max)));
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Some(End::Silent(silence_max))),
            }
        }
    }
}

/// What a machine's first process is started from.
#[derive(Clone, Debug)]
pub(crate) enum Boot {
    /// An archive that the kernel unpacks into memory.
    Memory(PathBuf),
    /// Disks, of which the first has the system. What is written to them is forgotten at the end.
    Disks(Vec<PathBuf>),
}

/// A machine to be started.
#[derive(Clone)]
pub(crate) struct Machine<'run> {
    pub(crate) workspace: &'run Workspace,
    pub(crate) accelerator: Accelerator,
    pub(crate) vmlinuz: PathBuf,
    pub(crate) boot: Boot,
    pub(crate) memory_mib: u32,
    /// Variables of the first process: names and values without spaces.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Where its console is kept.
    pub(crate) log: PathBuf,
    pub(crate) bounds: Bounds,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself: powered off, or panicked.
    Itself(ExitStatus),
    /// Killed, as its first process did not run by then.
    NotUp(Duration),
    /// Killed, after it said nothing for that long.
    Silent(Duration),
    /// Killed, after that long in all.
    TooLong(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself(status) => write!(f, "the machine ended ({status})"),
            Self::Silent(bound) => write!(f, "the machine said nothing for {}", seconds(*bound)),
            Self::NotUp(bound) | Self::TooLong(bound) => {
                write!(f, "the machine took more than {}", seconds(*bound))
            }
        }
    }
}

impl Machine<'_> {
    /// [Runs](Self::run) the machine, and again if it does not come up.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn run_up(&self, steps: &Steps, mut heard: impl FnMut(&str)) -> Result<End> {
        let mut end = self.run(&mut heard)?;
        for _ in 1..STARTS_MAX {
            if !matches!(end, End::NotUp(_)) {
                break;
            }
            steps.note(&format!(
                "{end} before it was up (see {}): it is started again",
                self.log.display()
            ));
            end = self.run(&mut heard)?;
        }
        Ok(end)
    }

    /// Runs the machine to its end, and gives each line of its console to `heard`.
    ///
    /// # Errors
    /// When the emulator cannot be started or its output not be kept.
    pub(crate) fn run(&self, mut heard: impl FnMut(&str)) -> Result<End> {
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut qemu = self.workspace.command("setpriv");
        // setpriv becomes the emulator, which then ends when xtask does, for whatever reason.
        qemu.args(["--pdeathsig", "KILL", "--", QEMU]);
        qemu.args(self.arguments());
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                log.try_clone()
                    .with_context(|| format!("cannot share {}", self.log.display()))?,
            )
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&qemu)))?;
        let lines = lines_of(child.stdout.take().context("the console was not piped")?);
        let end = self.bounds.listen(&lines, |line| {
            heard(line);
            writeln!(log, "{}", line.trim_end()).context("cannot write the console's log")
        });
        match end {
            // The console is closed: the emulator is about to end, if it has not.
            Ok(None) => Ok(End::Itself(
                child.wait().context("cannot wait for the emulator")?,
            )),
            Ok(Some(end)) => {
                kill(&mut child)?;
                Ok(end)
            }
            Err(error) => {
                kill(&mut child)?;
                Err(error)
            }
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let accelerator = format!("q35,accel={}", self.accelerator.qemu_name());
        let mut parameters = KERNEL_PARAMETERS.to_owned();
        if matches!(self.boot, Boot::Disks(_)) {
            parameters.push_str(DISK_PARAMETERS);
        }
        // What the kernel does not know itself becomes a variable of the first process.
        for (name, value) in &self.variables {
            parameters.push_str(&format!(" {name}=\"{value}\""));
        }
        let memory = self.memory_mib.to_string();
        let mut arguments: Vec<OsString> = [
            "-machine",
            &accelerator,
            "-cpu",
            "max",
            "-smp",
            PROCESSORS,
            "-m",
            &memory,
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
            "-append",
            &parameters,
        ]
        .map(OsString::from)
        .into();
        arguments.extend(["-kernel".into(), self.vmlinuz.clone().into()]);
        match &self.boot {
            Boot::Memory(image) => arguments.extend(["-initrd".into(), image.clone().into()]),
            Boot::Disks(disks) => arguments.extend(disk_arguments(disks)),
        }
        arguments
    }
}

/// The first disk is of a kind that Debian's kernels drive without a module. It is the only one of its
/// kind, because the kernel names them in the order in which they answer: others are virtio's.
fn disk_arguments(disks: &[PathBuf]) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for (number, path) in disks.iter().enumerate() {
        // Options are separated by commas; one in a path is doubled.
        let path = path.to_string_lossy().replace(',', ",,");
        let device = if number == 0 {
            "nvme,serial=0"
        } else {
            "virtio-blk-pci"
        };
        for (option, value) in [
            (
                "-drive",
                format!("file={path},format=raw,if=none,id=disk{number},snapshot=on"),
            ),
            ("-device", format!("{device},drive=disk{number}")),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
    }
    arguments
}

/// Ends a machine that does not end itself.
fn kill(child: &mut Child) -> Result<()> {
    child.kill().context("cannot end the emulator")?;
    child.wait().context("cannot wait for the emulator")?;
    Ok(())
}

/// Reads lines on a thread of its own, so that waiting for one can be bounded.
fn lines_of(console: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        // A console that cannot be read is a console that is closed.
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::{Bounds, End, disk_arguments};

    #[test]
    fn a_machine_that_only_complains_is_not_up() {
        let bounds = Bounds {
            up_max: Duration::ZERO,
            silence_max: Duration::from_secs(60),
            total_max: Duration::from_secs(60),
        };
        for (said, expected) in [
            (
                "rcu: INFO: rcu_preempt detected stalls",
                Some(End::NotUp(Duration::ZERO)),
            ),
            ("@weir-vm up 1.0 6.1.0-50-cloud-amd64", None),
        ] {
            let (console, lines) = channel();
            console.send(said.to_owned()).expect("it is listened to");
            console.send("more".to_owned()).expect("it is listened to");
            drop(console);
            let end = bounds.listen(&lines, |_| Ok(())).expect("it only listens");
            assert_eq!(end, expected, "{said}");
        }
    }

    #[test]
    fn disks_come_in_their_order_and_keep_their_names() {
        let disks = [PathBuf::from("/a,b/system"), PathBuf::from("/work")];
        let words: Vec<String> = disk_arguments(&disks)
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            words,
            [
                "-drive",
                "file=/a,,b/system,format=raw,if=none,id=disk0,snapshot=on",
                "-device",
                "nvme,serial=0,drive=disk0",
                "-drive",
                "file=/work,format=raw,if=none,id=disk1,snapshot=on",
                "-device",
                "virtio-blk-pci,drive=disk1",
            ]
        );
    }
}
