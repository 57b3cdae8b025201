//! Header fields of a reply, with their spelling and order.
//!
//! [`http::HeaderMap`] lower-cases names and groups duplicates; a proxy under
//! test must be seen to keep both, so replies are a list.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// An ordered list of header fields, spelled as they go on an HTTP/1 wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(Cow<'static, str>, String)>);

impl Fields {
    /// No fields.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The list with one field more.
    pub(crate) fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.push(name, value);
        self
    }

    /// Appends a field.
    pub(crate) fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Appends the fields of another list.
    pub(crate) fn extend(&mut self, other: Fields) {
        self.0.extend(other.0);
    }

    /// The fields in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// As HTTP/2 carries them; a field that cannot be one is left out.
    pub(crate) fn to_header_map(&self) -> HeaderMap {
        self.iter()
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value).ok()?))
            })
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }
}
