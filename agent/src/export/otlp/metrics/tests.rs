use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::llm::observation::{Rpc, RpcOutcome};
use crate::meter::record::tests::golden;

fn record() -> Record {
    Record {
        port: Some(443),
        ..golden()
    }
}

fn names(record: &Record, semconv: Semconv) -> Vec<&'static str> {
    let mut names: Vec<_> = measured(record, semconv)
        .iter()
        .map(|(instrument, _, _)| instrument.name)
        .collect();
    names.dedup();
    names
}

fn metrics(temporality: Temporality) -> Metrics {
    Metrics::new(Semconv::Current, temporality, Duration::from_secs(1))
}

fn histogram<'a>(metrics: &'a [Metric], name: &str) -> &'a Histogram {
    let metric = metrics.iter().find(|metric| metric.name == name);
    match metric.and_then(|metric| metric.data.as_ref()) {
        Some(Data::Histogram(histogram)) => histogram,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn each_generation_has_its_names_and_none_of_the_other() {
    assert_eq!(
        names(&record(), Semconv::Current),
        [
            "gen_ai.client.operation.duration",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.client.token.usage",
        ]
    );
    assert_eq!(
        names(&record(), Semconv::Draft),
        [
            "gen_ai.client.inference.duration",
            "gen_ai.client.inference.time_to_first_chunk",
            "gen_ai.client.inference.usage.input_tokens",
            "gen_ai.client.inference.operation.input_tokens",
            "gen_ai.client.inference.usage.output_tokens",
            "gen_ai.client.inference.operation.output_tokens",
            "gen_ai.client.inference.usage.cache_read.input_tokens",
            "gen_ai.client.inference.usage.reasoning.output_tokens",
        ]
    );
    let embeddings = Record {
        operation: Some("embeddings".into()),
        ..record()
    };
    assert_eq!(
        names(&embeddings, Semconv::Draft),
        [
            "gen_ai.client.operation.duration",
            "gen_ai.client.operation.time_to_first_chunk",
        ]
    );
}

#[test]
fn only_counts_that_the_provider_stated_are_token_usage() {
    let estimated = Record {
        tokens_provenance: Provenance::Estimated,
        ..record()
    };
    assert!(!names(&estimated, Semconv::Current).contains(&TOKEN_USAGE.name));
    let draft = measured(&estimated, Semconv::Draft);
    let tokens: Vec<_> = draft
        .iter()
        .filter_map(|(instrument, _, amount)| match amount {
            Amount::Tokens(count) => Some((instrument.name, *count)),
            Amount::Seconds(_) | Amount::Gaps(_) => None,
        })
        .collect();
    assert_eq!(tokens, [(INPUT_TOKENS.name, 0), (OUTPUT_TOKENS.name, 0)]);
}

#[test]
fn a_call_of_a_tool_is_in_the_metric_of_mcp_alone() {
    let called = Record {
        operation: Some("execute_tool".into()),
        rpc: Some(Rpc {
            method: Some("tools/call".into()),
            tool: Some("measure".into()),
            outcome: Some(RpcOutcome::Ok),
        }),
        ..record()
    };
    for semconv in [Semconv::Current, Semconv::Draft] {
        assert_eq!(names(&called, semconv), ["mcp.client.operation.duration"]);
    }
    let metrics = metrics(Temporality::Cumulative);
    metrics.observe(&called);
    let collected = metrics.collect(Duration::from_secs(2));
    let duration = histogram(&collected, MCP_DURATION.name);
    assert_eq!(duration.data_points[0].explicit_bounds, MCP_BUCKETS);
    // 1.2345 seconds lie between one and two.
    assert_eq!(duration.data_points[0].bucket_counts[7], 1);
}

#[test]
fn histograms_add_up_in_the_buckets_that_are_advised() {
    let metrics = metrics(Temporality::Cumulative);
    metrics.observe(&record());
    metrics.observe(&record());
    let collected = metrics.collect(Duration::from_secs(3));
    let usage = histogram(&collected, "gen_ai.client.token.usage");
    assert_eq!(usage.data_points.len(), 2, "input and output");
    let input = usage
        .data_points
        .iter()
        .find(|point| {
            point.attributes.iter().any(|pair| {
                let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
                pair.key == "gen_ai.token.type"
                    && value == Some(&Value::StringValue("input".into()))
            })
        })
        .expect("input");
    assert_eq!((input.count, input.sum), (2, Some(2400.0)));
    assert_eq!((input.min, input.max), (Some(1200.0), Some(1200.0)));
    assert_eq!(input.explicit_bounds, TOKEN_BUCKETS);
    assert_eq!(input.bucket_counts.len(), TOKEN_BUCKETS.len() + 1);
    // 1200 lies between 1024 and 4096.
    assert_eq!(input.bucket_counts[6], 2);
    assert_eq!(input.start_time_unix_nano, 1_000_000_000);
    assert_eq!(input.time_unix_nano, 3_000_000_000);
    let again = metrics.collect(Duration::from_secs(4));
    let usage = histogram(&again, "gen_ai.client.token.usage");
    assert_eq!(usage.data_points[0].count, 2, "since the start");
}

#[test]
fn delta_begins_anew_with_each_export() {
    let metrics = metrics(Temporality::Delta);
    metrics.observe(&record());
    let first = metrics.collect(Duration::from_secs(3));
    assert_eq!(
        histogram(&first, "gen_ai.client.operation.duration").aggregation_temporality(),
        AggregationTemporality::Delta
    );
    assert!(metrics.collect(Duration::from_secs(4)).is_empty());
    metrics.observe(&record());
    let next = metrics.collect(Duration::from_secs(5));
    let duration = histogram(&next, "gen_ai.client.operation.duration");
    assert_eq!(duration.data_points[0].count, 1);
    assert_eq!(duration.data_points[0].start_time_unix_nano, 4_000_000_000);
}

#[test]
fn gaps_of_a_stream_are_each_a_measurement() {
    let start = std::time::Instant::now();
    let mut pace = Pace::from(start);
    for ms in [15, 35] {
        pace.arrived(start + Duration::from_millis(ms));
    }
    let metrics = metrics(Temporality::Cumulative);
    metrics.observe(&Record {
        pace: Some(pace),
        ..record()
    });
    let collected = metrics.collect(Duration::from_secs(2));
    let gaps = histogram(&collected, OUTPUT_CHUNK.name);
    let [point] = gaps.data_points.as_slice() else {
        panic!("one series: {gaps:?}");
    };
    assert_eq!(point.count, 2);
    assert_eq!(point.bucket_counts[1], 2, "both in 10 to 20 ms");
    assert_eq!(point.sum, Some(0.035));
}

#[test]
fn series_past_the_bound_are_added_up_under_the_mark() {
    let metrics = metrics(Temporality::Cumulative);
    let before = Bound::OtlpSeries.hits();
    for number in 0..=SERIES_MAX {
        metrics.observe(&Record {
            request_model: Some(format!("model-{number}")),
            time_to_first_chunk_ms: None,
            tokens_provenance: Provenance::Unknown,
            ..record()
        });
    }
    let collected = metrics.collect(Duration::from_secs(2));
    let duration = histogram(&collected, "gen_ai.client.operation.duration");
    assert_eq!(duration.data_points.len(), SERIES_MAX + 1);
    let overflow = duration
        .data_points
        .iter()
        .filter(|point| point.attributes[0].key == "otel.metric.overflow");
    assert_eq!(overflow.map(|point| point.count).collect::<Vec<_>>(), [1]);
    assert!(Bound::OtlpSeries.hits() > before);
}
