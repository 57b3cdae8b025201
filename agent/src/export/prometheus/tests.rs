use super::*;
use crate::llm::observation::{Problem, Rpc, RpcOutcome};
use crate::meter::record::{OutcomeKind, tests::golden};

fn lines(metrics: &Metrics, prefix: &str) -> Vec<String> {
    metrics
        .render()
        .lines()
        .filter(|line| line.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_exchange_is_in_every_metric_it_belongs_to() {
    let metrics = Metrics::new();
    metrics.observe(&golden());
    let text = metrics.render();
    for line in [
        "weir_exchanges_total{operation=\"chat\",outcome=\"complete\",provider=\"openai\",\
         status_class=\"2xx\"} 1",
        "weir_tokens_total{model=\"gpt-4o-mini-2024-07-18\",provenance=\"measured\",\
         provider=\"openai\",type=\"input\"} 1200",
        "weir_tokens_total{model=\"gpt-4o-mini-2024-07-18\",provenance=\"measured\",\
         provider=\"openai\",type=\"cache_read\"} 1024",
        "weir_cost_usd_total{model=\"gpt-4o-mini-2024-07-18\",provider=\"openai\"} 0.000127",
        "weir_overhead_seconds_bucket{le=\"0.00025\"} 1",
        "gen_ai_client_token_usage_bucket{gen_ai_operation_name=\"chat\",\
         gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o-mini\",\
         gen_ai_response_model=\"gpt-4o-mini-2024-07-18\",gen_ai_token_type=\"input\",le=\"4096\"} 1",
        "gen_ai_client_token_usage_bucket{gen_ai_operation_name=\"chat\",\
         gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o-mini\",\
         gen_ai_response_model=\"gpt-4o-mini-2024-07-18\",gen_ai_token_type=\"input\",le=\"1024\"} 0",
        "gen_ai_client_operation_duration_seconds_sum{error_type=\"\",\
         gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",\
         gen_ai_request_model=\"gpt-4o-mini\",\
         gen_ai_response_model=\"gpt-4o-mini-2024-07-18\"} 1.2345",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count{\
         gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",\
         gen_ai_request_model=\"gpt-4o-mini\",\
         gen_ai_response_model=\"gpt-4o-mini-2024-07-18\"} 1",
        "weir_exchanges_unpriced_total 0",
        concat!(
            "weir_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "missing {line}\n{text}"
        );
    }
}

#[test]
fn only_what_is_read_counts_as_inspected() {
    let metrics = Metrics::new();
    metrics.set_kernel_flows(&[0; FlowReason::COUNT]);
    metrics.connection(Decision::Intercept, Reason::CatalogueHost);
    metrics.connection(Decision::Intercept, Reason::BodiesNotRead);
    metrics.connection(Decision::Splice, Reason::NotInCatalogue);
    let redirected = FlowReason::ALL.map(|reason| 4 * u64::from(reason == FlowReason::Redirected));
    metrics.set_kernel_flows(&redirected);
    assert_eq!(
        lines(&metrics, "weir_coverage_ratio{scope=\"captured_ports\"}"),
        ["weir_coverage_ratio{scope=\"captured_ports\"} 0.25"]
    );
    assert_eq!(
        lines(
            &metrics,
            "weir_connections_total{decision=\"intercept\",reason=\"bodies"
        ),
        ["weir_connections_total{decision=\"intercept\",reason=\"bodies_not_read\"} 1"]
    );
}

#[test]
fn unknown_is_not_zero() {
    let metrics = Metrics::new();
    let mut record = golden();
    record.input_tokens = None;
    record.output_tokens = None;
    record.cache_read_tokens = None;
    record.cache_write_tokens = None;
    record.reasoning_tokens = None;
    record.tokens_provenance = Provenance::Unknown;
    record.cost_usd = None;
    record.response_model = None;
    record.problems = vec![Problem::Truncated];
    metrics.observe(&record);
    assert_eq!(lines(&metrics, "weir_tokens_total"), [""; 0]);
    assert_eq!(lines(&metrics, "weir_cost_usd_total"), [""; 0]);
    assert_eq!(lines(&metrics, "gen_ai_client_token_usage"), [""; 0]);
    assert_eq!(
        lines(&metrics, "weir_exchanges_unpriced"),
        ["weir_exchanges_unpriced_total 1"]
    );
    assert_eq!(
        lines(&metrics, "weir_inspect_problems_total"),
        ["weir_inspect_problems_total{kind=\"truncated\"} 1"]
    );
}

#[test]
fn estimates_stay_out_of_the_conventional_metric() {
    let metrics = Metrics::new();
    let mut record = golden();
    record.tokens_provenance = Provenance::Estimated;
    metrics.observe(&record);
    assert_eq!(lines(&metrics, "gen_ai_client_token_usage"), [""; 0]);
    assert!(
        lines(&metrics, "weir_tokens_total")
            .iter()
            .all(|line| line.contains("estimated"))
    );
}

#[test]
fn failures_are_told_apart_by_type() {
    let error_types = |change: &dyn Fn(&mut Record)| {
        let metrics = Metrics::new();
        let mut record = golden();
        change(&mut record);
        metrics.observe(&record);
        let lines = lines(&metrics, "gen_ai_client_operation_duration_seconds_count");
        lines[0]
            .split('"')
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_default()
    };
    assert_eq!(error_types(&|record| record.status = Some(429)), "429");
    assert_eq!(
        error_types(&|record| record.error = Some("overloaded_error".into())),
        "overloaded_error"
    );
    assert_eq!(
        error_types(&|record| record.outcome = OutcomeKind::ClientGone),
        "client_gone"
    );
}

#[test]
fn models_past_the_bound_are_other() {
    let metrics = Metrics::new();
    for model in 0..MODELS_MAX + 5 {
        let mut record = golden();
        record.response_model = Some(format!("model-{model}"));
        metrics.observe(&record);
    }
    // One that is met again does not fit any better.
    let mut last = golden();
    last.response_model = Some(format!("model-{}", MODELS_MAX + 4));
    metrics.observe(&last);
    let others = lines(&metrics, "weir_cost_usd_total{model=\"other\"");
    assert_eq!(others.len(), 1);
    assert_eq!(
        lines(&metrics, "weir_cost_usd_total{").len(),
        MODELS_MAX + 1
    );
    assert!(
        lines(&metrics, "weir_label_overflow_total")
            .contains(&"weir_label_overflow_total{label=\"model\"} 6".to_owned())
    );
}

#[test]
fn more_kinds_of_calls_than_are_kept_are_counted_all_the_same() {
    let metrics = Metrics::new();
    let before = Bound::KeptSeries.hits();
    for round in 0..3 {
        for kind in 0..100 {
            let mut record = golden();
            record.request_model = Some(format!("model-{kind}"));
            record.status = Some(if kind % 2 == 0 { 200 } else { 500 });
            record.input_tokens = (round > 0).then_some(10);
            metrics.observe(&record);
        }
    }
    let exchanges = lines(&metrics, "weir_exchanges_total");
    let ends = |end| exchanges.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((exchanges.len(), ends(" 150")), (2, 2), "{exchanges:?}");
    let usage = lines(&metrics, "gen_ai_client_token_usage_count");
    let of = |kind, end| {
        let is_it = |line: &&String| line.contains(kind) && line.ends_with(end);
        usage.iter().filter(is_it).count()
    };
    assert_eq!((of("\"input\"", " 2"), of("\"output\"", " 3")), (100, 100));
    assert!(Bound::KeptSeries.hits() > before);
}

#[test]
fn what_counts_nothing_is_not_exported() {
    let metrics = Metrics::new();
    let mut record = golden();
    (record.input_tokens, record.cost_usd) = (None, None);
    record.time_to_first_chunk_ms = None;
    metrics.observe(&record);
    for name in [
        "weir_cost_usd_total",
        "gen_ai_client_operation_time_to_first_chunk_seconds",
    ] {
        assert_eq!(lines(&metrics, name), [""; 0]);
    }
    let usage = lines(&metrics, "gen_ai_client_token_usage_count");
    assert_eq!(usage.len(), 1, "{usage:?}");
}

#[test]
fn connections_are_counted_by_decision_and_reason() {
    let metrics = Metrics::new();
    metrics.connection(Decision::Splice, Reason::NotInCatalogue);
    metrics.connection(Decision::Splice, Reason::NotInCatalogue);
    // The record of a connection that was not read is not an exchange.
    let mut record = golden();
    record.operation = None;
    metrics.observe(&record);
    assert_eq!(
        lines(&metrics, "weir_connections_total"),
        ["weir_connections_total{decision=\"splice\",reason=\"not_in_catalogue\"} 2"]
    );
    assert_eq!(lines(&metrics, "weir_exchanges_total"), [""; 0]);
}

#[test]
fn a_call_of_a_tool_is_in_the_metric_of_mcp_and_not_in_those_of_models() {
    let metrics = Metrics::new();
    metrics.observe(&Record {
        operation: Some("execute_tool".into()),
        rpc: Some(Rpc {
            method: Some("tools/call".into()),
            tool: Some("measure".into()),
            outcome: Some(RpcOutcome::ToolError),
        }),
        ..golden()
    });
    assert_eq!(
        lines(&metrics, "mcp_client_operation_duration_seconds_count"),
        [
            "mcp_client_operation_duration_seconds_count{error_type=\"tool_error\",\
             gen_ai_tool_name=\"measure\",mcp_method_name=\"tools/call\"} 1"
        ]
    );
    assert!(lines(&metrics, "gen_ai_").is_empty());
}
