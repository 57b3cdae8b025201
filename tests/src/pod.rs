//! A pod without a cluster: a network namespace, cgroups, `weir init`, `weir
//! proxy`, and an application of the test's choosing.
//!
//! ```text
//!  network namespace                        cgroup weir-pod-…
//!  lo    203.0.113.0/24, 2001:db8::/64        app/    actors, as an ordinary user
//!        answered locally: the world          proxy/  weir proxy, or the thin one
//!  eth0  10.1.2.3, 10.1.2.4, fd00:1::3: the pod
//! ```
//!
//! What is under test is the kernel half, so that applications and, where a test
//! needs to look closer than weir lets it, the proxy too are one small program,
//! `weir-actor`: it makes system calls and says as JSON what came of them.
//! Everything goes with the value, also when a test panics.

mod actors;
pub mod addresses;
mod exchange;
pub mod kernel;
pub mod place;
pub mod running;
pub mod said;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Finished, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::metrics;
use crate::namespace::Namespace;
use crate::output::{PATIENCE, eventually};
use addresses::{FAR4, NOWHERE4, POD4, POD6, SECOND4};
use kernel::{Attached, Counters};
use place::{Container, Place};
use running::Running;

pub use actors::program;
pub use exchange::{ask, read_line};

/// The user of applications.
pub const APPLICATION_USER: u32 = 1000;
/// The user of the proxy.
pub const PROXY_USER: u32 = 1337;
/// Where weir's proxy serves metrics and health.
pub const ADMIN: &str = "127.0.0.1:15020";

/// A pod.
#[derive(Debug)]
pub struct Pod {
    /// Its network.
    pub namespace: Namespace,
    /// Its cgroups.
    pub place: Arc<Place>,
    directory: Arc<TempDir>,
}

/// What `weir init` tells the proxy.
#[derive(Clone, Debug, Deserialize)]
pub struct CaptureState {
    /// 16 bytes in hexadecimal.
    pub token: String,
    /// The first port the proxy listens on.
    pub listen_port: u16,
    /// How many.
    pub listen_count: u16,
}

impl Pod {
    /// A pod in which weir has not been.
    ///
    /// # Errors
    /// Not without root.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("weir-pod-").tempdir()?;
        // The proxy's user reads its configuration here.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let pod = Self {
            namespace: network()?,
            place: Arc::new(Place::new()?),
            directory: Arc::new(directory),
        };
        let key = rcgen::generate_simple_self_signed(["nobody.invalid".to_owned()])?;
        fs::write(pod.path("ca.pem"), key.cert.pem())?;
        pod.configure("")?;
        Ok(pod)
    }

    /// The same pod's cgroups and files with a network of its own, as a container
    /// engine inside of a pod makes one.
    ///
    /// # Errors
    /// Not without root.
    pub fn another_network(&self) -> Result<Self> {
        Ok(Self {
            namespace: network()?,
            place: Arc::clone(&self.place),
            directory: Arc::clone(&self.directory),
        })
    }

    /// A pod in which `weir init` has run, with these lines in `weir.yaml`.
    ///
    /// # Errors
    /// Not without root; or `weir init` failed.
    pub fn captured(yaml: &str) -> Result<Self> {
        let pod = Self::new()?;
        pod.configure(yaml)?;
        pod.init(&[])?;
        Ok(pod)
    }

    /// Writes `weir.yaml`; `tls` is already there, because the machine may have
    /// no roots.
    ///
    /// # Errors
    /// The disk is full.
    pub fn configure(&self, yaml: &str) -> Result<()> {
        let yaml = format!("tls:\n  upstream_roots: [ca.pem]\n{yaml}\n");
        fs::write(self.path("weir.yaml"), yaml).context("cannot write weir.yaml")
    }

    /// A file or directory of this pod.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets a parameter of the pod's network, such as `ipv4/tcp_fastopen`.
    ///
    /// # Errors
    /// The kernel has no such parameter.
    pub fn set(&self, parameter: &str, value: &str) -> Result<()> {
        // Which network a file of /proc/sys/net is about follows the thread.
        self.namespace
            .inside(|| fs::write(Path::new("/proc/sys/net").join(parameter), value))?
            .with_context(|| format!("cannot set {parameter}"))
    }

    /// `weir init` for this pod.
    #[must_use]
    pub fn init_command(&self, options: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["init".into(), "--cgroup".into()];
        words.push(self.place.directory().into());
        words.extend(["--config".into(), self.path("weir.yaml").into()]);
        words.extend(["--state".into(), self.path("state").into()]);
        words.extend(options.iter().map(OsString::from));
        words
    }

    /// Runs `weir init` for this pod.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn init(&self, options: &[&str]) -> Result<()> {
        succeeded(self.weir(&self.init_command(options))?)
    }

    /// Runs `weir detach` for this pod.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn detach(&self) -> Result<()> {
        let words = [
            OsStr::new("detach"),
            "--cgroup".as_ref(),
            self.place.directory().as_os_str(),
        ];
        succeeded(self.weir(&words)?)
    }

    /// Runs weir to its end, as root, in the pod's network.
    ///
    /// # Errors
    /// It is not built.
    pub fn weir<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Finished> {
        let mut command = Command::new(program("weir")?);
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(self.namespace.spawn(&mut command)?.wait_with_output()?)
    }

    /// What `weir init` wrote.
    ///
    /// # Errors
    /// It has not run.
    pub fn capture_state(&self) -> Result<CaptureState> {
        let text = fs::read(self.path("state/capture.json")).context("no capture.json")?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Starts `weir proxy`; it need not be ready.
    ///
    /// # Errors
    /// It is not built.
    pub fn start_proxy(&self, container: Container) -> Result<Running> {
        self.start_proxy_with(container, &[])
    }

    /// Starts `weir proxy` with more options; it need not be ready.
    ///
    /// # Errors
    /// It is not built.
    pub fn start_proxy_with(&self, container: Container, options: &[&str]) -> Result<Running> {
        let trust = self.path("trust");
        fs::create_dir_all(&trust)?;
        fs::set_permissions(&trust, Permissions::from_mode(0o777))?;
        let weir = program("weir")?;
        let (config, state) = (self.path("weir.yaml"), self.path("state"));
        let mut words: Vec<&OsStr> = vec![
            weir.as_ref(),
            "proxy".as_ref(),
            "--config".as_ref(),
            config.as_ref(),
            "--state".as_ref(),
            state.as_ref(),
            "--trust".as_ref(),
            trust.as_ref(),
        ];
        if !options.iter().any(|option| option.starts_with("--admin")) {
            words.extend([OsStr::new("--admin"), OsStr::new(ADMIN)]);
        }
        words.extend(options.iter().map(OsStr::new));
        self.start(container, PROXY_USER, &words)
    }

    /// Starts `weir proxy` and waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not become ready; with what it said.
    pub fn proxy(&self) -> Result<Running> {
        self.proxy_with(&[])
    }

    /// Starts `weir proxy` with more options and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready; with what it said.
    pub fn proxy_with(&self, options: &[&str]) -> Result<Running> {
        let mut proxy = self.start_proxy_with(Container::Proxy, options)?;
        self.ready(&mut proxy)?;
        Ok(proxy)
    }

    /// Waits until `weir proxy` is ready.
    ///
    /// # Errors
    /// It ended, or takes too long; with what it said.
    pub fn ready(&self, proxy: &mut Running) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = self.get("/readyz");
            if ready.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if proxy.has_ended()? || Instant::now() > deadline {
                bail!("weir proxy is not ready: {ready:?}, {proxy:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Asks the proxy's admin port.
    ///
    /// # Errors
    /// There is no answer.
    pub fn get(&self, path: &str) -> Result<metrics::Answer> {
        self.get_at(ADMIN, path)
    }

    /// Asks the proxy's admin port at another address of the pod's.
    ///
    /// # Errors
    /// There is no answer.
    pub fn get_at(&self, address: &str, path: &str) -> Result<metrics::Answer> {
        metrics::ask(&self.namespace, address, path, address)
    }

    /// The pod's cgroup, as a directory.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        self.place.directory()
    }

    /// What weir has attached to this pod.
    ///
    /// # Errors
    /// Not without root.
    pub fn attached(&self) -> Result<Attached> {
        Attached::to(self.place.pod())
    }

    /// What weir's programs have counted in this pod.
    ///
    /// # Errors
    /// They are not attached.
    pub fn counters(&self) -> Result<Counters> {
        self.attached()?.counters()
    }

    /// Removes the pod's cgroups, and with them every process in them.
    ///
    /// # Errors
    /// Something stays.
    pub fn remove(&self) -> Result<()> {
        self.place.remove()?;
        eventually("the pod's cgroup is gone", || {
            !self.place.directory().exists()
        })
    }
}

/// A network in which the world answers locally.
fn network() -> Result<Namespace> {
    let namespace = Namespace::new()?;
    // A dummy is the simplest device; kernels without that module have veth.
    namespace
        .ip("link add eth0 type dummy\n")
        .or_else(|_none| namespace.ip("link add eth0 type veth peer name eth0-peer\n"))?;
    namespace.ip(&format!(
        "link set lo up\n\
         link set eth0 addrgenmode none\n\
         addr add {POD4}/24 dev eth0\n\
         addr add {SECOND4}/24 dev eth0\n\
         addr add {POD6}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via 10.1.2.1 dev eth0\n\
         route add default via fd00:1::1 dev eth0\n\
         route add unreachable {NOWHERE4}/32\n\
         route add unreachable 169.254.0.0/16\n\
         route add local {FAR4}/32 dev lo src {SECOND4}\n\
         route add local 203.0.113.0/24 dev lo src {POD4}\n\
         route add local 2001:db8::/64 dev lo src {POD6}\n"
    ))?;
    Ok(namespace)
}

fn succeeded(output: Finished) -> Result<()> {
    ensure!(
        output.status.success(),
        "weir failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
