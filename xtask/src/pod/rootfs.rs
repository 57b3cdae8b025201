//! The image of the application and of the provider: Debian's Python, and the emulator.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::shown;
use crate::privilege::Privilege;
use crate::step::Steps;
use crate::vm;
use crate::workspace::Workspace;

/// The application, and one that calls much.
const PROGRAMS: [(&str, &str); 2] = [
    ("service.py", include_str!("service.py")),
    ("load.py", include_str!("load.py")),
];
/// Directories of the system whose contents nobody reads here.
const LEFT_OUT: [&str; 6] = [
    "proc",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
];
/// Packages beside the essential ones.
const PACKAGES: &str = "python3,ca-certificates";

/// Makes `app.tar` in `directory`, from a system that is fetched once.
///
/// # Errors
/// When Debian cannot be fetched, or the archive not be written.
pub(super) fn ensure(workspace: &Workspace, steps: &Steps, directory: &Path) -> Result<()> {
    let root = directory.join("app-root");
    // Written last.
    let complete = root.join("app");
    if !complete.is_dir() {
        let codename = codename()?;
        let mut remove = as_root(workspace, "rm")?;
        remove.arg("-rf").arg(&root);
        run(remove)?;
        let mut fetch = as_root(workspace, "debootstrap")?;
        fetch
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg(&codename)
            .arg(&root)
            .arg(vm::mirror(workspace));
        steps.silent(
            "debootstrap",
            &format!(
                "Debian {codename} with Python, into target/pod: the application's image (a minute)"
            ),
            fetch,
        )?;
        let mut make = as_root(workspace, "mkdir")?;
        make.arg(&complete);
        run(make)?;
    }
    let install = |from: &Path, to: &Path| {
        let mut install = as_root(workspace, "install")?;
        install.args(["-m", "0755"]).arg(from).arg(to);
        run(install)
    };
    for (name, text) in PROGRAMS {
        let program = directory.join(name);
        fs::write(&program, text).with_context(|| format!("cannot write {}", program.display()))?;
        install(&program, &complete.join(name))?;
    }
    // With the machine's C library: the system is of the machine's own release.
    let emulator = workspace.root().join("target/debug/weir-emulator");
    install(&emulator, &root.join("usr/local/bin/weir-emulator"))?;
    // Debug information is most of it.
    let mut strip = as_root(workspace, "strip")?;
    strip
        .arg("--strip-debug")
        .arg(root.join("usr/local/bin/weir-emulator"));
    run(strip)?;
    let mut tar = as_root(workspace, "tar")?;
    tar.arg("--create");
    tar.args(LEFT_OUT.map(|path| format!("--exclude=./{path}/*")));
    // The same contents are the same archive, which the engine then has already.
    tar.args(["--sort=name", "--mtime=@0", "--file"])
        .arg(directory.join("app.tar"))
        .arg("--directory")
        .arg(&root)
        .arg(".");
    run(tar)
}

/// The release of this machine, whose C library the emulator is linked with.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let is_debian = text.lines().any(|line| line == "ID=debian");
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .filter(|_codename| is_debian)
        .map(|codename| codename.trim_matches('"').to_owned())
        .context("the pod test needs Debian so far, whose packages make the application's image")
}

/// `program`, to be given arguments and run as root.
pub(super) fn as_root(workspace: &Workspace, program: &str) -> Result<Command> {
    let words = Privilege::detect().words(&["PATH"], &[], Path::new(program))?;
    Ok(workspace.command_in(workspace.root(), &words))
}

/// Runs a command that says nothing.
pub(super) fn run(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(&command));
    }
    Ok(())
}
