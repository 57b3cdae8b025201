//! Injecting into one pod template, and taking it out again.

use serde_json::{Value, json};

use super::fields::{self, Object};
use super::options::{Options, Sidecar, mesh_user};
use super::record::Record;
use super::refusal::{Refusal, place, refusals, shapes};
use super::trust::{self, Around, UserRoots};
use super::workload::Workload;
use super::{
    CONTAINER_LISTS, INIT_CONTAINER, INJECTED, PROXY_CONTAINER, RECORD, VOLUMES, containers,
};

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
