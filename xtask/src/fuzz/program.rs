//! The fuzzers as programs: cargo-fuzz, and what it builds.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Places;
use crate::step::Steps;
use crate::workspace::Workspace;

/// The version that is installed: a later one may build with other flags.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Gives cargo-fuzz, from its crate if it is not there.
///
/// # Errors
/// When it does not build.
pub(crate) fn ensure(workspace: &Workspace, steps: &Steps) -> Result<PathBuf> {
    let root = workspace
        .tools()
        .join(format!("cargo-fuzz-{CARGO_FUZZ_VERSION}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        let mut install = workspace.cargo(["install", "cargo-fuzz", "--locked"]);
        install
            .args(["--version", CARGO_FUZZ_VERSION, "--root"])
            .arg(&root);
        let what = format!(
            "cargo-fuzz {CARGO_FUZZ_VERSION} from its crate, into target/tools: compiles the \
             fuzzers so that they are watched (a minute or two)"
        );
        steps.silent("cargo-fuzz", &what, install)?;
    }
    Ok(program)
}

/// More takes longer to build than it gains in a session of minutes.
const OPT_LEVEL: &str = "1";

/// What compiles the fuzzers: AddressSanitizer is no stable feature of rustc.
enum Compiler {
    /// A toolchain of rustup, by its name.
    Nightly(String),
    /// The compiler that runs xtask, told to take unstable features.
    Stable,
}

impl Compiler {
    fn installed(workspace: &Workspace) -> Self {
        let listed = workspace
            .command("rustup")
            .args(["toolchain", "list"])
            .output();
        let names = listed.map_or_else(|_no_rustup| Vec::new(), |it| it.stdout);
        // A line is a name, and what it is: `stable-x86_64-unknown-linux-gnu (active, default)`.
        String::from_utf8_lossy(&names)
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .find(|name| name.starts_with("nightly-"))
            .map_or(Self::Stable, |name| Self::Nightly(name.to_owned()))
    }

    /// Lets cargo-fuzz, and the cargo that it starts, use this one.
    fn choose(&self, build: &mut Command) {
        match self {
            Self::Nightly(name) => build.env("RUSTUP_TOOLCHAIN", name),
            Self::Stable => build.env("RUSTC_BOOTSTRAP", "1"),
        };
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nightly(name) => f.write_str(name),
            Self::Stable => f.write_str("the stable compiler with RUSTC_BOOTSTRAP=1: no nightly"),
        }
    }
}

/// The programs of the fuzzers.
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds those of `targets`.
    ///
    /// # Errors
    /// When one does not build.
    pub(crate) fn build(
        workspace: &Workspace,
        steps: &Steps,
        places: &Places,
        cargo_fuzz: &Path,
        targets: &[String],
    ) -> Result<Self> {
        let only = match targets {
            [target] => Some(target),
            _ => None,
        };
        let triple = host(workspace)?;
        let compiler = Compiler::installed(workspace);
        let mut build = workspace.command(cargo_fuzz);
        build
            .args(["fuzz", "build", "--fuzz-dir"])
            .arg(places.package());
        build.arg("--target-dir").arg(places.work());
        build.args(["--target", &triple, "--features", "libfuzzer"]);
        build.args(["--sanitizer", "address", "--no-cfg-fuzzing"]);
        // cargo-fuzz's own choice, one, serves optimising across crates, which would double the
        // time of the build, for each fuzzer again.
        build.args(["--codegen-units", "16"]);
        build.env("CARGO_PROFILE_RELEASE_LTO", "off");
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", OPT_LEVEL);
        build.args(only);
        compiler.choose(&mut build);
        steps.shown(
            &format!("fuzzers, with AddressSanitizer, by {compiler} (many minutes the first time)"),
            build,
        )?;
        Ok(Self {
            directory: places.work().join(triple).join("release"),
        })
    }

    /// The program of a fuzzer.
    pub(crate) fn path(&self, target: &str) -> PathBuf {
        self.directory.join(target)
    }

    /// The program of a fuzzer at the lowest priority.
    pub(crate) fn command(&self, target: &str) -> Command {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(self.path(target));
        // As cargo-fuzz runs them: what two crates both define is no finding.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0");
        command
    }
}

/// What the compiler calls this machine.
fn host(workspace: &Workspace) -> Result<String> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut query = workspace.command(compiler);
    let output = query.arg("-vV").output().context("cannot start rustc")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
