//! One exchange as a span of the conventions for generative AI, or for MCP.
//!
//! A pure function of the record, which holds nothing of the content: what is
//! not in the record cannot be in the span.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{Span, SpanFlags, Status, span::SpanKind, status::StatusCode},
};
use rust_decimal::prelude::ToPrimitive;

use super::attribute::{flag, fraction, list, number, text};
use crate::{
    config::Semconv,
    export::semconv::{error_type, is_inference, mcp, plain},
    llm::{observation::RpcOutcome, tokens::Method},
    meter::{
        record::{Millis, Protocol, Record},
        trace::Trace,
    },
};

/// The schema that names of the current generation are in.
const SCHEMA_CURRENT: &str = "https://opentelemetry.io/schemas/1.41.0";
/// The schema that the newer names are in.
const SCHEMA_DRAFT: &str = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev";

/// The schema of a generation's names.
pub(super) const fn schema_url(semconv: Semconv) -> &'static str {
    match semconv {
        Semconv::Current => SCHEMA_CURRENT,
        Semconv::Draft => SCHEMA_DRAFT,
    }
}

/// The span of an exchange; none if it was not read.
pub(super) fn span(record: &Record, semconv: Semconv) -> Option<Span> {
    let trace = record.trace.as_ref()?;
    let operation = record.operation.as_deref()?;
    let start = record.ts.unix_ms().saturating_mul(1_000_000);
    let error = error_type(record);
    Some(Span {
        trace_id: trace.trace_id.bytes().to_vec(),
        span_id: trace.span_id.bytes().to_vec(),
        parent_span_id: trace
            .parent_span_id
            .map(|id| id.bytes().to_vec())
            .unwrap_or_default(),
        trace_state: trace.state.clone().unwrap_or_default(),
        flags: flags(trace),
        name: name(operation, record),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanos(record.duration_ms)),
        attributes: attributes(record, operation, error.as_deref(), semconv),
        status: Some(match &error {
            None => Status::default(),
            Some(error) => Status {
                code: StatusCode::Error.into(),
                message: record.error.clone().unwrap_or_else(|| error.clone()),
            },
        }),
        ..Span::default()
    })
}

fn name(operation: &str, record: &Record) -> String {
    if let Some((rpc, method)) = mcp(record) {
        return match &rpc.tool {
            Some(tool) => format!("{} {}", plain(method), plain(tool)),
            None => plain(method),
        };
    }
    match &record.request_model {
        Some(model) => format!("{operation} {}", plain(model)),
        None => operation.to_owned(),
    }
}

/// The flags of the context, and that its parent is in another process.
fn flags(trace: &Trace) -> u32 {
    let own = u32::from(trace.parent_flags.unwrap_or_default()) | 1;
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = match trace.parent_span_id {
        Some(_) => SpanFlags::ContextIsRemoteMask as u32,
        None => 0,
    };
    own | known | remote
}

fn attributes(
    record: &Record,
    operation: &str,
    error: Option<&str>,
    semconv: Semconv,
) -> Vec<KeyValue> {
    let texts = [
        ("gen_ai.request.model", record.request_model.as_deref()),
        ("gen_ai.response.model", record.response_model.as_deref()),
        ("gen_ai.response.id", record.response_id.as_deref()),
        ("server.address", record.host.as_deref()),
        ("error.type", error),
        (
            "openai.response.service_tier",
            record
                .service_tier
                .as_deref()
                .filter(|_| record.provider.as_deref() == Some("openai")),
        ),
        ("weir.exchange.id", Some(record.id.as_str())),
        (
            "weir.tokens.provenance",
            Some(record.tokens_provenance.as_str()),
        ),
        (
            "weir.tokens.method",
            record.tokens_method.map(Method::as_str),
        ),
        (
            "weir.cost.provenance",
            Some(record.cost_provenance.as_str()),
        ),
        ("weir.cost.price_table", record.price_table.as_deref()),
        ("weir.outcome", Some(record.outcome.as_str())),
        (
            "weir.process.executable",
            record.process.as_ref().and_then(|it| it.exe.as_deref()),
        ),
    ];
    let cache_write = match semconv {
        Semconv::Current => "gen_ai.usage.cache_creation.input_tokens",
        Semconv::Draft => "gen_ai.usage.cache_write.input_tokens",
    };
    let numbers = [
        ("gen_ai.usage.input_tokens", record.input_tokens),
        ("gen_ai.usage.output_tokens", record.output_tokens),
        (
            "gen_ai.usage.cache_read.input_tokens",
            record.cache_read_tokens,
        ),
        (cache_write, record.cache_write_tokens),
        (
            "gen_ai.usage.reasoning.output_tokens",
            record.reasoning_tokens,
        ),
        ("server.port", record.port.map(u64::from)),
        ("http.response.status_code", record.status.map(u64::from)),
        ("http.request.resend_count", record.retry.map(u64::from)),
        (
            "weir.process.pid",
            record.process.as_ref().and_then(|it| it.pid).map(u64::from),
        ),
    ];
    let mut all = what(record, operation);
    all.extend(
        texts
            .iter()
            .filter_map(|(key, value)| Some(text(key, (*value)?))),
    );
    all.extend(
        numbers
            .iter()
            .filter_map(|(key, count)| Some(number(key, (*count)?))),
    );
    all.extend(finish_reasons(record, operation, semconv));
    all.extend(
        record
            .stream
            .map(|stream| flag("gen_ai.request.stream", stream)),
    );
    all.extend(
        record
            .time_to_first_chunk_ms
            .map(|first| fraction("gen_ai.response.time_to_first_chunk", first.as_secs_f64())),
    );
    let cost = record.cost_usd.and_then(|cost| cost.to_f64());
    all.extend(cost.map(|cost| fraction("weir.cost.usd", cost)));
    if !record.rules.is_empty() {
        all.push(list("weir.rules", record.rules.iter().map(AsRef::as_ref)));
    }
    all
}

/// What was done: an operation of a provider's, or a call of an MCP server.
fn what(record: &Record, operation: &str) -> Vec<KeyValue> {
    let Some((rpc, method)) = mcp(record) else {
        let mut what = vec![text("gen_ai.operation.name", operation)];
        let provider = record.provider.as_deref();
        what.extend(provider.map(|provider| text("gen_ai.provider.name", provider)));
        return what;
    };
    let version = match record.protocol {
        Protocol::H1 => Some("1.1"),
        Protocol::H2 => Some("2"),
        Protocol::WebSocket | Protocol::Tls | Protocol::Tcp => None,
    };
    let is_tool = operation == "execute_tool";
    // The number of an error of JSON-RPC, which travels with status 200.
    let status = record
        .error
        .as_deref()
        .filter(|error| rpc.outcome == Some(RpcOutcome::Error) && error.parse::<i64>().is_ok());
    let texts = [
        ("mcp.method.name", Some(method)),
        ("gen_ai.operation.name", is_tool.then_some(operation)),
        ("gen_ai.tool.name", rpc.tool.as_deref()),
        ("rpc.response.status_code", status),
        ("network.transport", Some("tcp")),
        ("network.protocol.name", Some("http")),
        ("network.protocol.version", version),
    ];
    let known = texts
        .iter()
        .filter_map(|(key, value)| Some(text(key, (*value)?)));
    known.collect()
}

/// Why each choice ended. The draft has a word for one that did not end.
fn finish_reasons(record: &Record, operation: &str, semconv: Semconv) -> Option<KeyValue> {
    let cut = semconv == Semconv::Draft
        && record.stream == Some(true)
        && is_inference(operation)
        && error_type(record).is_some();
    let reason = record.finish_reason.as_deref().or(cut.then_some("error"))?;
    Some(list("gen_ai.response.finish_reasons", [reason]))
}

fn nanos(duration: Millis) -> u64 {
    u64::try_from(duration.duration().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::llm::observation::Rpc;
    use crate::meter::{
        record::{OutcomeKind, tests::golden},
        trace::Parent,
    };

    fn record() -> Record {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Record {
            trace: Some(Trace::continuing(
                Parent::parse(parent, Some("vendor=1")),
                || 9,
            )),
            port: Some(443),
            ..golden()
        }
    }

    fn value<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
        let found = span.attributes.iter().find(|pair| pair.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    fn says(span: &Span, key: &str) -> Option<String> {
        let value = value(span, key)?;
        if let Value::StringValue(text) = value {
            return Some(text.clone());
        }
        Some(format!("{value:?}"))
    }

    #[test]
    fn an_exchange_is_a_client_span_below_that_of_the_application() {
        let span = span(&record(), Semconv::Current).expect("it was read");
        assert_eq!(span.name, "chat gpt-4o-mini");
        assert_eq!(span.kind(), SpanKind::Client);
        assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(span.trace_state, "vendor=1");
        assert_eq!(span.flags & 0x3ff, 0x301);
        assert_eq!(
            span.end_time_unix_nano - span.start_time_unix_nano,
            1_234_500_000
        );
        for (key, expected) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o-mini"),
            ("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
            ("server.address", "api.openai.com"),
            ("server.port", "IntValue(443)"),
            ("gen_ai.usage.input_tokens", "IntValue(1200)"),
            ("gen_ai.usage.cache_read.input_tokens", "IntValue(1024)"),
            ("gen_ai.request.stream", "BoolValue(true)"),
            (
                "gen_ai.response.time_to_first_chunk",
                "DoubleValue(0.21025)",
            ),
            ("weir.cost.usd", "DoubleValue(0.000127)"),
            ("weir.cost.price_table", "2026-11-20"),
            ("http.request.resend_count", "IntValue(1)"),
        ] {
            assert_eq!(says(&span, key).as_deref(), Some(expected), "{key}");
        }
        // What is not known is not there.
        assert_eq!(
            says(&span, "gen_ai.usage.cache_creation.input_tokens"),
            None
        );
        assert_eq!(says(&span, "error.type"), None);
        assert_eq!(span.status.map(|it| it.code), Some(0));
    }

    #[test]
    fn a_failure_has_its_type_in_both_places() {
        let record = Record {
            status: Some(429),
            error: Some("rate_limit_exceeded".into()),
            finish_reason: None,
            ..record()
        };
        let span = span(&record, Semconv::Current).expect("it was read");
        assert_eq!(says(&span, "error.type").as_deref(), Some("429"));
        let status = span.status.expect("set");
        assert_eq!(status.code(), StatusCode::Error);
        assert_eq!(status.message, "rate_limit_exceeded");
    }

    #[test]
    fn the_draft_has_other_names() {
        let record = Record {
            cache_write_tokens: Some(7),
            finish_reason: None,
            outcome: OutcomeKind::UpstreamGone,
            ..record()
        };
        let draft = span(&record, Semconv::Draft).expect("it was read");
        assert!(value(&draft, "gen_ai.usage.cache_write.input_tokens").is_some());
        assert!(value(&draft, "gen_ai.usage.cache_creation.input_tokens").is_none());
        assert!(value(&draft, "gen_ai.response.finish_reasons").is_some());
        let current = span(&record, Semconv::Current).expect("it was read");
        assert!(value(&current, "gen_ai.usage.cache_creation.input_tokens").is_some());
        assert!(value(&current, "gen_ai.response.finish_reasons").is_none());
    }

    #[test]
    fn a_call_of_a_tool_has_the_names_of_mcp() {
        let failed = Record {
            operation: Some("execute_tool".into()),
            request_model: None,
            error: None,
            rpc: Some(Rpc {
                method: Some("tools/call".into()),
                tool: Some("measure".into()),
                outcome: Some(RpcOutcome::ToolError),
            }),
            ..record()
        };
        let span_of = |record: &Record| span(record, Semconv::Current).expect("it was read");
        let span = span_of(&failed);
        assert_eq!(span.name, "tools/call measure");
        for (key, expected) in [
            ("mcp.method.name", Some("tools/call")),
            ("gen_ai.operation.name", Some("execute_tool")),
            ("gen_ai.tool.name", Some("measure")),
            ("error.type", Some("tool_error")),
            ("network.protocol.version", Some("2")),
            ("gen_ai.provider.name", None),
        ] {
            assert_eq!(says(&span, key).as_deref(), expected, "{key}");
        }
        let unknown = Record {
            operation: Some("mcp".into()),
            error: Some("-32601".into()),
            rpc: Some(Rpc {
                method: Some("tools/dance".into()),
                tool: None,
                outcome: Some(RpcOutcome::Error),
            }),
            ..failed
        };
        let span = span_of(&unknown);
        assert_eq!(span.name, "tools/dance");
        assert_eq!(says(&span, "gen_ai.operation.name"), None);
        assert_eq!(
            says(&span, "rpc.response.status_code").as_deref(),
            Some("-32601")
        );
        assert_eq!(says(&span, "error.type").as_deref(), Some("-32601"));
    }

    #[test]
    fn what_was_not_read_has_no_span() {
        let spliced = Record {
            trace: None,
            operation: None,
            ..record()
        };
        assert_eq!(span(&spliced, Semconv::Current), None);
    }
}
