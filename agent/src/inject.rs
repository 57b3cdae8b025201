//! Injection: what `weir init` and `weir proxy` are in a pod, written into the
//! manifest of the pod.
//!
//! Functions of values: a manifest goes in and comes out with two containers,
//! their volumes, and in the application's containers the variables by which
//! runtimes learn whom to trust. Files, sockets and clusters are `app`'s.
//!
//! - [`stream`] is a file of manifests: which documents are whose, and what of
//!   the text stays as it was.
//! - [`workload`] finds pod templates in the kinds that have one.
//! - [`options`] is what an operator chose, and a pod's annotations change.
//! - [`pod`] does it: refuses what cannot work ([`refusal`]), adds weir's
//!   containers and the application's trust, and leaves a record by which
//!   [`pod::remove`] finds the way back.
//! - [`review`] is the same as an answer to an API server, and [`webhook`] the
//!   object by which it is told to ask.
//!
//! Injecting is idempotent, as what an earlier injection did is undone first;
//! and removing gives the manifest that was injected, field for field.

mod containers;
mod fields;
pub mod options;
pub mod pod;
mod record;
pub mod refusal;
pub mod review;
pub mod stream;
mod trust;
pub mod webhook;
pub mod workload;

/// The lists of containers in a pod's `spec`.
const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

/// What begins the names of annotations and labels that are weir's.
pub const PREFIX: &str = "weir.dev/";
/// The label, or annotation, that says `enabled` or `disabled`.
pub const INJECT: &str = "weir.dev/inject";
/// The label of every injected pod, by which monitors and policies select.
pub const INJECTED: &str = "weir.dev/injected";
/// The annotation that holds what removal needs to know.
pub const RECORD: &str = "weir.dev/record";

/// The init container's name.
pub const INIT_CONTAINER: &str = "weir-init";
/// The sidecar's name.
pub const PROXY_CONTAINER: &str = "weir-proxy";
/// The volume of the secret between them, which the application never mounts.
pub const RUN_VOLUME: &str = "weir-run";
/// The volume of what applications are to trust.
pub const TRUST_VOLUME: &str = "weir-trust";
/// The volume of the configuration.
pub const CONFIG_VOLUME: &str = "weir-config";
/// The volume of more roots.
pub const ROOTS_VOLUME: &str = "weir-roots";
/// The volume by which the init container finds the pod's cgroup.
pub const CGROUP_VOLUME: &str = "weir-cgroup";
/// All of them.
const VOLUMES: [&str; 5] = [
    RUN_VOLUME,
    TRUST_VOLUME,
    CONFIG_VOLUME,
    ROOTS_VOLUME,
    CGROUP_VOLUME,
];
/// Where applications find [`TRUST_VOLUME`].
pub const TRUST_MOUNT: &str = "/etc/weir/trust";
