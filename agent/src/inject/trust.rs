//! What the application's containers are made to trust: a mount, and variables.
//!
//! A variable of the user's own is never lost. Its file is merged if it lies in
//! a volume, which the proxy can mount as well; one of the image's is out of
//! reach from outside of the container, so the variable stays as it is, and
//! whoever injects is told what that means.

use std::path::{Component, Path};

use serde_json::{Value, json};

use super::fields::{self, Object};
use super::record::Record;
use super::{TRUST_MOUNT, TRUST_VOLUME};
use crate::tls::bundle::{
    BUNDLE_FILE, EXTRA_FILE, Effect, JAVA_OPTIONS, JAVA_OPTIONS_ANY, JAVA_TRUST_STORE,
    SYSTEM_BUNDLES, VARIABLES, java_trust_options,
};

/// Below here the proxy mounts the user's volumes that hold roots.
const USER_ROOTS: &str = "/roots";

/// Every permission to read that the proxy's user could have: it is in no group
/// of the file's unless the pod has an `fsGroup`.
const READABLE_BY_OTHERS: u64 = 0o004;

/// Files of the user's that are merged, as the proxy sees them.
#[derive(Debug, Default)]
pub(super) struct UserRoots {
    mounts: Vec<Value>,
    files: Vec<String>,
}

impl UserRoots {
    /// What the proxy mounts.
    pub(super) fn mounts(&self) -> &[Value] {
        &self.mounts
    }

    /// What it merges, as paths in its container.
    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    /// The file `rest` of a volume; mounted once, however many name it.
    fn add(&mut self, volume: &str, sub_path: Option<&str>, rest: &Path) {
        let same = |mount: &Value| {
            mount["name"].as_str() == Some(volume) && mount["subPath"].as_str() == sub_path
        };
        let directory = match self.mounts.iter().find(|mount| same(mount)) {
            Some(mount) => mount["mountPath"].as_str().unwrap_or_default().to_owned(),
            None => {
                let directory = format!("{USER_ROOTS}/{}", self.mounts.len());
                let mut mount = json!({"name": volume, "mountPath": directory, "readOnly": true});
                if let Some(sub_path) = sub_path {
                    mount["subPath"] = sub_path.into();
                }
                self.mounts.push(mount);
                directory
            }
        };
        // Joining nothing would leave a slash at the end of a file's name.
        let file = if rest == Path::new("") {
            directory
        } else {
            Path::new(&directory).join(rest).display().to_string()
        };
        if !self.files.contains(&file) {
            self.files.push(file);
        }
    }
}

/// What is known of the pod around a container.
pub(super) struct Around<'a> {
    /// `spec.volumes`.
    pub(super) volumes: &'a [Value],
    /// Whether files of volumes belong to a group that the proxy is in.
    pub(super) fs_group: bool,
}

/// Gives a container the mount and the variables. What could not be taken over
/// is said in lines that begin with `place`, the container in its document.
pub(super) fn extend(
    container: &mut Object,
    place: &str,
    around: &Around<'_>,
    roots: &mut UserRoots,
    record: &mut Record,
) -> Vec<String> {
    let name = fields::name(container).to_owned();
    let mut notes = Vec::new();
    if fields::elements(container, "envFrom").next().is_some() {
        notes.push(format!(
            "{place}.envFrom: what is set there cannot be seen from here, and weir's {} and the \
             like win over it: have its certificates merged with the annotation weir.dev/roots",
            VARIABLES[0].0
        ));
    }
    let mounts: Vec<Object> = fields::elements(container, "volumeMounts")
        .cloned()
        .collect();
    let java_store = java_store_in(container);

    let env = fields::list_mut(container, "env", &format!("{name}/env"), record);
    for (variable, effect) in VARIABLES {
        let ours = file_of(effect);
        let Some(entry) = entry_mut(env, variable) else {
            if effect != Effect::ReplacesIfSet {
                env.push(json!({"name": variable, "value": ours}));
            }
            continue;
        };
        let place = format!("{place}.env[{variable}]");
        match taken_over(entry, &mounts, around, roots) {
            Ok(note) => {
                notes.extend(note.map(|note| format!("{place}: {note}")));
                replace(entry, &name, variable, &ours, record);
            }
            Err(why) => notes.push(format!(
                "{place}: {why}; it stays as it is, and what reads it will refuse weir's CA: put \
                 its certificates into a ConfigMap for the annotation weir.dev/roots, and take \
                 the variable out"
            )),
        }
    }
    match java_store {
        Some(variable) => notes.push(format!(
            "{place}.env[{variable}]: it names a trust store of its own, which stays, and Java \
             will refuse weir's CA: take the option out"
        )),
        None => notes.extend(java(env, &name, place, record)),
    }
    fields::list_mut(
        container,
        "volumeMounts",
        &format!("{name}/volumeMounts"),
        record,
    )
    .push(json!({"name": TRUST_VOLUME, "mountPath": TRUST_MOUNT, "readOnly": true}));
    notes
}

/// Takes what [`extend`] gave.
pub(super) fn withdraw(container: &mut Object, record: &Record) {
    let name = fields::name(container).to_owned();
    if let Some(mounts) = container
        .get_mut("volumeMounts")
        .and_then(Value::as_array_mut)
    {
        mounts.retain(|mount| mount["name"].as_str() != Some(TRUST_VOLUME));
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        env.retain_mut(|entry| restore(entry, &name, record));
    }
    fields::unmake(
        container,
        "volumeMounts",
        &format!("{name}/volumeMounts"),
        record,
    );
    fields::unmake(container, "env", &format!("{name}/env"), record);
}

/// Leaves an entry as it was, and says whether it was there.
fn restore(entry: &mut Value, container: &str, record: &Record) -> bool {
    let Some(entry) = entry.as_object_mut() else {
        return true;
    };
    let variable = fields::name(entry).to_owned();
    let value = fields::text(entry, "value");
    let known = VARIABLES.iter().find(|(name, _)| *name == variable);
    let is_ours = match known {
        Some((_, effect)) => value == Some(file_of(*effect).as_str()),
        None if variable == JAVA_OPTIONS => {
            value.is_some_and(|value| value.ends_with(&java_options()))
        }
        None => false,
    };
    if !is_ours {
        return true;
    }
    match record.value_before(container, &variable) {
        Some(before) => {
            entry.insert("value".to_owned(), before.into());
            true
        }
        None if record.made.contains(&value_of(container, &variable)) => {
            entry.shift_remove("value");
            true
        }
        None => false,
    }
}

fn file_of(effect: Effect) -> String {
    let file = match effect {
        Effect::Replaces | Effect::ReplacesIfSet => BUNDLE_FILE,
        Effect::Adds => EXTRA_FILE,
    };
    format!("{TRUST_MOUNT}/{file}")
}

fn java_options() -> String {
    java_trust_options(Path::new(TRUST_MOUNT))
        .to_string_lossy()
        .into_owned()
}

/// The entry of a variable; of several the last, as for Kubernetes.
fn entry_mut<'a>(env: &'a mut [Value], variable: &str) -> Option<&'a mut Object> {
    env.iter_mut()
        .filter_map(Value::as_object_mut)
        .rfind(|entry| fields::name(entry) == variable)
}

fn replace(entry: &mut Object, container: &str, variable: &str, ours: &str, record: &mut Record) {
    match entry.insert("value".to_owned(), ours.into()) {
        Some(Value::String(before)) => record.replaced(container, variable, &before),
        _ => record.made.push(value_of(container, variable)),
    }
}

/// The record's name of the value of a variable that was named without one.
fn value_of(container: &str, variable: &str) -> String {
    format!("{container}/env/{variable}")
}

/// Sees to it that nothing is lost by replacing this value: `Ok`, with what is
/// worth saying about it, or why not.
fn taken_over(
    entry: &Object,
    mounts: &[Object],
    around: &Around<'_>,
    roots: &mut UserRoots,
) -> Result<Option<String>, String> {
    if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
        return Err("its value comes from elsewhere and cannot be seen".to_owned());
    }
    let value = match entry.get("value") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(value)) => value,
        Some(_) => return Err("its value is not text".to_owned()),
    };
    if value.is_empty() {
        return Ok(None);
    }
    let path = Path::new(value);
    let plain = path.is_absolute()
        && !value.contains("$(")
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain {
        return Err(format!("`{value}` is not the plain path of a file"));
    }
    let mount = mounts
        .iter()
        .filter_map(|mount| {
            let rest = path.strip_prefix(fields::text(mount, "mountPath")?).ok()?;
            Some((mount, rest))
        })
        .min_by_key(|(_, rest)| rest.components().count());
    match mount {
        Some((mount, rest)) => {
            let volume = fields::name(mount);
            if fields::text(mount, "subPathExpr").is_some_and(|expr| !expr.is_empty()) {
                return Err(format!("{value} is in a mount with a subPathExpr"));
            }
            readable(volume, around)?;
            roots.add(volume, fields::text(mount, "subPath"), rest);
            Ok(None)
        }
        None if SYSTEM_BUNDLES.contains(&value.as_str()) => Ok(Some(format!(
            "{value} of the image gives way to the roots of weir's image: if yours has more, put \
             them into a ConfigMap for the annotation weir.dev/roots"
        ))),
        None => Err(format!(
            "{value} is in the image, where weir cannot read it"
        )),
    }
}

/// Whether the proxy finds the volume's files when it starts, and may read them.
fn readable(volume: &str, around: &Around<'_>) -> Result<(), String> {
    let source = around
        .volumes
        .iter()
        .filter_map(Value::as_object)
        .find(|one| fields::name(one) == volume);
    let Some(source) = source else {
        return Err(format!("its volume {volume} is not in the pod"));
    };
    for kind in ["emptyDir", "ephemeral"] {
        if source.contains_key(kind) {
            return Err(format!(
                "its volume {volume} is empty until the application has filled it"
            ));
        }
    }
    let modes = ["configMap", "secret", "projected", "downwardAPI"]
        .into_iter()
        .filter_map(|kind| fields::object(source, kind).present())
        .flat_map(|kind| {
            let items = fields::elements(kind, "items").filter_map(|item| item.get("mode"));
            kind.get("defaultMode").into_iter().chain(items)
        })
        .filter_map(Value::as_u64);
    for mode in modes {
        if mode & READABLE_BY_OTHERS == 0 && !around.fs_group {
            return Err(format!(
                "its volume {volume} has mode {mode:04o}, which the proxy may not read"
            ));
        }
    }
    Ok(())
}

/// Which variable names a trust store of the user's own.
fn java_store_in(container: &Object) -> Option<&'static str> {
    JAVA_OPTIONS_ANY.into_iter().find(|name| {
        fields::elements(container, "env")
            .filter(|entry| fields::name(entry) == *name)
            .filter_map(|entry| fields::text(entry, "value"))
            .any(|value| value.contains(JAVA_TRUST_STORE))
    })
}

/// Appends to Java's options, and says so if that is not possible.
fn java(env: &mut Vec<Value>, container: &str, place: &str, record: &mut Record) -> Option<String> {
    let ours = java_options();
    let Some(entry) = entry_mut(env, JAVA_OPTIONS) else {
        env.push(json!({"name": JAVA_OPTIONS, "value": ours}));
        return None;
    };
    if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
        return Some(format!(
            "{place}.env[{JAVA_OPTIONS}]: its value comes from elsewhere and stays as it is: Java \
             will refuse weir's CA unless these options are added there: {ours}"
        ));
    }
    let value = match fields::text(entry, "value") {
        None | Some("") => ours,
        Some(existing) => format!("{existing} {ours}"),
    };
    replace(entry, container, JAVA_OPTIONS, &value, record);
    None
}
