//! `cargo xtask pod-test`: the image in a pod, with an application that was not made for it.
//!
//! Owns the pod and what it runs on: podman on this machine, in namespaces of its own, or in a virtual
//! machine. The manifest is the application's, and `weir inject` does the rest; what is checked is in
//! `pod/scenario.py`, and what a kubelet would do in `pod/kubelet.py`.

mod engine;
mod machine;
mod marks;
mod rootfs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::command::shown;
use crate::image;
use crate::privilege::Privilege;
use crate::setup::route::RouteChoice;
use crate::setup::{self, Purpose};
use crate::step::Steps;
use crate::workspace::Workspace;

use engine::Engine;
use marks::Seen;

/// The checks, and what they play.
const SCENARIO: [(&str, &str); 4] = [
    ("scenario.py", include_str!("pod/scenario.py")),
    ("pods.py", include_str!("pod/pods.py")),
    ("kubelet.py", include_str!("pod/kubelet.py")),
    ("application.yaml", include_str!("pod/application.yaml")),
];
/// The images that are played.
const IMAGES: [&str; 2] = ["weir.tar", "app.tar"];

/// Runs weir's image in a pod beside an unmodified application, and checks what people rely on.
///
/// The manifest of a Python application that knows nothing of weir and calls an emulator of OpenAI is
/// given to `weir inject` of the image, and podman plays what comes out: a privileged init container,
/// the sidecar without any capability on a read-only root, the application. Its calls must be metered,
/// also the last ones after SIGTERM; the sidecar is killed and restarted, the kernel half replaced amid
/// calls, and nothing may be left behind. Runs as root or through sudo, in a network and processes of
/// its own, or with --vm in a virtual machine; what it makes stays in target/pod.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// In a virtual machine of Debian 13, with systemd, cgroup v2 alone and Debian's podman and kernel:
    /// whatever this machine has. With KVM where that works, else in software, which takes a quarter of
    /// an hour.
    #[arg(long)]
    vm: bool,
    /// Start the pod this often instead, and say how long it takes and what becomes of first calls.
    #[arg(long, value_name = "COUNT")]
    startups: Option<u32>,
    #[command(flatten)]
    route: RouteChoice,
}

/// The verb.
///
/// # Errors
/// When set-up or a build fails, or a check does.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if Privilege::detect() == Privilege::None {
        bail!("pods need root, and there is no sudo: run `cargo xtask pod-test` as root");
    }
    let purpose = if args.vm {
        machine::require_host()?;
        Purpose::PodMachine
    } else {
        Purpose::Pod
    };
    setup::ensure(workspace, &[purpose], args.route)?;
    let weir = image::ensure(workspace, args.route)?;
    let steps = Steps::new("pod", workspace.tools().join("log"));
    build::emulator(workspace, &steps)?;
    let directory = prepare(workspace, &weir)?;
    rootfs::ensure(workspace, &steps, &directory)?;

    let arguments: Vec<String> = args
        .startups
        .map(|count| format!("--startups={count}"))
        .into_iter()
        .collect();
    let mut seen = Seen::default();
    if args.vm {
        let files: Vec<&str> = SCENARIO
            .iter()
            .map(|(name, _)| *name)
            .chain(IMAGES)
            .collect();
        machine::play(workspace, &steps, &directory, &files, &arguments, &mut seen)?;
        return seen.verdict();
    }
    let engine = Engine::prepare(&directory)?;
    let mut scenario = engine.command(workspace, &directory)?;
    scenario.args(&arguments);
    steps.note("the pod, with podman on this machine");
    let mut child = scenario
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&scenario)))?;
    let output = child.stdout.take().context("its output was not piped")?;
    for line in BufReader::new(output).lines() {
        seen.hear(&steps, &line.context("cannot read what the scenario says")?);
    }
    let status = child.wait().context("cannot wait for the scenario")?;
    seen.verdict()?;
    if !status.success() {
        bail!("the scenario ended with {status}");
    }
    Ok(())
}

/// The directory in which the parts of the test lie, with those that are written here.
fn prepare(workspace: &Workspace, weir: &Path) -> Result<PathBuf> {
    let directory = workspace.root().join("target/pod");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, text) in SCENARIO {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    fs::copy(weir, directory.join("weir.tar"))
        .with_context(|| format!("cannot copy {}", weir.display()))?;
    Ok(directory)
}
