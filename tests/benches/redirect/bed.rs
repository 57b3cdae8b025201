//! Where one way is measured: namespaces and cgroups of its own, and in them
//! whatever redirects.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use weir_tests::namespace::Namespace;
use weir_tests::pod::place::Container;
use weir_tests::pod::{APPLICATION_USER, PROXY_USER, Pod, program};

use crate::figures::Figures;
use crate::relay::PORT;
use crate::turn::Turn;
use crate::{APPLICATION, SERVER};
use weir_tests::bench::actor::Actor;

/// How the client's connections come to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Way {
    /// They do not: there is none.
    Direct,
    Weir,
    /// iptables as a front of nftables, which most distributions have.
    IptablesNft,
    /// iptables on its own part of the kernel.
    IptablesLegacy,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self::Direct,
        Self::Weir,
        Self::IptablesNft,
        Self::IptablesLegacy,
    ];

    pub(crate) fn is_iptables(self) -> bool {
        self.iptables().is_some()
    }

    /// The program that sets it up.
    const fn iptables(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::Weir => None,
            Self::IptablesNft => Some("iptables-nft"),
            Self::IptablesLegacy => Some("iptables-legacy"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Direct => "direct",
            Self::Weir => "weir",
            Self::IptablesNft => "iptables-nft",
            Self::IptablesLegacy => "iptables-legacy",
        })
    }
}

/// How much of the kernel's table of connections may be in use. Once it is full
/// packets are dropped, and something else is measured than what rules cost.
const TRACKED_MAX_PERCENT: u64 = 80;

/// Namespaces, cgroups and what redirects; all of it goes with the value.
pub(crate) struct Bed {
    way: Way,
    pod: Pod,
    server: Namespace,
    version: Option<String>,
}

impl Bed {
    /// Sets a way up.
    pub(crate) fn new(way: Way) -> Result<Self> {
        let version = match way.iptables() {
            None => None,
            Some(iptables) => Some(version(iptables)?),
        };
        let (pod, server) = (Pod::new()?, Namespace::new()?);
        pod.namespace.ip(&format!(
            "link add weir-bench type veth peer name weir-bench netns {}\n\
             addr add {APPLICATION}/24 dev weir-bench\n\
             link set weir-bench up\n",
            server.path().display()
        ))?;
        server.ip(&format!(
            "link set lo up\n\
             addr add {}/24 dev weir-bench\n\
             link set weir-bench up\n",
            SERVER.ip()
        ))?;
        let bed = Self {
            way,
            pod,
            server,
            version,
        };
        match way {
            Way::Direct => {}
            Way::Weir => bed.pod.init(&[])?,
            Way::IptablesNft | Way::IptablesLegacy => bed.redirect_by_rules()?,
        }
        Ok(bed)
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// Of iptables.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The least that a sidecar needs, in the order in which most packets are
    /// done first: meshes have a dozen rules and chains. Only the first packet of
    /// a connection is held against them; tracking connections is for all.
    fn redirect_by_rules(&self) -> Result<()> {
        let rules = [
            format!("-m owner --uid-owner {PROXY_USER} -j RETURN"),
            "-d 127.0.0.0/8 -j RETURN".to_owned(),
            format!("-p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports {PORT}"),
        ];
        let iptables = self.way.iptables().context("it is not iptables")?;
        for rule in rules {
            let mut command = Command::new(iptables);
            command.args(["-w", "-t", "nat", "-A", "OUTPUT"]);
            command.args(rule.split(' '));
            let output = self
                .pod
                .namespace
                .spawn(command.stderr(Stdio::piped()))?
                .wait_with_output()?;
            ensure!(
                output.status.success(),
                "{command:?} failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// Whether connections were measured, and not a kernel that ran out of room to
    /// track them.
    ///
    /// # Errors
    /// It is near its limit.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.way.is_iptables() {
            return Ok(());
        }
        // Which network a file of /proc/sys/net is about follows the thread.
        let [tracked, room] = self.pod.namespace.inside(|| {
            ["count", "max"].map(|name| {
                let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
                let text = fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
                Ok::<u64, anyhow::Error>(text.trim().parse()?)
            })
        })?;
        let (tracked, room) = (tracked?, room?);
        ensure!(
            tracked * 100 <= room * TRACKED_MAX_PERCENT,
            "{tracked} connections are tracked, and there is room for {room}: \
             raise net.netfilter.nf_conntrack_max"
        );
        Ok(())
    }

    /// Starts the processes of a turn.
    pub(crate) fn start(&self) -> Result<Turn> {
        let program = std::env::current_exe()?.display().to_string();
        let state = self.pod.path("state").display().to_string();
        let mut relay = vec![program.as_str(), "relay"];
        let relay = match self.way {
            Way::Direct => None,
            Way::IptablesNft | Way::IptablesLegacy => Some(&relay),
            Way::Weir => {
                relay.extend(["--state", &state]);
                Some(&relay)
            }
        };
        let mut server = Command::new(&program);
        server.arg("server");
        Ok(Turn {
            way: self.way,
            figures: Figures::new(),
            server: Actor::start(&self.server, &mut server)?,
            relay: relay
                .map(|words| self.enter(Container::Proxy, PROXY_USER, words))
                .transpose()?,
            client: self.enter(
                Container::Application,
                APPLICATION_USER,
                &[&program, "client"],
            )?,
        })
    }

    /// Starts a program as this user and in this container's cgroup.
    fn enter(&self, container: Container, user: u32, words: &[&str]) -> Result<Actor> {
        let cgroup = self.pod.place.of(container).context("it has a cgroup")?;
        let mut command = Command::new(program("weir-actor")?);
        command.args(["enter", "--user", &user.to_string(), "--cgroup"]);
        command.arg(cgroup).arg("--").args(words);
        Actor::start(&self.pod.namespace, &mut command)
    }
}

/// What a program of iptables calls itself.
fn version(iptables: &str) -> Result<String> {
    let output = Command::new(iptables)
        .arg("--version")
        .output()
        .with_context(|| format!("there is no {iptables}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
