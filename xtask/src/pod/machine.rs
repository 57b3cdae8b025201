//! The pod in a virtual machine: Debian as people run it on nodes, with systemd as the first process,
//! cgroup v2 alone, and podman and the kernel from its packages.
//!
//! The system is fetched once and made into a disk that no run changes; what a run needs is another
//! disk, which is an archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::marks::Seen;
use super::rootfs::{as_root, run};
use crate::step::{Steps, seconds};
use crate::vm::{self, Accelerator, Boot, Bounds, End, Machine, Mark};
use crate::workspace::Workspace;

/// Debian's release: the current one, whose podman and systemd are what people have.
const RELEASE: &str = "trixie";
/// What it has beside the essential: an init, a kernel, podman with its network, and what the
/// scenario is written in and asks.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,linux-image-cloud-amd64,\
                        podman,crun,netavark,aardvark-dns,nftables,\
                        iproute2,bpftool,python3,python3-yaml,ca-certificates";
/// What runs in the machine.
const UNIT: &str = include_str!("machine.service");
const SCRIPT: &str = include_str!("machine.sh");
const CONFIGURATION: &str = include_str!("machine.conf");
/// Where systemd finds [`UNIT`], and what makes it start it.
const UNIT_PLACE: &str = "etc/systemd/system/weir-pod.service";
const UNIT_WANTED: &str = "etc/systemd/system/multi-user.target.wants/weir-pod.service";
/// Without one, systemd takes the start for the first of all and asks for a password.
const MACHINE_ID: &str = "77656972706f64746573747669727475\n";
/// The system's disk, most of which is a hole: room for images and containers.
const DISK: &str = "4G";
/// The system, and images in podman's store; a pod of the test takes a tenth of it.
const MEMORY_MIB: u32 = 3072;
/// In software a command of podman's takes seconds, and some steps are ten of them.
const BOUNDS: Bounds = Bounds {
    up_max: Duration::from_secs(6 * 60),
    silence_max: Duration::from_secs(10 * 60),
    total_max: Duration::from_secs(90 * 60),
};

/// The kernel and the emulator that are looked for are of one kind.
///
/// # Errors
/// On machines of another.
pub(super) fn require_host() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the machine is made on x86_64 only so far, this is {}: run `cargo xtask pod-test`, \
             with podman on this machine",
            std::env::consts::ARCH
        );
    }
    Ok(())
}

/// Fetches the system, unless it is there, and runs the scenario in a machine of it, with the files
/// of `directory` that `files` names and with `arguments`.
///
/// # Errors
/// When the system cannot be fetched, the disks not be written, or the machine not be started.
pub(super) fn play(
    workspace: &Workspace,
    steps: &Steps,
    directory: &Path,
    files: &[&str],
    arguments: &[String],
    seen: &mut Seen,
) -> Result<()> {
    let root = system(workspace, steps, directory)?;
    let disks = vec![
        system_disk(workspace, steps, directory, &root)?,
        archive(workspace, directory, files, arguments)?,
    ];
    let mut machine = Machine {
        workspace,
        accelerator: Accelerator::Tcg,
        vmlinuz: vmlinuz(&root)?,
        boot: Boot::Disks(disks),
        memory_mib: MEMORY_MIB,
        variables: Vec::new(),
        log: directory.join("machine.log"),
        bounds: BOUNDS,
    };
    machine.accelerator = Accelerator::probe(steps, &machine)?;
    machine.variables = vec![
        ("WEIR_VM", "pod".to_owned()),
        // The console is the scenario's.
        ("systemd.show_status", "false".to_owned()),
        ("systemd.getty_auto", "false".to_owned()),
    ];
    steps.note(&format!(
        "a machine of Debian {RELEASE}, with {}: its console is kept in {}",
        machine.accelerator,
        machine.log.display()
    ));
    let started = Instant::now();
    let end = machine.run_up(steps, |line| match Mark::read(line) {
        Some(Mark::Up { after, release }) => {
            steps.note(&format!("Linux {release} is up after {}", seconds(after)));
        }
        _ => seen.hear(steps, line),
    })?;
    if !matches!(end, End::Itself(status) if status.success()) {
        bail!("{end}: see {}", machine.log.display());
    }
    steps.note(&format!(
        "the machine ran for {}",
        seconds(started.elapsed())
    ));
    Ok(())
}

/// The system's root directory, fetched unless it is there.
fn system(workspace: &Workspace, steps: &Steps, directory: &Path) -> Result<PathBuf> {
    let root = directory.join("machine-root");
    // Written last.
    if !root.join("etc/machine-id.complete").exists() {
        let mut remove = as_root(workspace, "rm")?;
        remove.arg("-rf").arg(&root);
        run(remove)?;
        let mut fetch = as_root(workspace, "debootstrap")?;
        fetch
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg(RELEASE)
            .arg(&root)
            .arg(vm::mirror(workspace));
        steps.silent(
            "machine",
            &format!(
                "Debian {RELEASE} with systemd and podman, into target/pod: the machine's system \
                 (a few minutes)"
            ),
            fetch,
        )?;
        place(workspace, directory, &root, "etc/machine-id", MACHINE_ID)?;
        place(workspace, directory, &root, "etc/machine-id.complete", "")?;
    }
    place(workspace, directory, &root, UNIT_PLACE, UNIT)?;
    let mut link = as_root(workspace, "ln")?;
    link.args(["--symbolic", "--force", "--no-dereference", "--"])
        .arg(Path::new("/").join(UNIT_PLACE))
        .arg(root.join(UNIT_WANTED));
    run(link)?;
    Ok(root)
}

/// Writes a file of root's into the system.
fn place(
    workspace: &Workspace,
    directory: &Path,
    root: &Path,
    place: &str,
    text: &str,
) -> Result<()> {
    let own = directory.join("placed");
    fs::write(&own, text).with_context(|| format!("cannot write {}", own.display()))?;
    let mut install = as_root(workspace, "install")?;
    install
        .args(["-D", "-m", "0644"])
        .arg(own)
        .arg(root.join(place));
    run(install)
}

/// The system as a disk: made of its directory, so that nothing is mounted for it.
fn system_disk(
    workspace: &Workspace,
    steps: &Steps,
    directory: &Path,
    root: &Path,
) -> Result<PathBuf> {
    let disk = directory.join("machine.ext4");
    let mut make = as_root(workspace, "mkfs.ext4")?;
    make.args(["-q", "-F", "-E", "root_owner=0:0", "-d"])
        .arg(root)
        .arg(&disk)
        .arg(DISK);
    steps.silent("machine-disk", "the machine's disk", make)?;
    // root's, and to be read by who runs the emulator.
    let mut open = as_root(workspace, "chmod")?;
    open.arg("0644").arg(&disk);
    run(open)?;
    Ok(disk)
}

/// What this run needs, as an archive: the emulator takes a file of any kind for a disk.
fn archive(
    workspace: &Workspace,
    directory: &Path,
    files: &[&str],
    arguments: &[String],
) -> Result<PathBuf> {
    let own = [
        ("machine.sh", SCRIPT.to_owned()),
        ("machine.conf", CONFIGURATION.to_owned()),
        (
            "arguments",
            arguments
                .iter()
                .map(|argument| format!("{argument}\n"))
                .collect(),
        ),
    ];
    for (name, text) in &own {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let archive = directory.join("machine.tar");
    let mut tar = workspace.command("tar");
    tar.args(["--create", "--owner=root:0", "--group=root:0", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(directory)
        .args(own.iter().map(|(name, _)| *name))
        .args(files);
    run(tar)?;
    Ok(archive)
}

/// The kernel of the system.
fn vmlinuz(root: &Path) -> Result<PathBuf> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        })
        .with_context(|| format!("there is no kernel in {}", boot.display()))
}
