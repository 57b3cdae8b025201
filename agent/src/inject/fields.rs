//! Fields of a manifest: read strictly, and made where they are missing.
//!
//! A manifest is what somebody wrote, so a list may be missing, or `null`,
//! which Kubernetes takes for the same. Both are remembered, so that removal
//! can leave the field as it was.

use serde_json::{Map, Value};

use super::record::Record;

/// An object of a manifest.
pub(super) type Object = Map<String, Value>;

/// What a field holds that is read as `T`.
pub(super) enum Field<'a, T> {
    /// Nothing, or `null`.
    Absent,
    /// It.
    Present(&'a T),
    /// Something of another kind.
    Other,
}

impl<'a, T> Field<'a, T> {
    pub(super) fn present(self) -> Option<&'a T> {
        match self {
            Self::Present(it) => Some(it),
            Self::Absent | Self::Other => None,
        }
    }
}

pub(super) fn list<'a>(object: &'a Object, field: &str) -> Field<'a, Vec<Value>> {
    match object.get(field) {
        None | Some(Value::Null) => Field::Absent,
        Some(Value::Array(list)) => Field::Present(list),
        Some(_) => Field::Other,
    }
}

pub(super) fn object<'a>(object: &'a Object, field: &str) -> Field<'a, Object> {
    match object.get(field) {
        None | Some(Value::Null) => Field::Absent,
        Some(Value::Object(object)) => Field::Present(object),
        Some(_) => Field::Other,
    }
}

/// The elements of a list that are objects; none if there is no list.
pub(super) fn elements<'a>(
    owner: &'a Object,
    field: &str,
) -> impl DoubleEndedIterator<Item = &'a Object> {
    list(owner, field)
        .present()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
}

/// As [`elements`], to be changed.
pub(super) fn elements_mut<'a>(
    owner: &'a mut Object,
    field: &str,
) -> impl DoubleEndedIterator<Item = &'a mut Object> {
    owner
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

pub(super) fn text<'a>(object: &'a Object, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

/// The `name` of a container, volume or variable.
pub(super) fn name(object: &Object) -> &str {
    text(object, "name").unwrap_or_default()
}

/// The list `field` of `owner`, made if it is missing; `place` is its name in
/// the record.
///
/// # Panics
/// Never for a field that was read as a list before.
pub(super) fn list_mut<'a>(
    owner: &'a mut Object,
    field: &str,
    place: &str,
    record: &mut Record,
) -> &'a mut Vec<Value> {
    make(owner, field, place, record, Value::Array(Vec::new()))
        .as_array_mut()
        .expect("it was checked to be a list, or made as one")
}

/// As [`list_mut`], for an object.
///
/// # Panics
/// Never for a field that was read as an object before.
pub(super) fn object_mut<'a>(
    owner: &'a mut Object,
    field: &str,
    place: &str,
    record: &mut Record,
) -> &'a mut Object {
    make(owner, field, place, record, Value::Object(Map::new()))
        .as_object_mut()
        .expect("it was checked to be an object, or made as one")
}

fn make<'a>(
    owner: &'a mut Object,
    field: &str,
    place: &str,
    record: &mut Record,
    empty: Value,
) -> &'a mut Value {
    let value = owner.entry(field).or_insert_with(|| {
        record.made.push(place.to_owned());
        empty.clone()
    });
    if value.is_null() {
        record.null.push(place.to_owned());
        *value = empty;
    }
    value
}

/// Leaves an empty field as it was before [`list_mut`] or [`object_mut`].
pub(super) fn unmake(owner: &mut Object, field: &str, place: &str, record: &Record) {
    let empty = match owner.get(field) {
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(object)) => object.is_empty(),
        _ => false,
    };
    if !empty {
        return;
    }
    if record.made.iter().any(|made| made == place) {
        owner.shift_remove(field);
    } else if record.null.iter().any(|null| null == place) {
        owner.insert(field.to_owned(), Value::Null);
    }
}
