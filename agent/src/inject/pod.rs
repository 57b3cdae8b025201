//! Injecting into one pod template, and taking it out again.

use serde_json::{Value, json};

use super::fields::{self, Field, Object};
use super::options::{Options, Sidecar, mesh_user};
use super::record::Record;
use super::refusal::Refusal;
use super::trust::{self, Around, UserRoots};
use super::workload::{Lifetime, Workload};
use super::{
    INIT_CONTAINER, INJECTED, PREFIX, PROXY_CONTAINER, RECORD, TRUST_MOUNT, VOLUMES, containers,
};

/// The lists of containers in a pod's `spec`.
const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];
/// With weir's container first in the list, tools would show its log.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Injects, after undoing what an earlier injection did. Gives what is worth
/// saying about it, one line each.
///
/// # Errors
/// Fields with which weir cannot work, all of them; the template is then as it
/// was.
pub fn inject(
    workload: &mut Workload<'_>,
    defaults: &Options,
) -> Result<Vec<String>, Vec<Refusal>> {
    let path = workload.path.clone();
    let shapes = shapes(workload.template, &path);
    if !shapes.is_empty() {
        return Err(shapes);
    }
    let mut fresh = workload.template.clone();
    remove(&mut fresh);
    let options = match annotations(&fresh) {
        Some(annotations) => {
            defaults.with_annotations(annotations, &format!("{path}metadata.annotations"))?
        }
        None => defaults.clone(),
    };
    let refusals = refusals(&fresh, &path, workload.lifetime, &options);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let notes = add(&mut fresh, &path, &options);
    *workload.template = fresh;
    Ok(notes)
}

/// Takes out what [`inject`] put in; a template without it stays as it is.
pub fn remove(template: &mut Object) {
    let record = annotations(template).and_then(|annotations| fields::text(annotations, RECORD));
    let record = Record::read(record);
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        for (field, key) in [("annotations", RECORD), ("labels", INJECTED)] {
            let made_default = |field: &str| {
                field == "annotations" && record.made.iter().any(|made| made == DEFAULT_CONTAINER)
            };
            if let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) {
                map.shift_remove(key);
                if made_default(field) {
                    map.shift_remove(DEFAULT_CONTAINER);
                }
            }
            fields::unmake(metadata, field, field, &record);
        }
    }
    fields::unmake(template, "metadata", "metadata", &record);
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for field in CONTAINER_LISTS {
        if let Some(list) = spec.get_mut(field).and_then(Value::as_array_mut) {
            list.retain(|container| {
                !container["name"]
                    .as_str()
                    .is_some_and(|name| [INIT_CONTAINER, PROXY_CONTAINER].contains(&name))
            });
        }
        for container in fields::elements_mut(spec, field) {
            trust::withdraw(container, &record);
        }
    }
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|volume| {
            !volume["name"]
                .as_str()
                .is_some_and(|name| VOLUMES.contains(&name))
        });
    }
    for field in ["initContainers", "volumes"] {
        fields::unmake(spec, field, field, &record);
    }
}

/// Whether weir's containers are in a template.
#[must_use]
pub fn is_injected(template: &Object) -> bool {
    let spec = fields::object(template, "spec").present();
    spec.into_iter()
        .flat_map(|spec| CONTAINER_LISTS.map(|field| fields::elements(spec, field)))
        .flatten()
        .any(|container| [INIT_CONTAINER, PROXY_CONTAINER].contains(&fields::name(container)))
}

fn annotations(template: &Object) -> Option<&Object> {
    let metadata = fields::object(template, "metadata").present()?;
    fields::object(metadata, "annotations").present()
}

/// Fields that are of another kind than Kubernetes says, of those that are
/// looked at: all else stays the API server's to judge.
fn shapes(template: &Object, path: &str) -> Vec<Refusal> {
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
fn place(path: &str, list: &str, container: &Object) -> String {
    format!("{path}spec.{list}[{}]", fields::name(container))
}

/// What weir cannot work with.
fn refusals(template: &Object, path: &str, lifetime: Lifetime, options: &Options) -> Vec<Refusal> {
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

fn add(template: &mut Object, path: &str, options: &Options) -> Vec<String> {
    let mut record = Record::new();
    let mut notes = Vec::new();
    let mut roots = UserRoots::default();
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        notes.extend(unusual(spec, path));
        let volumes = fields::list(spec, "volumes").present().cloned();
        let around = Around {
            volumes: volumes.as_deref().unwrap_or_default(),
            fs_group: fields::object(spec, "securityContext")
                .present()
                .is_some_and(|context| context.get("fsGroup").is_some_and(Value::is_u64)),
        };
        // Init containers run before a classic sidecar does, uncaptured.
        let lists: &[&str] = match options.sidecar {
            Sidecar::Native => &CONTAINER_LISTS,
            Sidecar::Classic => &["containers"],
        };
        for list in lists {
            for container in fields::elements_mut(spec, list) {
                if options.leaves(fields::name(container)) {
                    continue;
                }
                let place = place(path, list, container);
                let said = trust::extend(container, &place, &around, &mut roots, &mut record);
                notes.extend(said);
            }
        }
        place_containers(spec, options, &roots, &mut record);
        fields::list_mut(spec, "volumes", "volumes", &mut record)
            .extend(containers::volumes(options));
    }
    let default_container = match options.sidecar {
        Sidecar::Native => None,
        Sidecar::Classic => application(template),
    };
    let metadata = fields::object_mut(template, "metadata", "metadata", &mut record);
    let labels = fields::object_mut(metadata, "labels", "labels", &mut record);
    labels.insert(INJECTED.to_owned(), "true".into());
    let annotations = fields::object_mut(metadata, "annotations", "annotations", &mut record);
    if let Some(name) = default_container
        && !annotations.contains_key(DEFAULT_CONTAINER)
    {
        annotations.insert(DEFAULT_CONTAINER.to_owned(), name.into());
        record.made.push(DEFAULT_CONTAINER.to_owned());
    }
    annotations.insert(RECORD.to_owned(), json!(record.text()));
    notes
}

/// A native sidecar starts before every container of the application's, its
/// init containers included, which are captured like the rest. A classic one
/// cannot, so capturing begins after those.
fn place_containers(spec: &mut Object, options: &Options, roots: &UserRoots, record: &mut Record) {
    let mesh = CONTAINER_LISTS
        .into_iter()
        .flat_map(|list| fields::elements(spec, list))
        .find_map(mesh_user);
    let (init, proxy) = (
        containers::init(options, mesh),
        containers::proxy(options, roots),
    );
    let inits = fields::list_mut(spec, "initContainers", "initContainers", record);
    match options.sidecar {
        Sidecar::Native => {
            inits.splice(0..0, [init, proxy]);
        }
        Sidecar::Classic => {
            inits.push(init);
            fields::list_mut(spec, "containers", "containers", record).insert(0, proxy);
        }
    }
}

/// The name of the application's first container.
fn application(template: &Object) -> Option<String> {
    let spec = fields::object(template, "spec").present()?;
    let name = fields::elements(spec, "containers")
        .map(fields::name)
        .find(|name| *name != PROXY_CONTAINER)?;
    Some(name.to_owned())
}

/// What works, and should be known.
fn unusual(spec: &Object, path: &str) -> Option<String> {
    let shared = spec.get("shareProcessNamespace") == Some(&Value::Bool(true));
    shared.then(|| {
        format!(
            "{path}spec.shareProcessNamespace: root of the application's containers can read the \
             proxy's memory, and with it the key of the pod's CA"
        )
    })
}
