//! `cargo xtask image`: the container image, written as an OCI archive.
//!
//! Owns what is in the image and how it is built, without a daemon: one static program, the roots
//! that providers' certificates are verified against, and the few files that libc reads. There is
//! no shell in it, no package, and no layer of anybody else. The same commit gives the same digest.

mod compile;
mod contents;
mod idle;
mod oci;
mod sbom;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build;
use crate::setup::route::{RouteChoice, Toolchain};
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::workspace::Workspace;

use contents::Contents;
use idle::Idle;
use oci::{Archive, Image};
use source::Source;

/// Where the roots of this machine's distribution are, which the image carries.
pub(crate) const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The C compiler for arm64 on other machines.
pub(crate) const ARM64_CC: &str = "aarch64-linux-gnu-gcc";
/// The name that `podman load`, `docker load` and `kind load` give it.
const NAME: &str = "localhost/weir";

/// Builds the container image as target/image/weir.tar, and says what it is.
///
/// An OCI archive for `podman load`, `kind load image-archive` or `skopeo copy oci-archive:…`: an
/// index of one image for each architecture, each with its bill of materials (CycloneDX, in an in-toto
/// attestation as BuildKit writes them). The time of everything in it is the commit's, or
/// SOURCE_DATE_EPOCH. As root or through sudo it then runs the proxy from the image, and measures
/// the memory that it takes while nothing is to do, and its capabilities.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The architectures, separated by commas [default: this machine's].
    #[arg(long, value_enum, value_delimiter = ',')]
    arch: Vec<Arch>,
    /// Build everything a second time from a copy of the sources elsewhere, and compare.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    route: RouteChoice,
}

/// An architecture, by its name in OCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Arch {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Arch {
    /// This machine's.
    fn own() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("images are built for amd64 and arm64 so far, this is {other}"),
        }
    }

    /// The name in OCI.
    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// rustc's name for it. glibc, because its allocator and `memcpy` are what weir was measured
    /// with; linked statically, its resolver reads `/etc/hosts` and asks DNS without a plugin.
    fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails, the image cannot be written, or a second build gave another one.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let architectures = architectures(&args.arch)?;
    let (toolchain, steps) = prepare(workspace, &architectures, args.route)?;
    let source = Source::of(workspace)?;
    if let Some(warning) = source.warning() {
        steps.note(warning);
    }
    let built = build_all(workspace, &steps, &toolchain, &architectures, &source)?;
    let path = archive_path(workspace);
    built.archive.write(&path)?;
    report(&steps, &built, &path)?;

    if args.again {
        again(
            workspace,
            &steps,
            &toolchain,
            &architectures,
            &source,
            &built,
        )?;
    }
    let own = Arch::own()?;
    match built.programs.iter().find(|(arch, _)| *arch == own) {
        Some((_, program)) => match Idle::measure(workspace, program)? {
            Some(idle) => println!("{idle}"),
            None => steps.note("idle memory NOT measured: that needs root, and there is no sudo"),
        },
        None => steps.note(&format!(
            "idle memory NOT measured: there is no image for {own}"
        )),
    }
    Ok(())
}

/// Where the archive is.
pub(crate) fn archive_path(workspace: &Workspace) -> PathBuf {
    directory(workspace).join("weir.tar")
}

fn directory(workspace: &Workspace) -> PathBuf {
    workspace.root().join("target/image")
}

/// Builds the image for this machine, for the verbs that run it.
///
/// # Errors
/// As the verb.
pub(crate) fn ensure(workspace: &Workspace, route: RouteChoice) -> Result<PathBuf> {
    let architectures = [Arch::own()?];
    let (toolchain, steps) = prepare(workspace, &architectures, route)?;
    let source = Source::of(workspace)?;
    let built = build_all(workspace, &steps, &toolchain, &architectures, &source)?;
    let path = archive_path(workspace);
    built.archive.write(&path)?;
    steps.note(&format!("{} is {}", path.display(), built.archive.digest()));
    Ok(path)
}

/// Each architecture that was asked for once; this machine's without any.
fn architectures(asked: &[Arch]) -> Result<Vec<Arch>> {
    if asked.is_empty() {
        return Ok(vec![Arch::own()?]);
    }
    let mut architectures = asked.to_vec();
    architectures.sort_unstable();
    architectures.dedup();
    Ok(architectures)
}

fn prepare(
    workspace: &Workspace,
    architectures: &[Arch],
    route: RouteChoice,
) -> Result<(Toolchain, Steps)> {
    let foreign = architectures
        .iter()
        .any(|arch| Some(*arch) != Arch::own().ok());
    let purposes: &[Purpose] = if foreign {
        &[Purpose::Image, Purpose::ForeignImage]
    } else {
        &[Purpose::Image]
    };
    let toolchain = setup::ensure(workspace, purposes, route)?;
    let steps = Steps::new("image", workspace.tools().join("log"));
    fs::create_dir_all(directory(workspace))
        .with_context(|| format!("cannot create {}", directory(workspace).display()))?;
    sbom::ensure(workspace, &steps)?;
    for arch in architectures {
        compile::ensure_target(workspace, &steps, *arch)?;
    }
    Ok((toolchain, steps))
}

/// What a build gave.
struct Built {
    archive: Archive,
    /// The program of each architecture, as a file.
    programs: Vec<(Arch, PathBuf)>,
    images: Vec<Image>,
}

fn build_all(
    workspace: &Workspace,
    steps: &Steps,
    toolchain: &Toolchain,
    architectures: &[Arch],
    source: &Source,
) -> Result<Built> {
    build::object(workspace, steps, toolchain)?;
    let roots = fs::read(ROOTS).with_context(|| format!("cannot read {ROOTS}"))?;
    let licence = fs::read(workspace.root().join("LICENSE")).context("cannot read LICENSE")?;
    let mut programs = Vec::new();
    let mut images = Vec::new();
    for arch in architectures {
        let program = compile::program(workspace, steps, *arch)?;
        let bytes =
            fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        let bill = sbom::of(workspace, steps, *arch, source)?;
        let kept = directory(workspace).join(format!("weir-{arch}.cdx.json"));
        fs::write(&kept, &bill).with_context(|| format!("cannot write {}", kept.display()))?;
        let layer = Contents {
            program: &bytes,
            roots: &roots,
            licence: &licence,
        }
        .layer(source)?;
        images.push(Image::new(*arch, layer, bill, source)?);
        programs.push((*arch, program));
    }
    Ok(Built {
        archive: Archive::of(NAME, &images, source)?,
        programs,
        images,
    })
}

fn report(steps: &Steps, built: &Built, path: &Path) -> Result<()> {
    let size = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    steps.note(&format!("{} ({})", path.display(), mebibytes(size)));
    println!("digest            {}", built.archive.digest());
    for image in &built.images {
        println!(
            "{:<6} image      {} to pull, {} unpacked, {}",
            image.arch,
            mebibytes(image.pulled_bytes()),
            mebibytes(image.unpacked_bytes()),
            image.digest()
        );
    }
    Ok(())
}

/// Builds from a copy of the sources in another directory, with nothing that was built before.
fn again(
    workspace: &Workspace,
    steps: &Steps,
    toolchain: &Toolchain,
    architectures: &[Arch],
    source: &Source,
    first: &Built,
) -> Result<()> {
    let place = directory(workspace).join("a-second-build-of-the-same-sources");
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("cannot empty {}", place.display()))?;
    }
    source::copy(workspace, &place)?;
    let elsewhere = workspace.at(&place);
    source::keep_apart(&elsewhere)?;
    fs::create_dir_all(directory(&elsewhere))
        .and_then(|()| fs::create_dir_all(elsewhere.tools()))
        .with_context(|| format!("cannot create {}", directory(&elsewhere).display()))?;
    sbom::share(workspace, &elsewhere)?;
    let second = build_all(&elsewhere, steps, toolchain, architectures, source)?;
    if second.archive.digest() != first.archive.digest() {
        let path = archive_path(&elsewhere);
        second.archive.write(&path)?;
        bail!(
            "the second build is another one, {}: compare with {}",
            second.archive.digest(),
            path.display()
        );
    }
    steps.note("a second build, from a copy elsewhere, has the same digest");
    fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))
}

/// A size for reading.
fn mebibytes(bytes: u64) -> String {
    // Tenths, in whole numbers: a size has no sign and no fraction of a byte.
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{Arch, architectures, mebibytes};

    #[test]
    fn an_architecture_asked_for_twice_is_built_once() {
        let asked = [Arch::Arm64, Arch::Amd64, Arch::Arm64];
        assert_eq!(architectures(&asked).unwrap(), [Arch::Amd64, Arch::Arm64]);
        assert_eq!(architectures(&[]).unwrap(), [Arch::own().unwrap()]);
    }

    #[test]
    fn sizes_are_read_in_tenths() {
        assert_eq!(mebibytes(0), "0.0 MiB");
        assert_eq!(mebibytes(1024 * 1024 * 3 / 2), "1.5 MiB");
    }
}
