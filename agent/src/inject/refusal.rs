//! Why a pod is not injected: what is not what Kubernetes says it is, and what
//! weir cannot work with.

use std::fmt;

use serde_json::Value;

use super::fields::{self, Field, Object};
use super::options::{Options, Sidecar};
use super::workload::Lifetime;
use super::{CONTAINER_LISTS, PREFIX, TRUST_MOUNT, containers};

/// One field that keeps weir from working, where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The field in its document, `spec.template.spec.hostNetwork`.
    pub path: String,
    /// What is wrong with it, and the remedy.
    pub why: String,
}

impl Refusal {
    /// The refusal of the field at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.why)
    }
}

/// Fields that are of another kind than Kubernetes says, of those that are
/// looked at: all else stays the API server's to judge.
pub(super) fn shapes(template: &Object, path: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut expect = |place: String, good: bool, what: &str| {
        if !good {
            refusals.push(Refusal::new(place, format!("expected {what}")));
        }
    };
    let is_object =
        |owner: &Object, field: &str| !matches!(fields::object(owner, field), Field::Other);
    let is_list = |owner: &Object, field: &str| match fields::list(owner, field) {
        Field::Absent => true,
        Field::Present(list) => list.iter().all(Value::is_object),
        Field::Other => false,
    };
    let what = "a list of objects";
    expect(
        format!("{path}metadata"),
        is_object(template, "metadata"),
        "an object",
    );
    if let Some(metadata) = fields::object(template, "metadata").present() {
        for field in ["annotations", "labels"] {
            expect(
                format!("{path}metadata.{field}"),
                is_object(metadata, field),
                "an object",
            );
        }
    }
    let Some(spec) = fields::object(template, "spec").present() else {
        expect(format!("{path}spec"), false, "an object");
        return refusals;
    };
    expect(
        format!("{path}spec.volumes"),
        is_list(spec, "volumes"),
        what,
    );
    for field in CONTAINER_LISTS {
        expect(format!("{path}spec.{field}"), is_list(spec, field), what);
        for container in fields::elements(spec, field) {
            let place = place(path, field, container);
            expect(
                format!("{place}.name"),
                !fields::name(container).is_empty(),
                "a name",
            );
            for inner in ["env", "envFrom", "volumeMounts", "ports"] {
                expect(format!("{place}.{inner}"), is_list(container, inner), what);
            }
        }
    }
    refusals
}

/// `spec.containers[app]`.
pub(super) fn place(path: &str, list: &str, container: &Object) -> String {
    format!("{path}spec.{list}[{}]", fields::name(container))
}

/// What weir cannot work with.
pub(super) fn refusals(
    template: &Object,
    path: &str,
    lifetime: Lifetime,
    options: &Options,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |field: &str, why: String| {
        refusals.push(Refusal::new(format!("{path}spec.{field}"), why));
    };
    let Some(spec) = fields::object(template, "spec").present() else {
        return refusals;
    };
    let is = |field: &str, value: bool| spec.get(field) == Some(&Value::Bool(value));
    if is("hostNetwork", true) {
        refuse(
            "hostNetwork",
            "the proxy would listen on the node's loopback, where every such pod's would: give \
             the pod a network of its own"
                .to_owned(),
        );
    }
    if is("hostPID", true) {
        refuse(
            "hostPID",
            "its processes can enter namespaces and cgroups of the node, where nothing is \
             captured: leave it out"
                .to_owned(),
        );
    }
    if is("hostUsers", false) {
        refuse(
            "hostUsers",
            "in a user namespace the kernel does not let `weir init` load programs: leave it out"
                .to_owned(),
        );
    }
    let selected = |key: &str| {
        let selector = fields::object(spec, "nodeSelector").present()?;
        fields::text(selector, key)
    };
    let of = fields::object(spec, "os").present();
    if of.and_then(|os| fields::text(os, "name")) == Some("windows") {
        refuse("os.name", "weir is for Linux".to_owned());
    }
    for label in ["kubernetes.io/os", "beta.kubernetes.io/os"] {
        if selected(label) == Some("windows") {
            refuse(
                &format!("nodeSelector[{label}]"),
                "weir is for Linux".to_owned(),
            );
        }
    }
    if fields::elements(spec, "ephemeralContainers")
        .next()
        .is_some()
    {
        refuse(
            "ephemeralContainers",
            "a pod cannot be made with them, so this one runs already, and a running pod cannot \
             be injected: inject what made it"
                .to_owned(),
        );
    }
    let ends = lifetime == Lifetime::Task
        || matches!(
            fields::text(spec, "restartPolicy"),
            Some("Never" | "OnFailure")
        );
    if options.sidecar == Sidecar::Classic && ends {
        refuse(
            "restartPolicy",
            format!(
                "a pod that is to end never would, as a classic sidecar does not: use {PREFIX}\
                 sidecar: native (Kubernetes 1.29)"
            ),
        );
    }
    let uid = u64::from(options.proxy_uid.get());
    let runs_as_proxy = |owner: &Object| {
        let context = fields::object(owner, "securityContext").present();
        context.and_then(|context| context.get("runAsUser")?.as_u64()) == Some(uid)
    };
    let same_user = || {
        format!(
            "{uid} is the proxy's user, whose files and memory the application could then read: \
             choose another with {PREFIX}proxy-uid"
        )
    };
    if runs_as_proxy(spec) {
        refuse("securityContext.runAsUser", same_user());
    }
    let mut names = Vec::new();
    for list in CONTAINER_LISTS {
        for container in fields::elements(spec, list) {
            names.push(fields::name(container));
            let place = format!("{list}[{}]", fields::name(container));
            if runs_as_proxy(container) {
                refuse(&format!("{place}.securityContext.runAsUser"), same_user());
            }
            for port in fields::elements(container, "ports") {
                let number = port.get("containerPort").and_then(Value::as_u64);
                if let Some(number) = number.filter(|number| options.takes_port(*number)) {
                    refuse(
                        &format!("{place}.ports[{number}]"),
                        format!(
                            "the proxy is on {}: choose others with {PREFIX}port and {PREFIX}\
                             admin-port",
                            containers::ports(options)
                        ),
                    );
                }
            }
            for mount in fields::elements(container, "volumeMounts") {
                let path = fields::text(mount, "mountPath").unwrap_or_default();
                if path.trim_end_matches('/') == TRUST_MOUNT
                    && !options.leaves(fields::name(container))
                {
                    refuse(
                        &format!("{place}.volumeMounts[{path}]"),
                        "this is where weir's mount goes: move yours".to_owned(),
                    );
                }
            }
        }
    }
    // Of a mesh that captures by iptables everything but what its own user sends.
    if names.contains(&"istio-proxy") {
        let clashes = [15000, 15001, 15004, 15006, 15020, 15021, 15053, 15090]
            .into_iter()
            .filter(|port| options.takes_port(*port))
            .map(|port| port.to_string())
            .collect::<Vec<_>>();
        if !clashes.is_empty() {
            refuse(
                "containers[istio-proxy]",
                format!(
                    "it has the ports {} already: choose others with {PREFIX}port: \"15201\" and \
                     {PREFIX}admin-port: \"15220\"",
                    clashes.join(" and ")
                ),
            );
        }
        if uid == 1337 {
            refuse(
                "containers[istio-proxy]",
                format!(
                    "it runs as user 1337, whose connections Istio leaves alone, and the proxy's \
                     would be: choose another with {PREFIX}proxy-uid: \"1338\""
                ),
            );
        }
    }
    for name in &options.untouched {
        if !names.contains(&name.as_str()) {
            refuse(
                "containers",
                format!("there is no container {name}, which {PREFIX}untouched-containers names"),
            );
        }
    }
    refusals
}
