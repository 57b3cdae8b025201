//! The nightly route: a toolchain of rustup, `core` built from its source, and a bpf-linker that
//! borrows the LLVM inside that toolchain. It needs rustup and nothing of the system.
//!
//! The nightly is pinned, because bpf-linker must know the LLVM major of the compiler: a newer
//! nightly moves to the next LLVM without notice.

use std::env;
use std::fmt;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Compiler, Toolchain, linker_in, linker_root};
use crate::command::on_path;
use crate::step::Steps;
use crate::workspace::Workspace;

/// The nightly that is fetched: rustc 1.97 with LLVM 22.
const PINNED: &str = "nightly-2026-05-20";
/// The LLVM that [`LINKER_VERSION`] is made for, as it appears in the names of the toolchain's
/// libraries (`libLLVM.so.22.1-…`, `libLLVM-22-…`).
const LLVM_MARKS: [&str; 2] = ["libLLVM.so.22.", "libLLVM-22-"];
/// The last bpf-linker that can use the compiler's own LLVM; later ones need LLVM's development
/// files on the system.
const LINKER_VERSION: &str = "0.10.4";
const LINKER_LLVM: &str = "rust-llvm-22";
/// Time to find out that rustup's server is out of reach, before rustup's own retries begin.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
const DIST_SERVER: &str = "https://static.rust-lang.org";

/// What a person can type instead.
pub(crate) const RECIPE: &str = "rustup toolchain install nightly-2026-05-20 --profile minimal \
     --component rust-src, then `cargo xtask setup --bpf-route nightly`";

/// A toolchain of rustup that can build for BPF, apart from its source perhaps.
#[derive(Debug)]
pub(crate) struct Nightly {
    /// Its name for rustup.
    name: String,
    /// Its directory, for example `~/.rustup/toolchains/nightly-x86_64-unknown-linux-gnu`.
    sysroot: PathBuf,
}

/// The complete route, or nothing.
pub(crate) fn find(workspace: &Workspace) -> Option<Toolchain> {
    let linker = linker_in(&linker_root(workspace, LINKER_VERSION, LINKER_LLVM));
    on_path("rustup")?;
    let nightly = Nightly::installed()?;
    (nightly.has_source() && linker.is_file()).then_some(Toolchain {
        compiler: Compiler::Nightly(nightly),
        linker,
    })
}

/// Completes the route.
///
/// # Errors
/// Without rustup, when its server is out of reach, or when bpf-linker does not build.
pub(crate) fn install(workspace: &Workspace, steps: &Steps) -> Result<Toolchain> {
    let rustup = on_path("rustup").context("rustup is not installed")?;
    let nightly = match Nightly::installed() {
        Some(nightly) if nightly.has_source() => nightly,
        Some(nightly) => {
            require_dist_server()?;
            let mut add = workspace.command(&rustup);
            add.args(["component", "add", "rust-src", "--toolchain", &nightly.name]);
            let what = format!(
                "rustup component rust-src of {}: `core` is built from it",
                nightly.name
            );
            steps.silent("rust-src", &what, add)?;
            nightly
        }
        None => {
            require_dist_server()?;
            let mut fetch = workspace.command(&rustup);
            fetch.args(["toolchain", "install", PINNED, "--no-self-update"]);
            fetch.args(["--profile", "minimal", "--component", "rust-src"]);
            let what = format!(
                "rustup toolchain {PINNED} with rust-src: compiles the eBPF programs (about 100 MB)"
            );
            steps.silent("nightly", &what, fetch)?;
            Nightly::installed().with_context(|| {
                format!(
                    "rustup installed {PINNED}, but it is not in {}",
                    toolchains().display()
                )
            })?
        }
    };
    if !nightly.has_source() {
        bail!("{} has no rust-src after rustup added it", nightly.name);
    }

    let root = linker_root(workspace, LINKER_VERSION, LINKER_LLVM);
    let linker = linker_in(&root);
    if !linker.is_file() {
        let mut build = nightly.run(workspace);
        build.args([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
        ]);
        build.arg("--root").arg(&root);
        let what = format!(
            "bpf-linker {LINKER_VERSION} from its crate, into target/tools: links the eBPF object \
             with the LLVM of {} (a minute or two)",
            nightly.name
        );
        steps.silent("bpf-linker", &what, build)?;
    }
    Ok(Toolchain {
        compiler: Compiler::Nightly(nightly),
        linker,
    })
}

impl Nightly {
    /// The pinned nightly, else the user's own if its LLVM is the one bpf-linker knows.
    fn installed() -> Option<Self> {
        // Read from the directory: asking rustup costs more than the whole rest of set-up.
        let names: Vec<String> = fs::read_dir(toolchains())
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let pinned = format!("{PINNED}-");
        let floating = format!("nightly-{}-", env::consts::ARCH);
        [pinned, floating].iter().find_map(|prefix| {
            let name = names.iter().find(|name| name.starts_with(prefix))?;
            let sysroot = toolchains().join(name);
            has_known_llvm(&sysroot).then(|| Self {
                name: name.clone(),
                sysroot,
            })
        })
    }

    fn has_source(&self) -> bool {
        self.sysroot
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file()
    }

    /// Adds clippy to this toolchain.
    ///
    /// # Errors
    /// When it is missing and rustup cannot fetch it.
    pub(crate) fn ensure_clippy(&self, workspace: &Workspace, steps: &Steps) -> Result<()> {
        if self.sysroot.join("bin/cargo-clippy").is_file() {
            return Ok(());
        }
        let mut add = workspace.command("rustup");
        add.args(["component", "add", "clippy", "--toolchain", &self.name]);
        let what = format!(
            "rustup component clippy of {}: lints the eBPF programs",
            self.name
        );
        steps.silent("bpf-clippy", &what, add)
    }

    /// This toolchain's cargo. rustup gives it precedence over the toolchain that runs xtask.
    fn run(&self, workspace: &Workspace) -> Command {
        let mut command = workspace.command("rustup");
        command.args(["run", &self.name, "cargo"]);
        // bpf-linker looks for libLLVM along this path.
        command.env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        command
    }

    /// This toolchain's cargo, which also builds `core`.
    pub(crate) fn cargo(&self, workspace: &Workspace, verb: &str) -> Command {
        let mut command = self.run(workspace);
        command.args([verb, "-Z", "build-std=core"]);
        command
    }
}

impl fmt::Display for Nightly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and bpf-linker {LINKER_VERSION}", self.name)
    }
}

fn has_known_llvm(sysroot: &Path) -> bool {
    let Ok(libraries) = fs::read_dir(sysroot.join("lib")) else {
        return false;
    };
    libraries.flatten().any(|library| {
        let name = library.file_name();
        LLVM_MARKS
            .iter()
            .any(|mark| name.to_string_lossy().starts_with(mark))
    })
}

fn toolchains() -> PathBuf {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".rustup"));
    home.join("toolchains")
}

/// Fails early where rustup's server is out of reach: rustup itself would retry for long.
fn require_dist_server() -> Result<()> {
    let proxied = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    if proxied.iter().any(|name| env::var_os(name).is_some()) {
        // The proxy resolves the name; only rustup can tell whether that works.
        return Ok(());
    }
    let server = env::var("RUSTUP_DIST_SERVER").unwrap_or_else(|_| DIST_SERVER.to_owned());
    let (host, port) = host_and_port(&server)
        .with_context(|| format!("RUSTUP_DIST_SERVER is not a URL with a host: {server}"))?;
    if !answers(&host, port) {
        bail!("{host} is out of reach, rustup cannot fetch from it");
    }
    Ok(())
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), default)),
    }
}

/// Whether a TCP connection is accepted within [`REACH_TIMEOUT`], the name's resolution included.
fn answers(host: &str, port: u16) -> bool {
    let (sender, receiver) = mpsc::channel();
    let target = (host.to_owned(), port);
    // The resolver has no timeout of its own; a thread that waits on it ends with the process.
    thread::spawn(move || {
        let reached = target.to_socket_addrs().is_ok_and(|mut addresses| {
            addresses.any(|address| TcpStream::connect_timeout(&address, REACH_TIMEOUT).is_ok())
        });
        // The receiver is gone once it has given up.
        let _ = sender.send(reached);
    });
    receiver.recv_timeout(REACH_TIMEOUT).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn the_port_of_a_dist_server_follows_its_scheme() {
        let cases = [
            (
                "https://static.rust-lang.org",
                Some(("static.rust-lang.org", 443)),
            ),
            ("http://mirror.example/rust", Some(("mirror.example", 80))),
            ("http://127.0.0.1:8080/", Some(("127.0.0.1", 8080))),
            ("file:///srv/rust", None),
            ("mirror.example", None),
        ];
        for (url, expected) in cases {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }
}
