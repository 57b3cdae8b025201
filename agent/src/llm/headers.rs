//! The header fields that say something of a model call: a bounded copy.
//!
//! Only fields that are named here are ever copied; those that carry keys,
//! cookies or arguments are not among them.

use std::fmt;

/// Longest value kept, in bytes. Media types with a boundary are the longest
/// that are read.
const VALUE_LEN_MAX: usize = 512;

/// Of a request.
const REQUEST: &[&str] = &[
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
];

/// Of a response.
const RESPONSE: &[&str] = &[
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
];

/// Fields by their lower-case names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(&'static str, String)>);

impl Headers {
    /// Copies what is read of a request. `find` is asked for lower-case names,
    /// and answers with the values, joined by `, ` if there are several.
    #[must_use]
    pub fn of_request(find: impl Fn(&'static str) -> Option<String>) -> Self {
        Self::copy(REQUEST, find)
    }

    /// Copies what is read of a response; `find` is asked in the same way.
    #[must_use]
    pub fn of_response(find: impl Fn(&'static str) -> Option<String>) -> Self {
        Self::copy(RESPONSE, find)
    }

    fn copy(names: &[&'static str], find: impl Fn(&'static str) -> Option<String>) -> Self {
        let found = names.iter().filter_map(|name| {
            let value = find(name).filter(|value| value.len() <= VALUE_LEN_MAX)?;
            Some((*name, value))
        });
        Self(found.collect())
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
    }
}
