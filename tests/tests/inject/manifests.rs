//! The manifests of the fixtures, and what is asked of them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use weir::inject::options::Options;
use weir::inject::stream::{Outcome, StreamError, Task, run};

/// The fixtures with pods to inject.
pub(crate) const WITH_PODS: [&str; 4] = ["deployment.yaml", "kinds.yaml", "odd.yaml", "list.json"];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/inject")
        .join(name)
}

pub(crate) fn fixture(name: &str) -> String {
    fs::read_to_string(path(name)).expect("a fixture")
}

/// As an operator of native sidecars and as one of an older cluster.
pub(crate) fn both_sidecars() -> [Options; 2] {
    let classic = Options {
        sidecar: weir::inject::options::Sidecar::Classic,
        ..Options::default()
    };
    [Options::default(), classic]
}

pub(crate) fn inject(text: &str, options: &Options) -> Result<Outcome, StreamError> {
    run(text, Task::Inject(options))
}

/// The documents of a stream, in order, with their keys in order.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    if text.trim_start().starts_with('{') {
        let documents = serde_json::Deserializer::from_str(text).into_iter();
        return documents.map(|one| one.expect("JSON")).collect();
    }
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_multiple_with_options(text, options).expect("YAML")
}

/// A pod of one container with these fields besides, injected.
pub(crate) fn injected(spec: Value, annotations: Value) -> (Value, Vec<String>) {
    let (text, notes) = try_injected(spec, annotations).expect("nothing to refuse");
    let pod = serde_json::from_str(&text).expect("JSON");
    (pod, notes)
}

pub(crate) fn try_injected(
    spec: Value,
    annotations: Value,
) -> Result<(String, Vec<String>), StreamError> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "annotations": annotations},
        "spec": spec,
    });
    let outcome = inject(&pod.to_string(), &Options::default())?;
    Ok((outcome.text, outcome.notes))
}

/// The containers of a pod's spec, weir's and the application's.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| spec[list].as_array())
        .flatten()
}

/// The container of this name.
pub(crate) fn container<'a>(spec: &'a Value, name: &str) -> &'a Value {
    containers(spec)
        .find(|container| container["name"] == name)
        .expect("a container of that name")
}

/// The value of a variable of a container.
pub(crate) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let env = container["env"].as_array()?;
    env.iter().rfind(|entry| entry["name"] == name)?["value"].as_str()
}
