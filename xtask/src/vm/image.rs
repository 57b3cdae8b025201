//! The first file system of a machine: busybox, the suite, and what both need to run.
//!
//! In the machine the suite lies in `/weir/target/debug` as it does in the checkout, because it
//! finds `weir` beside itself. Nothing else of the host is in there.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::archive::entries;
use super::store::{Kernel, MODULES};
use crate::command::{on_path, shown};
use crate::workspace::Workspace;

/// The first process.
const INIT: &str = include_str!("init.sh");
/// Programs of the host that the suite runs; busybox has the others.
const HOST_PROGRAMS: [&str; 1] = ["ip"];
/// Directories that are mounted over, or that programs expect.
const DIRECTORIES: [&str; 9] = [
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "weir/modules",
    "weir/tests",
];
/// Files that libc reads; names and addresses other than these are nobody's.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
];
/// Everyone may read and run everything: the suite has processes that are not root's.
const MODE: u32 = 0o755;

/// The programs of the suite, as cargo built them.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The directory of cargo's profile, such as `target/debug`.
    pub(crate) profile: PathBuf,
    /// The test program.
    pub(crate) suite: PathBuf,
    /// What it runs, in [`Self::profile`].
    pub(crate) others: Vec<PathBuf>,
}

/// An unpacked image, without a kernel's modules.
pub(crate) struct Root<'run> {
    workspace: &'run Workspace,
    directory: PathBuf,
}

/// A packed image for one kernel.
pub(crate) struct Image {
    path: PathBuf,
}

impl<'run> Root<'run> {
    /// Copies everything that is the same for all kernels; the suite is given `arguments`.
    ///
    /// # Errors
    /// When a program or one of its libraries is missing.
    pub(crate) fn assemble(
        workspace: &'run Workspace,
        programs: &Programs,
        arguments: &[String],
    ) -> Result<Self> {
        let root = Self {
            workspace,
            directory: workspace.root().join("target/vm/root"),
        };
        if root.directory.exists() {
            fs::remove_dir_all(&root.directory)
                .with_context(|| format!("cannot empty {}", root.directory.display()))?;
        }
        for directory in DIRECTORIES {
            root.make_directory(Path::new(directory))?;
        }
        for (path, text) in FILES {
            root.write(Path::new(path), text.as_bytes())?;
        }
        root.write(Path::new("init"), INIT.as_bytes())?;
        root.write(Path::new("weir/arguments"), &lines(arguments)?)?;

        let busybox = on_path("busybox").context("there is no busybox any more")?;
        root.add_program(&busybox, Path::new("bin/busybox"))?;
        for name in HOST_PROGRAMS {
            let program = on_path(name).with_context(|| format!("there is no {name} any more"))?;
            root.add_program(&program, &Path::new("usr/bin").join(name))?;
        }
        let own = std::iter::once(&programs.suite).chain(&programs.others);
        for program in own {
            let inside = program.strip_prefix(&programs.profile).with_context(|| {
                format!(
                    "{} is not in {}",
                    program.display(),
                    programs.profile.display()
                )
            })?;
            let place = Path::new("weir/target/debug").join(inside);
            root.add_program(program, &place)?;
            root.strip(&place)?;
            if program == &programs.suite {
                std::os::unix::fs::symlink(
                    Path::new("/").join(&place),
                    root.directory.join("weir/suite"),
                )
                .context("cannot link the suite")?;
            }
        }
        Ok(root)
    }

    /// Adds a kernel's modules in place of another's, and packs everything.
    ///
    /// # Errors
    /// When a module cannot be copied or cpio fails.
    pub(crate) fn pack(&self, kernel: &Kernel) -> Result<Image> {
        for (name, module) in MODULES.iter().zip(kernel.modules()) {
            self.copy(
                &module,
                &Path::new("weir/modules").join(format!("{name}.ko")),
            )?;
        }
        let mut names = Vec::new();
        list(&self.directory, &self.directory, &mut names)?;

        let path = self.workspace.root().join("target/vm/image.cpio");
        let image =
            fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut cpio = self.workspace.command("cpio");
        cpio.args(["--create", "--format=newc", "--null", "--quiet"])
            .arg("--owner=0:0")
            .current_dir(&self.directory);
        let mut child = cpio
            .stdin(Stdio::piped())
            .stdout(image)
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&cpio)))?;
        let mut input = child.stdin.take().context("its input was not piped")?;
        input
            .write_all(&names)
            .context("cannot name the files to cpio")?;
        drop(input);
        let status = child.wait().context("cannot wait for cpio")?;
        if !status.success() {
            bail!("`{}` failed ({status})", shown(&cpio));
        }
        Ok(Image { path })
    }

    /// Writes everything into one archive at `path`, to be unpacked and run on another machine, whose
    /// kernel has its own modules.
    ///
    /// # Errors
    /// When tar fails.
    pub(crate) fn bundle(&self, path: &Path) -> Result<()> {
        let mut tar = self.workspace.command("tar");
        tar.args(["--create", "--owner=root:0", "--group=root:0", "--file"])
            .arg(path)
            .arg("--directory")
            .arg(&self.directory)
            .arg(".");
        let status = tar
            .status()
            .with_context(|| format!("cannot start `{}`", shown(&tar)))?;
        if !status.success() {
            bail!("`{}` failed ({status})", shown(&tar));
        }
        Ok(())
    }

    /// A program and the libraries it is linked with, which go where the linker looks for them.
    fn add_program(&self, program: &Path, place: &Path) -> Result<()> {
        self.copy(program, place)?;
        for library in libraries(self.workspace, program)? {
            let place = library.strip_prefix("/").unwrap_or(&library);
            if !self.directory.join(place).exists() {
                self.copy(&library, place)?;
            }
        }
        Ok(())
    }

    /// Debug information is most of a program, and all of it would be memory of the machine.
    fn strip(&self, place: &Path) -> Result<()> {
        let mut strip = self.workspace.command("strip");
        strip.arg("--strip-debug").arg(self.directory.join(place));
        let status = strip
            .status()
            .with_context(|| format!("cannot start `{}`", shown(&strip)))?;
        if !status.success() {
            bail!("`{}` failed ({status})", shown(&strip));
        }
        Ok(())
    }

    fn copy(&self, from: &Path, place: &Path) -> Result<()> {
        let contents = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.write(place, &contents)
    }

    fn write(&self, place: &Path, contents: &[u8]) -> Result<()> {
        if let Some(parent) = place.parent() {
            self.make_directory(parent)?;
        }
        let path = self.directory.join(place);
        fs::write(&path, contents)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(MODE)))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// A directory and those above it, open to all: who makes the image may have another umask.
    fn make_directory(&self, place: &Path) -> Result<()> {
        let path = self.directory.join(place);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        for directory in path.ancestors() {
            fs::set_permissions(directory, fs::Permissions::from_mode(MODE))
                .with_context(|| format!("cannot open {} to all", directory.display()))?;
            if directory == self.directory {
                break;
            }
        }
        Ok(())
    }
}

impl Image {
    /// The archive, for the emulator to read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// One argument a line, as the first process reads them.
fn lines(arguments: &[String]) -> Result<Vec<u8>> {
    let mut text = String::new();
    for argument in arguments {
        if argument.contains('\n') {
            bail!("an argument of the suite may not hold a line break: {argument:?}");
        }
        text.push_str(argument);
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// The names of everything below `directory`, from `root`, a directory before what is in it.
fn list(root: &Path, directory: &Path, names: &mut Vec<u8>) -> Result<()> {
    let name = match directory.strip_prefix(root) {
        Ok(inside) if inside != Path::new("") => inside,
        Ok(_) | Err(_) => Path::new("."),
    };
    names.extend_from_slice(name.as_os_str().as_bytes());
    names.push(0);
    let is_directory = fs::symlink_metadata(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .is_dir();
    if is_directory {
        for entry in entries(directory)? {
            list(root, &entry, names)?;
        }
    }
    Ok(())
}

/// The shared libraries of a program; none for a static one.
fn libraries(workspace: &Workspace, program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = workspace.command("ldd");
    // Its messages are read: in the language they are known in.
    ldd.env("LC_ALL", "C").arg(program);
    let output = ldd
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&ldd)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(&ldd), complaint.trim());
    }
    libraries_in(&said).with_context(|| format!("in `{}`", shown(&ldd)))
}

/// Reads lines such as `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux.so.2 (0x…)`.
fn libraries_in(ldd: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in ldd.lines() {
        let (name, found) = match line.split_once(" => ") {
            Some((name, found)) => (name.trim(), found.trim()),
            None => (line.trim(), line.trim()),
        };
        if found.starts_with("not found") {
            bail!("the library {name} is not installed");
        }
        let path = found.split(" (").next().unwrap_or(found);
        // What has no path is the kernel's own.
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{libraries_in, lines};

    #[test]
    fn libraries_are_read_with_the_linker_and_without_the_kernels() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                   \tlibelf.so.1 => /usr/lib/x86_64-linux-gnu/libelf.so.1 (0x00007f52)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f53)\n";
        assert_eq!(
            libraries_in(ldd).unwrap(),
            [
                Path::new("/usr/lib/x86_64-linux-gnu/libelf.so.1"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(libraries_in("\tstatically linked\n").unwrap().is_empty());
        let missing = libraries_in("\tlibbpf.so.1 => not found\n");
        assert!(missing.is_err_and(|error| error.to_string().contains("libbpf.so.1")));
    }

    #[test]
    fn arguments_reach_the_suite_one_a_line() {
        let arguments = ["--skip".to_owned(), "a name".to_owned()];
        assert_eq!(lines(&arguments).unwrap(), b"--skip\na name\n");
        assert!(lines(&["a\nb".to_owned()]).is_err());
    }
}
