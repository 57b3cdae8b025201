//! `cargo xtask setup`: what a verb needs on this machine, installed once.
//!
//! Every verb calls [`ensure`] with its purpose. What a working command already provides is left
//! alone, wherever it came from; what is missing is named with its reason and installed with
//! Debian's apt-get or rustup, and the SDKs of the demo with pip and npm. Nothing is ever removed.

mod crates;
mod packages;
pub(crate) mod peers;
pub(crate) mod route;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::{on_path, succeeds};
use crate::demo;
use crate::fuzz;
use crate::image;
use crate::setup::packages::Apt;
use crate::setup::route::{RouteChoice, Toolchain};
use crate::step::Steps;
use crate::vm;
use crate::workspace::Workspace;

/// Installs what the other verbs need, and nothing that is already there.
///
/// Each verb does this for itself; run it alone to be ready for working offline. It says what it
/// installs and why, uses apt-get (as root, or through sudo) and rustup, builds bpf-linker in
/// target/tools, puts the demo's clients in target/demo and the kernels of `vm` in target/vm, and is
/// silent when there is nothing to do.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to prepare for.
    #[arg(value_enum, default_values = ["build", "check", "test", "demo"])]
    purposes: Vec<Purpose>,
    #[command(flatten)]
    route: RouteChoice,
}

/// What a verb wants from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// A C compiler and the eBPF toolchain.
    Build,
    /// As build, and the formatter and linters.
    Check,
    /// As unprivileged-test, and the programs that the privileged tests run.
    Test,
    /// As build, and git, which a unit test runs.
    UnprivilegedTest,
    /// As build, and Python, Node and curl, which run the providers' SDKs.
    Demo,
    /// As build, and an emulator with what its machines are made of.
    Vm,
    /// As test, and what benchmarks compare and count with.
    Bench,
    /// As build, and the roots that the image carries.
    Image,
    /// As build, and the proxies that a benchmark puts beside weir.
    Peers,
    /// As build, and what counts instructions.
    Guard,
    /// As image, and a container engine with what its pods are made of.
    Pod,
    /// As image, and an emulator with what the pods' machine is made of.
    PodMachine,
    /// A C compiler for arm64, on a machine of another kind.
    ForeignImage,
    /// As build, and a C++ compiler and cargo-fuzz.
    Fuzz,
    /// As test, and the languages whose clients are run.
    Clients,
}

/// A command that a purpose needs, and the Debian packages that provide it.
struct Tool {
    name: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
    works: fn() -> bool,
}

const C_COMPILER: Tool = Tool {
    name: "cc",
    why: "a C compiler, for the cryptography and compression libraries",
    packages: &["gcc", "libc6-dev"],
    works: || on_path("cc").is_some(),
};
const CXX_COMPILER: Tool = Tool {
    name: "c++",
    why: "a C++ compiler, for libFuzzer",
    packages: &["g++"],
    works: || on_path("c++").is_some(),
};
const IP: Tool = Tool {
    name: "ip",
    why: "network namespaces of the tests and the demo",
    packages: &["iproute2"],
    works: || on_path("ip").is_some(),
};
const NAMESPACES: Tool = Tool {
    name: "nsenter with setpriv",
    why: "processes in the hosts of the tests and the demo, which end with them",
    packages: &["util-linux", "mount"],
    works: || {
        ["nsenter", "setpriv", "unshare", "mount"]
            .iter()
            .all(|it| on_path(it).is_some())
    },
};
const CURL: Tool = Tool {
    name: "curl",
    why: "an unmodified client to intercept",
    packages: &["curl", "ca-certificates"],
    works: || on_path("curl").is_some(),
};
const PYTHON_ALONE: Tool = Tool {
    name: "python3",
    why: "clients of the tests, which say what curl would not",
    packages: &["python3"],
    works: || on_path("python3").is_some(),
};
const BPFTOOL: Tool = Tool {
    name: "bpftool",
    why: "what the kernel holds, seen by someone other than weir",
    packages: &["bpftool"],
    works: || on_path("bpftool").is_some(),
};
const PROMTOOL: Tool = Tool {
    name: "promtool",
    why: "what Prometheus makes of weir's metrics",
    packages: &["prometheus"],
    works: || on_path("promtool").is_some(),
};
const PYTHON_WITH_VENV: Tool = Tool {
    name: "python3 with venv",
    why: "the providers' Python SDKs",
    packages: &["python3", "python3-venv"],
    works: || succeeds("python3", &["-c", "import venv, ensurepip"]),
};
const PYTHON_FOR_PEERS: Tool = Tool {
    name: "python3 with venv",
    why: "mitmproxy and Envoy, which come from its package index",
    packages: &["python3", "python3-venv"],
    works: || succeeds("python3", &["-c", "import venv, ensurepip"]),
};
const NODE: Tool = Tool {
    name: "node",
    why: "the providers' Node SDKs",
    packages: &["nodejs"],
    works: || on_path("node").is_some(),
};
const NPM: Tool = Tool {
    name: "npm",
    why: "fetches the Node SDKs",
    packages: &["npm"],
    works: || on_path("npm").is_some(),
};

const EMULATOR: Tool = Tool {
    name: vm::QEMU,
    why: "the machines of the kernel matrix and of the pod test",
    packages: &["qemu-system-x86"],
    works: || on_path(vm::QEMU).is_some(),
};
const BUSYBOX: Tool = Tool {
    name: "busybox",
    why: "all of a machine's system but the kernel and the suite",
    packages: &["busybox-static"],
    works: || on_path("busybox").is_some(),
};
const CPIO: Tool = Tool {
    name: "cpio",
    why: "packs a machine's first file system",
    packages: &["cpio"],
    works: || on_path("cpio").is_some(),
};
const STRIP: Tool = Tool {
    name: "strip",
    why: "makes programs fit into a machine's memory",
    packages: &["binutils"],
    works: || on_path("strip").is_some(),
};
const UNPACKERS: Tool = Tool {
    name: "dpkg-deb with xz",
    why: "unpacks Debian's kernels and their modules",
    packages: &["dpkg", "xz-utils"],
    works: || ["dpkg-deb", "xz"].iter().all(|it| on_path(it).is_some()),
};
const KEYRING: Tool = Tool {
    name: "Debian's keys",
    why: "verifies Debian's kernels",
    packages: &["debian-archive-keyring"],
    works: || Path::new(vm::KEYRING).is_file(),
};
const IPTABLES: Tool = Tool {
    name: "iptables",
    why: "to compare with, in the benchmark alone",
    packages: &["iptables"],
    works: || on_path("iptables").is_some(),
};

const GIT: Tool = Tool {
    name: "git",
    why: "what of a checkout an image is made of, and a client",
    packages: &["git"],
    works: || on_path("git").is_some(),
};
const ROOTS: Tool = Tool {
    name: "roots of certificates",
    why: "what the image verifies providers against",
    packages: &["ca-certificates"],
    works: || Path::new(image::ROOTS).is_file(),
};
const ARM64_C_COMPILER: Tool = Tool {
    name: image::ARM64_CC,
    why: "a C compiler for arm64, and its C library",
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    works: || on_path(image::ARM64_CC).is_some(),
};

const PODMAN: Tool = Tool {
    name: "podman with runc, netavark and aardvark-dns",
    why: "plays manifests of pods without a cluster, in a network with names",
    packages: &["podman", "runc", "netavark", "aardvark-dns", "iptables"],
    works: || {
        let found = ["podman", "runc", "iptables"];
        let of_podman = ["netavark", "aardvark-dns"];
        found.iter().all(|it| on_path(it).is_some())
            && of_podman
                .iter()
                .all(|it| Path::new("/usr/lib/podman").join(it).is_file())
    },
};
const PYTHON_WITH_YAML: Tool = Tool {
    name: "Debian's python3 with yaml",
    why: "what the pod test is written in, and reads manifests with",
    packages: &["python3", "python3-yaml"],
    // Another Python that is first on the path would not have Debian's packages.
    works: || succeeds("/usr/bin/python3", &["-c", "import yaml"]),
};
const MKFS: Tool = Tool {
    name: "mkfs.ext4",
    why: "makes a directory the disk of a machine",
    packages: &["e2fsprogs"],
    works: || on_path("mkfs.ext4").is_some(),
};
const DEBOOTSTRAP: Tool = Tool {
    name: "debootstrap",
    why: "makes the image of an application with Python, and the system of a machine",
    packages: &["debootstrap"],
    works: || on_path("debootstrap").is_some(),
};
const VALGRIND: Tool = Tool {
    name: "valgrind",
    why: "counts instructions, which a busy machine does not change",
    packages: &["valgrind"],
    works: || on_path("valgrind").is_some(),
};

const WGET: Tool = Tool {
    name: "wget",
    why: "a client with GnuTLS",
    packages: &["wget"],
    works: || on_path("wget").is_some(),
};
const GO: Tool = Tool {
    name: "go with gRPC's sources",
    why: "clients in Go, with a TLS stack of its own",
    packages: &["golang-go", "golang-google-grpc-dev"],
    works: || on_path("go").is_some() && Path::new(GO_GRPC).is_dir(),
};
const GO_GRPC: &str = "/usr/share/gocode/src/google.golang.org/grpc";
const JAVA: Tool = Tool {
    name: "javac with OkHttp and HttpClient",
    why: "clients in Java, which trust a key store",
    packages: &[
        "openjdk-17-jdk-headless",
        "libokhttp-java",
        "libhttpclient-java",
    ],
    works: || {
        on_path("javac").is_some()
            && ["okhttp", "httpclient"]
                .iter()
                .all(|jar| Path::new(&format!("/usr/share/java/{jar}.jar")).is_file())
    },
};
const RUBY: Tool = Tool {
    name: "ruby",
    why: "a client in Ruby",
    packages: &["ruby"],
    works: || on_path("ruby").is_some(),
};
const PHP: Tool = Tool {
    name: "php with curl",
    why: "clients in PHP",
    packages: &["php-cli", "php-curl"],
    works: || {
        succeeds(
            "php",
            &["-r", "exit(function_exists('curl_init') ? 0 : 1);"],
        )
    },
};
const PERL: Tool = Tool {
    name: "perl with LWP",
    why: "clients in Perl",
    packages: &["libwww-perl", "liblwp-protocol-https-perl"],
    works: || succeeds("perl", &["-MLWP::Protocol::https", "-e", "1"]),
};
const OPENSSL_HEADERS: Tool = Tool {
    name: "OpenSSL's headers",
    why: "a client in Rust with the system's TLS stack",
    packages: &["libssl-dev", "pkg-config"],
    works: || succeeds("pkg-config", &["--exists", "openssl"]),
};

impl Purpose {
    fn tools(self) -> &'static [Tool] {
        const BUILD: &[Tool] = &[C_COMPILER];
        const UNPRIVILEGED_TEST: &[Tool] = &[C_COMPILER, GIT];
        const TEST: &[Tool] = &[
            C_COMPILER,
            GIT,
            IP,
            NAMESPACES,
            CURL,
            PYTHON_WITH_VENV,
            NODE,
            NPM,
            BPFTOOL,
            PROMTOOL,
        ];
        const BENCH: &[Tool] = &[
            C_COMPILER,
            IP,
            NAMESPACES,
            CURL,
            PYTHON_ALONE,
            BPFTOOL,
            IPTABLES,
            VALGRIND,
        ];
        const PEERS: &[Tool] = &[C_COMPILER, IP, NAMESPACES, PYTHON_FOR_PEERS];
        const GUARD: &[Tool] = &[C_COMPILER, VALGRIND];
        const CLIENTS: &[Tool] = &[
            C_COMPILER,
            IP,
            NAMESPACES,
            CURL,
            PYTHON_WITH_VENV,
            NODE,
            NPM,
            WGET,
            GIT,
            GO,
            JAVA,
            RUBY,
            PHP,
            PERL,
            OPENSSL_HEADERS,
        ];
        const DEMO: &[Tool] = &[
            C_COMPILER,
            IP,
            NAMESPACES,
            CURL,
            PYTHON_WITH_VENV,
            NODE,
            NPM,
        ];
        const VM: &[Tool] = &[
            C_COMPILER, IP, NAMESPACES, EMULATOR, BUSYBOX, CPIO, STRIP, UNPACKERS, KEYRING,
        ];
        const IMAGE: &[Tool] = &[C_COMPILER, IP, NAMESPACES, GIT, ROOTS];
        const POD: &[Tool] = &[
            C_COMPILER,
            IP,
            NAMESPACES,
            GIT,
            ROOTS,
            PYTHON_WITH_YAML,
            BPFTOOL,
            PODMAN,
            DEBOOTSTRAP,
            KEYRING,
            STRIP,
        ];
        const POD_MACHINE: &[Tool] = &[
            C_COMPILER,
            IP,
            NAMESPACES,
            GIT,
            ROOTS,
            DEBOOTSTRAP,
            KEYRING,
            STRIP,
            EMULATOR,
            MKFS,
        ];
        const FOREIGN_IMAGE: &[Tool] = &[ARM64_C_COMPILER];
        const FUZZ: &[Tool] = &[C_COMPILER, CXX_COMPILER];
        match self {
            Self::Image => IMAGE,
            Self::Pod => POD,
            Self::PodMachine => POD_MACHINE,
            Self::ForeignImage => FOREIGN_IMAGE,
            Self::Build | Self::Check => BUILD,
            Self::Test => TEST,
            Self::UnprivilegedTest => UNPRIVILEGED_TEST,
            Self::Demo => DEMO,
            Self::Vm => VM,
            Self::Bench => BENCH,
            Self::Peers => PEERS,
            Self::Guard => GUARD,
            Self::Fuzz => FUZZ,
            Self::Clients => CLIENTS,
        }
    }
}

/// The verb.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    ensure(workspace, &args.purposes, args.route)?;
    if args.purposes.contains(&Purpose::Vm) {
        vm::prepare(workspace)?;
    }
    if args.purposes.contains(&Purpose::Fuzz) {
        ensure_fuzzers(workspace)?;
    }
    Ok(())
}

/// Installs what `purposes` need and this machine lacks, and gives the toolchain that builds the
/// eBPF object.
///
/// # Errors
/// When something is missing and cannot be installed; the message is the recipe.
pub(crate) fn ensure(
    workspace: &Workspace,
    purposes: &[Purpose],
    route: RouteChoice,
) -> Result<Toolchain> {
    let steps = Steps::new("setup", workspace.tools().join("log"));
    let mut apt = Apt::new();
    ensure_tools(workspace, &steps, &mut apt, purposes)?;

    let toolchain = route::ensure(workspace, &steps, &mut apt, route)?;
    if purposes.contains(&Purpose::Check) {
        ensure_linters(workspace, &steps, &mut apt, &toolchain)?;
    }
    crates::ensure(workspace, &steps, &toolchain)?;
    if purposes.contains(&Purpose::Peers) {
        peers::ensure(workspace, &steps, &mut apt)?;
    }
    if purposes.contains(&Purpose::Demo) {
        demo::clients::ensure(workspace, &steps)?;
    }
    Ok(toolchain)
}

/// Installs what the fuzzers are built with, and gives cargo-fuzz. They hold no eBPF object, so
/// that its toolchain is not needed.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn ensure_fuzzers(workspace: &Workspace) -> Result<PathBuf> {
    let steps = Steps::new("setup", workspace.tools().join("log"));
    ensure_tools(workspace, &steps, &mut Apt::new(), &[Purpose::Fuzz])?;
    fuzz::ensure_cargo_fuzz(workspace, &steps)
}

/// Installs the commands that `purposes` need and this machine lacks.
fn ensure_tools(
    workspace: &Workspace,
    steps: &Steps,
    apt: &mut Apt,
    purposes: &[Purpose],
) -> Result<()> {
    let mut missing: Vec<&Tool> = Vec::new();
    for tool in purposes.iter().flat_map(|purpose| purpose.tools()) {
        let seen = missing.iter().any(|other| other.name == tool.name);
        if !seen && !(tool.works)() {
            missing.push(tool);
        }
    }
    for tool in &missing {
        steps.note(&format!("{} is missing: {}", tool.name, tool.why));
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|tool| tool.packages)
        .copied()
        .collect();
    apt.install(workspace, steps, &packages)
}

/// rustfmt and clippy for the host, and clippy for BPF where the route has it.
fn ensure_linters(
    workspace: &Workspace,
    steps: &Steps,
    apt: &mut Apt,
    toolchain: &Toolchain,
) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_default();
    let beside_cargo = Path::new(&cargo).parent();
    let has = |program: &str| {
        beside_cargo.is_some_and(|directory| directory.join(program).is_file())
            || on_path(program).is_some_and(|found| !is_rustup_proxy(&found))
    };
    if !(has("cargo-fmt") && has("cargo-clippy")) {
        let rustup = on_path("rustup").context(
            "cargo-fmt or cargo-clippy is missing, and so is rustup: \
             install both for the toolchain you use",
        )?;
        let mut add = workspace.command(rustup);
        add.args(["component", "add", "rustfmt", "clippy"]);
        steps.silent(
            "linters",
            "rustup components rustfmt and clippy: `check` runs them",
            add,
        )?;
    }
    toolchain.ensure_clippy(workspace, steps, apt)
}

/// Whether this is one of rustup's stand-ins, which exist for components not installed as well.
fn is_rustup_proxy(program: &Path) -> bool {
    program
        .parent()
        .is_some_and(|directory| directory.join("rustup").is_file())
}
