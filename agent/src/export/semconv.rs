//! What OpenTelemetry's conventions for generative AI call things, in the two
//! generations that are in use, and what they say about a record.
//!
//! Both the text format and OTLP take from here what they have in common.

use crate::meter::record::{OutcomeKind, Record};

/// Buckets that the conventions advise for token counts.
pub(super) const TOKEN_BUCKETS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Longest value of an attribute, in bytes: names and codes are shorter.
pub(super) const VALUE_LEN_MAX: usize = 200;

/// `error.type`: what the exchange failed by, if it did.
pub(super) fn error_type(record: &Record) -> Option<String> {
    match record.outcome {
        OutcomeKind::Complete => match record.status {
            Some(status) if status >= 400 => Some(status.to_string()),
            // An error within a response that succeeded; its text is a code.
            _ => record.error.clone(),
        },
        OutcomeKind::ClientGone
        | OutcomeKind::UpstreamGone
        | OutcomeKind::Refused
        | OutcomeKind::Aborted => Some(record.outcome.as_str().to_owned()),
    }
}

/// Whether a model generates something in this operation: what the newer
/// conventions call inference.
pub(super) fn is_inference(operation: &str) -> bool {
    matches!(operation, "chat" | "text_completion" | "generate_content")
}

/// A value as attributes can hold it: bounded, on one line.
pub(super) fn plain(value: &str) -> String {
    value
        .get(..value.floor_char_boundary(VALUE_LEN_MAX))
        .unwrap_or_default()
        .chars()
        .map(|char| if char.is_control() { '_' } else { char })
        .collect()
}
