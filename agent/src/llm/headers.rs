//! The header fields that say something of a model call: a bounded copy.
//!
//! Only fields that are named here are ever copied; those that carry keys,
//! cookies or arguments are not among them.

use std::fmt;

/// Longest value kept, in bytes. Media types with a boundary are the longest
/// that are read.
const VALUE_LEN_MAX: usize = 512;

/// Of a request.
const REQUEST: Names = Names::new(&[
    "accept",
    "a2a-version",
    "content-encoding",
    "content-type",
    "grpc-encoding",
    "inference-header-content-length",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "tracestate",
    "upgrade",
    "x-stainless-retry-count",
]);

/// Of a response.
const RESPONSE: Names = Names::new(&[
    "content-encoding",
    "content-type",
    "grpc-encoding",
    "grpc-status",
    "inference-header-content-length",
    "mcp-session-id",
    "sec-websocket-extensions",
    "upgrade",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
    "x-amzn-errortype",
    "x-amzn-requestid",
    "x-generated-tokens",
    "x-prompt-tokens",
]);

/// Names that are read, in lower case.
struct Names {
    names: &'static [&'static str],
    /// A bit for each length that one of them has: most other names have none of
    /// these.
    lengths: u64,
}

impl Names {
    const fn new(names: &'static [&'static str]) -> Self {
        let mut lengths = 0;
        let mut rest = names;
        while let [first, others @ ..] = rest {
            lengths |= 1 << first.len();
            rest = others;
        }
        Self { names, lengths }
    }

    /// The one that is the same, whatever its case.
    fn find(&self, name: &str) -> Option<&'static str> {
        let length = u32::try_from(name.len()).ok()?;
        if self.lengths & 1_u64.checked_shl(length)? == 0 {
            return None;
        }
        let mut names = self.names.iter().copied();
        names.find(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Fields by their lower-case names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(&'static str, String)>);

impl Headers {
    /// Copies what is read of a request. `find` is asked for lower-case names,
    /// and answers with the values, joined by `, ` if there are several.
    #[must_use]
    pub fn of_request(find: impl Fn(&'static str) -> Option<String>) -> Self {
        Self::copy(&REQUEST, find)
    }

    /// Copies what is read of a response; `find` is asked in the same way.
    #[must_use]
    pub fn of_response(find: impl Fn(&'static str) -> Option<String>) -> Self {
        Self::copy(&RESPONSE, find)
    }

    /// Copies what is read of a request, all of whose fields are given by name, in
    /// any case, and value. Values that are no text are passed over.
    pub(crate) fn of_request_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self::pick(&REQUEST, fields)
    }

    /// Copies what is read of a response, given in the same way.
    pub(crate) fn of_response_fields<'a>(
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        Self::pick(&RESPONSE, fields)
    }

    fn copy(names: &Names, find: impl Fn(&'static str) -> Option<String>) -> Self {
        let found = names.names.iter().filter_map(|name| {
            let value = find(name).filter(|value| value.len() <= VALUE_LEN_MAX)?;
            Some((*name, value))
        });
        Self(found.collect())
    }

    fn pick<'a>(names: &Names, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut picked: Vec<(_, String)> = Vec::new();
        for (name, value) in fields {
            let Some(name) = names.find(name) else {
                continue;
            };
            let Ok(value) = std::str::from_utf8(value) else {
                continue;
            };
            match picked.iter_mut().find(|(known, _)| *known == name) {
                None => picked.push((name, value.to_owned())),
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(value);
                }
            }
        }
        picked.retain_mut(|(_, values)| {
            let trimmed = values.trim();
            if trimmed.len() < values.len() {
                *values = trimmed.to_owned();
            }
            values.len() <= VALUE_LEN_MAX
        });
        Self(picked)
    }

    /// The value of a field that is among those copied.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// How many of the first bytes of the body are its document. Tensors follow
    /// it where KServe's binary extension is used.
    #[must_use]
    pub fn document_len(&self) -> u64 {
        self.get("inference-header-content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(u64::MAX)
    }

    /// Whether the list in a field has a member of that name.
    #[must_use]
    pub fn names(&self, field: &str, member: &str) -> bool {
        self.get(field).is_some_and(|list| {
            list.split(',').any(|entry| {
                let essence = entry.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case(member)
            })
        })
    }

    /// The media type, lower-case, without parameters.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let essence = self.get("content-type")?.split(';').next()?;
        Some(essence.trim().to_ascii_lowercase())
    }
}

/// Names only: a value may name a resource.
impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_fields_are_copied_and_none_is_shown() {
        let headers = Headers::of_request(|name| {
            match name {
                "accept" => Some("application/json, Text/Event-Stream; q=0.5"),
                "mcp-name" => Some("secret-tool"),
                "authorization" => Some("Bearer key"),
                _ => None,
            }
            .map(str::to_owned)
        });
        assert_eq!(headers.get("authorization"), None);
        assert!(headers.names("accept", "text/event-stream"));
        assert!(!headers.names("accept", "text/html"));
        assert_eq!(format!("{headers:?}"), r#"{"accept", "mcp-name"}"#);
    }

    #[test]
    fn a_value_without_bounds_is_left_out() {
        let long = "x".repeat(VALUE_LEN_MAX + 1);
        let headers = Headers::of_response(|_| Some(long.clone()));
        assert_eq!(headers, Headers::default());
        let fields = [
            ("accept", "a"),
            ("accept", long.as_str()),
            ("mcp-name", "b"),
        ];
        let headers = Headers::of_request_fields(fields.map(bytes).into_iter());
        assert_eq!(format!("{headers:?}"), r#"{"mcp-name"}"#);
    }

    fn bytes<'a>((name, value): (&'a str, &'a str)) -> (&'a str, &'a [u8]) {
        (name, value.as_bytes())
    }

    #[test]
    fn every_field_that_is_named_is_picked_whatever_its_case() {
        for names in [&REQUEST, &RESPONSE] {
            for name in names.names {
                let written = name.to_ascii_uppercase();
                let fields = [
                    ("cookie", "a"),
                    (written.as_str(), "b"),
                    ("x-any-other", "c"),
                ];
                let headers = Headers::pick(names, fields.map(bytes).into_iter());
                assert_eq!(headers.0, [(*name, "b".to_owned())]);
            }
        }
    }

    #[test]
    fn values_of_one_name_are_joined_in_their_order() {
        let fields: [(&str, &[u8]); 6] = [
            ("Accept", b"\xc2\xa0a"),
            ("upgrade", b"\xff"),
            ("accept", b"\xff"),
            ("mcp-name", b""),
            ("ACCEPT", b"b\xc2\xa0"),
            ("accept", b" c\xc2\xa0"),
        ];
        let headers = Headers::of_request_fields(fields.into_iter());
        assert_eq!(headers.get("accept"), Some("a, b\u{a0},  c"));
        assert_eq!(headers.get("mcp-name"), Some(""));
        assert_eq!(headers.get("upgrade"), None);
    }
}
