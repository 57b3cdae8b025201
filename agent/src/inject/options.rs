//! What an operator chose for all pods, and a pod's annotations change.

mod annotations;

use std::num::NonZeroU32;

use serde_json::{Map, Value};

use annotations::ANNOTATIONS;

use super::refusal::Refusal;
use super::{INJECT, INJECTED, PREFIX, RECORD};

pub(crate) use annotations::{log_level, object_name, quantity};

/// How many ports in a row the proxy listens on.
pub(super) const PORTS: u16 = crate::capture::LISTEN_PORTS;

/// Containers of service meshes, which bring their roots along and are told by
/// their own control plane whom to trust.
const OF_MESHES: [&str; 6] = [
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

/// Proxies of meshes that redirect what weir's proxy sends, and the users they
/// run as. Their own connections would come back to it, so they are exempt.
const MESH_PROXIES: [(&str, u64); 2] = [("istio-proxy", 1337), ("linkerd-proxy", 2102)];

/// The user of a mesh's proxy in this container, if it is one.
pub(super) fn mesh_user(container: &Map<String, Value>) -> Option<u64> {
    let name = container.get("name")?.as_str()?;
    let (_, usual) = MESH_PROXIES.iter().find(|(known, _)| *known == name)?;
    let set = container
        .get("securityContext")
        .and_then(|context| context.get("runAsUser"));
    Some(set.and_then(Value::as_u64).unwrap_or(*usual))
}

/// Which image is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// This one, unless an annotation names another.
    Default(String),
    /// This one. A webhook's, because it runs with privileges in pods of users
    /// who may have none.
    Fixed(String),
}

/// What the sidecar is to Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sidecar {
    /// An init container that keeps running (Kubernetes 1.29): starts before and ends after all others
    #[default]
    Native,
    /// A container among others, for older clusters; jobs would never end
    Classic,
}

/// What the init container may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum InitPrivileges {
    /// Everything: works wherever privileged containers do
    #[default]
    Full,
    /// The capabilities it uses and no other
    Narrow,
}

/// What connections do while the proxy is down, if not as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnProxyDown {
    /// They fail
    Closed,
    /// They go direct, unmetered
    Open,
}

impl OnProxyDown {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

impl From<OnProxyDown> for weir_common::OnProxyDown {
    fn from(chosen: OnProxyDown) -> Self {
        match chosen {
            OnProxyDown::Closed => Self::Closed,
            OnProxyDown::Open => Self::Open,
        }
    }
}

/// How much of a node the proxy is promised, and how much it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Cores it is promised.
    pub cpu_request: String,
    /// Memory it is promised.
    pub memory_request: String,
    /// Cores it may take; unbounded by default, because a proxy that is
    /// throttled delays whoever waits for it.
    pub cpu_limit: Option<String>,
    /// Memory it may take.
    pub memory_limit: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_request: "20m".to_owned(),
            // `cargo xtask pod-test` holds the proxy to it, with 32 clients that
            // stream at once: it took 15 MB of resident memory then, and 13 MB
            // before. The rest is for connections that stay.
            memory_request: "48Mi".to_owned(),
            cpu_limit: None,
            memory_limit: Some("512Mi".to_owned()),
        }
    }
}

/// Everything that can be chosen about an injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The image of both containers.
    pub image: Image,
    /// `ConfigMap` with `weir.yaml`, in the pod's namespace.
    pub config: Option<String>,
    /// `ConfigMap` whose keys are files of PEM certificates, in the pod's
    /// namespace, trusted by the application and by the proxy.
    pub roots: Option<String>,
    /// Overrides `capture.on_proxy_down` of the configuration.
    pub on_proxy_down: Option<OnProxyDown>,
    /// What the sidecar is to Kubernetes.
    pub sidecar: Sidecar,
    /// What the init container may do.
    pub init_privileges: InitPrivileges,
    /// First of the ports the proxy listens on, on loopback.
    pub port: u16,
    /// Port of metrics and health.
    pub admin_port: u16,
    /// The user that the proxy runs as.
    pub proxy_uid: NonZeroU32,
    /// Level of the proxy's own log.
    pub log_level: Option<String>,
    /// Containers that are given neither variables nor the mount.
    pub untouched: Vec<String>,
    /// What the proxy takes.
    pub resources: Resources,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: Image::Default(default_image()),
            config: None,
            roots: None,
            on_proxy_down: None,
            sidecar: Sidecar::default(),
            init_privileges: InitPrivileges::default(),
            port: 15001,
            admin_port: 15020,
            proxy_uid: NonZeroU32::new(1337).unwrap_or(NonZeroU32::MIN),
            log_level: None,
            untouched: Vec::new(),
            resources: Resources::default(),
        }
    }
}

/// The published image of this version.
#[must_use]
pub fn default_image() -> String {
    format!("ghcr.io/weir-project/weir:{}", env!("CARGO_PKG_VERSION"))
}

impl Options {
    /// The image that is run.
    #[must_use]
    pub fn image(&self) -> &str {
        match &self.image {
            Image::Default(image) | Image::Fixed(image) => image,
        }
    }

    /// These, as changed by the annotations at `path`.
    ///
    /// # Errors
    /// An annotation is not known, says something else than it can, or the
    /// whole does not fit together.
    pub fn with_annotations(
        &self,
        annotations: &Map<String, Value>,
        path: &str,
    ) -> Result<Self, Vec<Refusal>> {
        let mut options = self.clone();
        let mut refusals = Vec::new();
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX) else {
                continue;
            };
            if [INJECT, INJECTED, RECORD].contains(&key.as_str()) {
                continue;
            }
            let applied = match ANNOTATIONS.iter().find(|known| known.name == name) {
                Some(known) => value
                    .as_str()
                    .ok_or_else(|| "expected text: put it in quotes".to_owned())
                    .and_then(|value| (known.apply)(&mut options, value)),
                None => Err(format!(
                    "not an annotation of weir's: there are {}",
                    ANNOTATIONS.map(|known| known.name).join(", ")
                )),
            };
            if let Err(why) = applied {
                refusals.push(Refusal::new(format!("{path}[{key}]"), why));
            }
        }
        if let Err(why) = options.ports_apart() {
            refusals.push(Refusal::new(path, why));
        }
        if refusals.is_empty() {
            Ok(options)
        } else {
            Err(refusals)
        }
    }

    /// The ports that are the proxy's in the pod.
    pub(super) fn takes_port(&self, port: u64) -> bool {
        let first = u64::from(self.port);
        port == u64::from(self.admin_port) || (first..first + u64::from(PORTS)).contains(&port)
    }

    /// Whether a container is to be left as it is.
    pub(super) fn leaves(&self, container: &str) -> bool {
        OF_MESHES.contains(&container) || self.untouched.iter().any(|name| name == container)
    }

    fn ports_apart(&self) -> Result<(), String> {
        let (first, admin) = (self.port, self.admin_port);
        let Some(last) = first.checked_add(PORTS - 1).filter(|_| first != 0) else {
            return Err(format!(
                "{first} is no first of {PORTS} ports: expected 1 to {}",
                u16::MAX - (PORTS - 1)
            ));
        };
        if admin == 0 || (first..=last).contains(&admin) {
            return Err(format!(
                "metrics and health cannot be on port {admin} while the proxy listens on {first} \
                 to {last}: choose another with {PREFIX}admin-port"
            ));
        }
        Ok(())
    }
}
