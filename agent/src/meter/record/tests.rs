use super::*;

/// What the record below looks like. Others rely on it.
const GOLDEN: &str = concat!(
    r#"{"id":"019a9d3d2f000000000000000001","ts":"2026-11-20T12:34:56.789Z","#,
    r#""decision":"intercept","reason":"catalogue_host","host":"api.openai.com","#,
    r#""provider":"openai","operation":"chat","request_model":"gpt-4o-mini","#,
    r#""response_model":"gpt-4o-mini-2024-07-18","response_id":"chatcmpl-1","stream":true,"#,
    r#""status":200,"finish_reason":"stop","input_tokens":1200,"output_tokens":40,"#,
    r#""cache_read_tokens":1024,"cache_write_tokens":null,"reasoning_tokens":0,"#,
    r#""tokens_provenance":"measured","cost_usd":0.000127,"cost_provenance":"priced","#,
    r#""price_table":"2026-11-20","#,
    r#""time_to_first_chunk_ms":210.25,"duration_ms":1234.5,"weir_overhead_us":180,"#,
    r#""process":{"pid":4321,"exe":"/usr/bin/python3"},"error":null,"protocol":"h2","#,
    r#""retry":1,"#,
    r#""rules":["stream_usage"],"bytes_sent":5120,"bytes_received":2048,"#,
    r#""outcome":"complete","service_tier":"default","problems":[]}"#,
);

/// A record with something in every field that can have it.
pub(crate) fn golden() -> Record {
    Record {
        id: "019a9d3d2f000000000000000001".into(),
        ts: "2026-11-20T12:34:56.789Z".parse().expect("well formed"),
        decision: Decision::Intercept,
        reason: Reason::CatalogueHost,
        host: Some("api.openai.com".into()),
        provider: Some("openai".into()),
        operation: Some("chat".into()),
        request_model: Some("gpt-4o-mini".into()),
        response_model: Some("gpt-4o-mini-2024-07-18".into()),
        response_id: Some("chatcmpl-1".into()),
        stream: Some(true),
        status: Some(200),
        finish_reason: Some("stop".into()),
        input_tokens: Some(1200),
        output_tokens: Some(40),
        cache_read_tokens: Some(1024),
        cache_write_tokens: None,
        reasoning_tokens: Some(0),
        tokens_provenance: Provenance::Measured,
        tokens_method: None,
        cost_usd: Some("0.0001270".parse().expect("a decimal")),
        cost_provenance: CostProvenance::Priced,
        price_table: Some("2026-11-20".into()),
        time_to_first_chunk_ms: Some(Duration::from_micros(210_250).into()),
        duration_ms: Duration::from_micros(1_234_500).into(),
        weir_overhead_us: Some(180),
        process: Some(Process {
            pid: Some(4321),
            exe: Some("/usr/bin/python3".into()),
        }),
        error: None,
        protocol: Protocol::H2,
        retry: Some(1),
        rules: vec!["stream_usage".into()],
        bytes_sent: 5120,
        bytes_received: 2048,
        outcome: OutcomeKind::Complete,
        service_tier: Some("default".into()),
        problems: vec![],
        rpc: None,
        port: None,
        trace: None,
        pace: None,
    }
}

#[test]
fn a_record_is_written_as_others_read_it() {
    assert_eq!(
        serde_json::to_string(&golden()).expect("serialises"),
        GOLDEN
    );
}

#[test]
fn a_record_comes_back() {
    let back: Record = serde_json::from_str(GOLDEN).expect("reads its own writing");
    assert_eq!(back, golden());
}

#[test]
fn money_keeps_every_digit() {
    let mut record = golden();
    for digits in [
        "0.0000000000000000000000000001",
        "12345678901234567890.12345678",
        "0",
    ] {
        record.cost_usd = Some(digits.parse().expect("a decimal"));
        let json = serde_json::to_string(&record).expect("serialises");
        assert!(json.contains(&format!("\"cost_usd\":{digits},")), "{json}");
        let back: Record = serde_json::from_str(&json).expect("reads its own writing");
        assert_eq!(back.cost_usd, record.cost_usd);
    }
}

#[test]
fn durations_come_back_to_the_microsecond() {
    for micros in [0, 1, 999, 1_000, 123_457, 86_400_000_001] {
        let millis = Millis::from(Duration::from_micros(micros));
        assert_eq!(Millis::from(f64::from(millis)), millis, "{micros}");
    }
}

#[test]
fn only_successful_calls_that_cost_something_are_billable() {
    let is_billable = |change: &dyn Fn(&mut Record)| {
        let mut record = golden();
        change(&mut record);
        record.is_billable()
    };
    assert!(is_billable(&|_| {}));
    assert!(!is_billable(&|record| record.status = Some(429)));
    assert!(!is_billable(&|record| record.status = None));
    assert!(!is_billable(
        &|record| record.operation = Some("count_tokens".into())
    ));
    assert!(!is_billable(&|record| record.decision = Decision::Splice));
}
