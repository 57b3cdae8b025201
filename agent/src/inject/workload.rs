//! Where the pod templates of a manifest are.

use serde_json::Value;

use super::INJECT;
use super::fields::{self, Object};

/// A pod template in a document.
#[derive(Debug)]
pub struct Workload<'a> {
    /// Kind and name, `Deployment shop/web`.
    pub name: String,
    /// Path of the template in the document, with a dot at its end; empty for
    /// the pod that is the document.
    pub path: String,
    /// Whether it is expected to end.
    pub lifetime: Lifetime,
    /// Whether somebody said that it is not to be injected.
    pub choice: Choice,
    /// `metadata` and `spec` of the pod.
    pub template: &'a mut Object,
}

/// Whether pods of a workload are expected to end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// They run until they are stopped.
    Endless,
    /// They end when their work is done.
    Task,
}

/// What [`INJECT`] says about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Unsaid,
    /// To be injected.
    Enabled,
    /// Not to be.
    Disabled,
}

impl Choice {
    /// What the annotations, or else the labels, of these `metadata` say.
    /// Anything but `enabled` counts as no: who wrote something else did not
    /// ask for it.
    #[must_use]
    pub fn of(owner: &serde_json::Map<String, Value>) -> Self {
        let Some(metadata) = fields::object(owner, "metadata").present() else {
            return Self::Unsaid;
        };
        let said = ["annotations", "labels"]
            .into_iter()
            .find_map(|field| fields::object(metadata, field).present()?.get(INJECT));
        match said.map(Value::as_str) {
            None => Self::Unsaid,
            Some(Some("enabled")) => Self::Enabled,
            Some(_) => Self::Disabled,
        }
    }

    const fn or(self, other: Self) -> Self {
        match self {
            Self::Unsaid => other,
            Self::Enabled | Self::Disabled => self,
        }
    }
}

/// Every pod template in a document, those in the items of a list included.
/// Kinds that have none, or are not Kubernetes' own, have none here.
#[must_use]
pub fn workloads(document: &mut Value) -> Vec<Workload<'_>> {
    let mut found = Vec::new();
    visit(document, "", &mut found);
    found
}

fn visit<'a>(document: &'a mut Value, path: &str, found: &mut Vec<Workload<'a>>) {
    let Some(object) = document.as_object_mut() else {
        return;
    };
    let kind = fields::text(object, "kind").unwrap_or_default().to_owned();
    let group = group(fields::text(object, "apiVersion").unwrap_or_default());
    if kind.ends_with("List") && object.get("items").is_some_and(Value::is_array) {
        let items = object.get_mut("items").and_then(Value::as_array_mut);
        for (index, item) in items.into_iter().flatten().enumerate() {
            visit(item, &format!("{path}items[{index}]."), found);
        }
        return;
    }
    let (steps, lifetime): (&[&str], _) = match (group.as_str(), kind.as_str()) {
        ("", "Pod") => (&[], Lifetime::Endless),
        ("", "PodTemplate") => (&["template"], Lifetime::Endless),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet")
        | ("apps", "StatefulSet") => (&["spec", "template"], Lifetime::Endless),
        ("batch", "Job") => (&["spec", "template"], Lifetime::Task),
        ("batch", "CronJob") => (&["spec", "jobTemplate", "spec", "template"], Lifetime::Task),
        _ => return,
    };
    let name = format!("{kind} {}", full_name(object));
    let outer = Choice::of(object);
    let mut template = object;
    let mut path = path.to_owned();
    for step in steps {
        path = format!("{path}{step}.");
        match template.get_mut(*step).and_then(Value::as_object_mut) {
            Some(inner) => template = inner,
            None => return,
        }
    }
    if !template.get("spec").is_some_and(Value::is_object) {
        return;
    }
    let choice = Choice::of(template).or(outer);
    found.push(Workload {
        name,
        path,
        lifetime,
        choice,
        template,
    });
}

/// `apps` of `apps/v1`; empty for the core group.
fn group(api_version: &str) -> String {
    api_version
        .rsplit_once('/')
        .map_or("", |(group, _version)| group)
        .to_owned()
}

fn full_name(object: &Object) -> String {
    let Some(metadata) = fields::object(object, "metadata").present() else {
        return "without a name".to_owned();
    };
    let generated = || Some(format!("{}*", fields::text(metadata, "generateName")?));
    let name = fields::text(metadata, "name")
        .map(str::to_owned)
        .or_else(generated)
        .unwrap_or_else(|| "without a name".to_owned());
    match fields::text(metadata, "namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}
