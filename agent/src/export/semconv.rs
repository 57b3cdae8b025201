//! What OpenTelemetry's conventions for generative AI and for MCP call things, and
//! what they say about a record.
//!
//! Both the text format and OTLP take from here what they have in common.

use crate::{
    llm::observation::{Rpc, RpcOutcome},
    meter::record::{OutcomeKind, Record},
};

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

/// Buckets that the conventions advise for the durations of MCP, in seconds.
pub(super) const MCP_BUCKETS: &[f64] = &[
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Longest value of an attribute, in bytes: names and codes are shorter.
pub(super) const VALUE_LEN_MAX: usize = 200;

/// `error.type`: what the exchange failed by, if it did.
pub(super) fn error_type(record: &Record) -> Option<String> {
    match record.outcome {
        OutcomeKind::Complete => match record.status {
            Some(status) if status >= 400 => Some(status.to_string()),
            _ if has_tool_failed(record) => Some("tool_error".to_owned()),
            // An error within a response that succeeded; its text is a code.
            _ => record.error.clone(),
        },
        OutcomeKind::ClientGone
        | OutcomeKind::UpstreamGone
        | OutcomeKind::Refused
        | OutcomeKind::Aborted => Some(record.outcome.as_str().to_owned()),
    }
}

fn has_tool_failed(record: &Record) -> bool {
    let outcome = record.rpc.as_ref().and_then(|rpc| rpc.outcome);
    outcome == Some(RpcOutcome::ToolError)
}

/// The call, if the exchange is one of the Model Context Protocol, and its
/// method. The operation tells it from one of the Agent2Agent protocol.
pub(super) fn mcp(record: &Record) -> Option<(&Rpc, &str)> {
    let rpc = record.rpc.as_ref()?;
    let is_mcp = matches!(record.operation.as_deref(), Some("execute_tool" | "mcp"));
    // A stream of the server's own has no method.
    let method = rpc.method.as_deref().filter(|_| is_mcp)?;
    Some((rpc, method))
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
