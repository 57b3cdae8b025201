//! Where one path is measured: namespaces and cgroups of its own.
//!
//! ```text
//!  the application's namespace                              the provider's
//!  client, proxy          veth 198.18.1.1 ── 198.18.1.7
//!                         TUN  198.18.1.129 ~~~ delayed ~~~ 198.18.1.135
//! ```

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use weir_emulator::Ca;
use weir_tests::bench::actor::Actor;
use weir_tests::bench::machine;
use weir_tests::namespace::Namespace;
use weir_tests::pod::place::Container;
use weir_tests::pod::{APPLICATION_USER, Pod, program};

use crate::link::Delayed;
use crate::load::{API, OTHER};
use crate::path::Path;

/// The application's own address.
const APPLICATION: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
/// The provider's.
pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 7);
/// The application's on the link with a delay.
const APPLICATION_FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 129);
/// The provider's there.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 135);

/// Which processors are used for what.
#[derive(Clone, Debug)]
pub(crate) struct Processors {
    pub(crate) proxy: Vec<usize>,
    pub(crate) others: Vec<usize>,
}

/// The provider's certificates, in files.
pub(crate) struct Authority {
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("weir-bench-").tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let ca = Ca::generate()?;
        let (near, far) = (NEAR.to_string(), FAR.to_string());
        // mitmproxy verifies addresses where it is told addresses.
        let identity = ca.identity(&[API, OTHER, &near, &far])?;
        let authority = Self { directory };
        fs::write(authority.ca(), ca.pem())?;
        fs::write(authority.chain(), &identity.chain_pem)?;
        fs::write(authority.key(), &identity.key_pem)?;
        let both = identity.chain_pem + &identity.key_pem;
        fs::write(authority.chain_and_key(), both)?;
        Ok(authority)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.directory.path().join("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    pub(crate) fn chain_and_key(&self) -> PathBuf {
        self.directory.path().join("chain-and-key.pem")
    }
}

/// Namespaces, cgroups and links; all of it goes with the value.
pub(crate) struct Ground {
    pub(crate) path: Path,
    pub(crate) pod: Pod,
    provider: Namespace,
    _far: Delayed,
}

impl Ground {
    pub(crate) fn new(path: Path, authority: &Authority, round_trip: Duration) -> Result<Self> {
        let (pod, provider) = (Pod::new()?, Namespace::new()?);
        pod.namespace.ip(&format!(
            "link add weir-bench type veth peer name weir-bench netns {}\n\
             addr add {APPLICATION}/26 dev weir-bench\n\
             link set weir-bench up\n",
            provider.path().display()
        ))?;
        provider.ip(&format!(
            "link set lo up\n\
             addr add {NEAR}/26 dev weir-bench\n\
             link set weir-bench up\n"
        ))?;
        let far = Delayed::between(
            (&pod.namespace, APPLICATION_FAR),
            (&provider, FAR),
            round_trip,
        )?;
        for (parameter, value) in [
            // A connection per call, and thousands of calls a second: else ports run out.
            ("tcp_tw_reuse", "1"),
            ("ip_local_port_range", "10240 65000"),
            // The one that every kernel lets namespaces choose; others may wait between packets.
            ("tcp_congestion_control", "reno"),
        ] {
            for namespace in [&pod.namespace, &provider] {
                let file = std::path::Path::new("/proc/sys/net/ipv4").join(parameter);
                let set = namespace.inside(|| fs::write(&file, value))?;
                set.with_context(|| format!("cannot set {parameter} to {value}"))?;
            }
        }
        fs::copy(authority.ca(), pod.path("ca.pem"))?;
        if path.is_weir() {
            pod.configure(path.config())?;
            pod.init(&[])?;
        }
        Ok(Self {
            path,
            pod,
            provider,
            _far: far,
        })
    }

    /// Starts the provider.
    pub(crate) fn provider(&self, authority: &Authority, on: &[usize]) -> Result<Actor> {
        machine::keep_to(on)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("upstream").arg("--chain");
        command
            .arg(authority.chain())
            .arg("--key")
            .arg(authority.key());
        Actor::start(&self.provider, &mut command)
    }

    /// Starts the application, which trusts the provider and whatever stands before it.
    pub(crate) fn application(&self, authority: &Authority, on: &[usize]) -> Result<Actor> {
        machine::keep_to(on)?;
        let mut roots = fs::read_to_string(authority.ca())?;
        if self.path.is_weir() {
            let own = fs::read_to_string(self.pod.path("trust/ca.pem"));
            roots += &own.context("weir has published no certificate")?;
        }
        let trust = self.pod.path("client-roots.pem");
        fs::write(&trust, roots)?;
        let cgroup = self.pod.place.of(Container::Application);
        let mut command = Command::new(program("weir-actor")?);
        command.args(["enter", "--user", &APPLICATION_USER.to_string(), "--cgroup"]);
        command.arg(cgroup.context("it has a cgroup")?).arg("--");
        command.arg(std::env::current_exe()?).arg("client");
        command.env("SSL_CERT_FILE", trust);
        Actor::start(&self.pod.namespace, &mut command)
    }
}
