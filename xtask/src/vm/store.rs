//! The kernels that were fetched: each a directory of `target/vm/kernels`, complete or absent.
//!
//! A stored kernel is used until `--update` asks for today's: a second run needs no network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::archive::{self, Archive, entries};
use super::series::Series;
use crate::command::shown;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Modules that the suite needs, in the order in which they are loaded: the links between its
/// network namespaces, and a device whose addresses are the pod's own.
pub(crate) const MODULES: [&str; 2] = ["dummy", "veth"];
/// The kernel in a stored directory.
const VMLINUZ: &str = "vmlinuz";
/// What `uname -r` says on it; written last.
const RELEASE: &str = "release";

/// A kernel that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The name it was asked for by.
    pub(crate) series: Series,
    /// What `uname -r` says on it.
    pub(crate) release: String,
    directory: PathBuf,
}

/// Whether a stored kernel is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Any is.
    Stored,
    /// Only what the archive has now.
    Today,
}

/// Where a kernel comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'run> {
    /// Whether the archive is asked although one is stored.
    pub(crate) freshness: Freshness,
    /// The mirror of Debian; found in this machine's apt without one.
    pub(crate) mirror: Option<&'run str>,
}

impl Kernel {
    /// The stored kernel of that series.
    pub(crate) fn stored(workspace: &Workspace, series: Series) -> Option<Self> {
        let directory = place(workspace, series);
        let release = fs::read_to_string(directory.join(RELEASE)).ok()?;
        Some(Self {
            series,
            release: release.trim().to_owned(),
            directory,
        })
    }

    /// The kernel of that series, fetched unless it is stored.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub(crate) fn ensure(
        workspace: &Workspace,
        steps: &Steps,
        series: Series,
        origin: Origin<'_>,
    ) -> Result<Self> {
        let stored = Self::stored(workspace, series);
        if let (Freshness::Stored, Some(kernel)) = (origin.freshness, &stored) {
            return Ok(kernel.clone());
        }
        let mirror = origin
            .mirror
            .map_or_else(|| archive::mirror(workspace), str::to_owned);
        let private = workspace.root().join("target/vm/apt").join(series.name());
        let archive = Archive::open(workspace, steps, series, &mirror, private)?;
        let selection = archive.select()?;
        if let Some(kernel) = stored.filter(|kernel| kernel.release == selection.release) {
            steps.note(&format!("{series}: {} is still the one", kernel.release));
            archive.close()?;
            return Ok(kernel);
        }
        let tree = archive.unpack(&selection)?;
        let kernel = Self::keep(workspace, series, &selection.release, &tree)?;
        archive.close()?;
        Ok(kernel)
    }

    /// Takes what is needed from an unpacked package.
    fn keep(workspace: &Workspace, series: Series, release: &str, tree: &Path) -> Result<Self> {
        let directory = place(workspace, series);
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot replace {}", directory.display()))?;
        }
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;

        let mut files = Vec::new();
        collect(tree, &mut files)?;
        let named = |prefix: &str| {
            files.iter().find(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.starts_with(prefix))
            })
        };
        let vmlinuz =
            named(VMLINUZ).with_context(|| format!("the packages of {release} hold no vmlinuz"))?;
        fs::copy(vmlinuz, directory.join(VMLINUZ))
            .with_context(|| format!("cannot copy {}", vmlinuz.display()))?;
        for module in MODULES {
            let packed = named(&format!("{module}.ko"))
                .with_context(|| format!("the packages of {release} hold no module {module}"))?;
            fs::write(module_in(&directory, module), unpacked(workspace, packed)?)
                .with_context(|| format!("cannot keep the module {module}"))?;
        }
        fs::write(directory.join(RELEASE), release)
            .with_context(|| format!("cannot write in {}", directory.display()))?;
        Self::stored(workspace, series).context("the kernel was stored, and cannot be read")
    }

    /// The kernel itself.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.directory.join(VMLINUZ)
    }

    /// The modules of [`MODULES`], in that order.
    pub(crate) fn modules(&self) -> [PathBuf; MODULES.len()] {
        MODULES.map(|module| module_in(&self.directory, module))
    }
}

fn place(workspace: &Workspace, series: Series) -> PathBuf {
    workspace
        .root()
        .join("target/vm/kernels")
        .join(series.name())
}

fn module_in(directory: &Path, module: &str) -> PathBuf {
    directory.join(format!("{module}.ko"))
}

/// All files below a directory.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(directory)? {
        // Not through links: those of a package may lead to the machine's own files.
        let kind = fs::symlink_metadata(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .file_type();
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// A module as the kernel takes it from busybox's insmod, which unpacks nothing.
fn unpacked(workspace: &Workspace, module: &Path) -> Result<Vec<u8>> {
    match module.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(module).with_context(|| format!("cannot read {}", module.display())),
        Some("xz") => {
            let mut unpack = workspace.command("xz");
            unpack.args(["--decompress", "--stdout"]).arg(module);
            let output = unpack
                .output()
                .with_context(|| format!("cannot start `{}`", shown(&unpack)))?;
            if !output.status.success() {
                bail!("`{}` failed ({})", shown(&unpack), output.status);
            }
            Ok(output.stdout)
        }
        _ => bail!("{} is packed in a way not known here", module.display()),
    }
}
