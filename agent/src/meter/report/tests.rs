use serde_json::Value;

use super::*;
use crate::llm::usage::Provenance;
use crate::meter::reason::{Decision, Reason};
use crate::meter::record::tests::golden;
use crate::meter::record::{CostProvenance, OutcomeKind};

fn estimated() -> Record {
    Record {
        provider: Some("anthropic".into()),
        request_model: Some("claude-sonnet-4-6".into()),
        response_model: Some("claude-sonnet-4-6".into()),
        input_tokens: Some(12),
        output_tokens: Some(3),
        cache_read_tokens: None,
        tokens_provenance: Provenance::Estimated,
        cost_usd: Some("0.000081".parse().expect("a decimal")),
        outcome: OutcomeKind::ClientGone,
        error: Some("client disconnected".into()),
        ..golden()
    }
}

fn unknown() -> Record {
    Record {
        response_model: None,
        request_model: Some("in-house".into()),
        input_tokens: None,
        output_tokens: None,
        cache_read_tokens: None,
        reasoning_tokens: None,
        tokens_provenance: Provenance::Unknown,
        cost_usd: None,
        cost_provenance: CostProvenance::Unpriced,
        price_table: None,
        stream: Some(false),
        time_to_first_chunk_ms: None,
        ..golden()
    }
}

fn spliced(host: &str) -> Record {
    Record {
        decision: Decision::Splice,
        reason: Reason::NotInCatalogue,
        host: Some(host.into()),
        operation: None,
        ..unknown()
    }
}

fn report(records: impl IntoIterator<Item = Record>) -> Report {
    let mut report = Report::new();
    records.into_iter().for_each(|record| report.add(record));
    report
}

fn json(report: &Report) -> Value {
    serde_json::from_str(&report.to_json()).expect("a report is JSON")
}

#[test]
fn totals_add_up_what_is_known() {
    let report = report([
        golden(),
        estimated(),
        unknown(),
        spliced("a.example"),
        spliced("a.example"),
    ]);
    let json = json(&report);
    let totals = &json["totals"];
    assert_eq!(json["exchanges"].as_array().map(Vec::len), Some(5));
    for (name, expected) in [
        ("exchanges", 3),
        ("errors", 1),
        ("exchanges_omitted", 0),
        ("input_tokens", 1212),
        ("output_tokens", 43),
        ("cache_read_tokens", 1024),
        ("estimated_exchanges", 1),
        ("unknown_exchanges", 1),
        ("unpriced_exchanges", 1),
    ] {
        assert_eq!(totals[name], expected, "{name}");
    }
    assert_eq!(totals["cache_write_tokens"], Value::Null);
    assert!(report.to_json().contains(r#""cost_usd":0.000208,"#));
    assert_eq!(totals["by_decision"]["intercept"], 3);
    assert_eq!(totals["by_decision"]["splice"], 2);
    let models: Vec<_> = totals["by_model"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| (model["model"].as_str(), model["exchanges"].as_u64()))
        .collect();
    assert_eq!(
        models,
        [
            (Some("claude-sonnet-4-6"), Some(1)),
            (Some("gpt-4o-mini-2024-07-18"), Some(1)),
            (Some("in-house"), Some(1)),
        ]
    );
    assert_eq!(totals["by_model"][2]["cost_usd"], Value::Null);
    let group = &totals["not_inspected"][0];
    assert_eq!(
        (&group["host"], &group["connections"]),
        (&"a.example".into(), &2.into())
    );
    assert_eq!(group["reason"], "not_in_catalogue");
}

#[test]
fn calls_that_were_left_unread_are_counted_and_said() {
    let not_read = Record {
        reason: Reason::BodiesNotRead,
        ..unknown()
    };
    let report = report([golden(), not_read]);
    assert_eq!(json(&report)["totals"]["exchanges_not_read"], 1);
    let table = report.to_table(100);
    assert!(
        table.contains("1 not read, as configured (models.bodies: leave)"),
        "{table}"
    );
}

#[test]
fn records_in_the_report_are_records() {
    let written: Vec<Record> =
        serde_json::from_value(json(&report([golden()]))["exchanges"].take())
            .expect("the list holds records");
    assert_eq!(written, [golden()]);
}

#[test]
fn totals_outlive_the_records() {
    let report = report((0..RECORDS_KEPT_MAX + 7).map(|_| golden()));
    assert_eq!(report.records().len(), RECORDS_KEPT_MAX);
    assert_eq!(report.totals().exchanges_omitted, 7);
    assert_eq!(
        report.totals().sums.input_tokens,
        Some(1200 * (RECORDS_KEPT_MAX as u64 + 7))
    );
}

#[test]
fn models_and_hosts_are_bounded() {
    let report = report((0..500).flat_map(|n| {
        let model = Record {
            response_model: Some(format!("m{n:03}")),
            ..golden()
        };
        [model, spliced(&format!("h{n}.example"))]
    }));
    let totals = report.totals();
    assert_eq!(
        (totals.by_model.len(), totals.not_inspected.len()),
        (201, 201)
    );
    let others = totals
        .by_model
        .values()
        .find(|model| model.model == "other");
    assert_eq!(others.map(|model| model.exchanges), Some(300));
}

#[test]
fn a_table_shows_every_call_and_what_was_not_inspected() {
    let refused = Record {
        decision: Decision::Refuse,
        reason: Reason::UpstreamCertificate,
        bytes_sent: 0,
        bytes_received: 0,
        ..spliced("api.openai.com")
    };
    let records = [
        golden(),
        estimated(),
        unknown(),
        spliced("a.example"),
        spliced("a.example"),
        refused,
    ];
    let table = report(records).to_table(200);
    let expected = "\
provider   model                   operation  stream  status   input  cached  output        cost   first    total  process        note
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
openai     gpt-4o-mini-2024-07-18  chat       yes        200   1,200   1,024      40   $0.000127  210 ms   1.23 s  python3[4321]
anthropic  claude-sonnet-4-6       chat       yes        200     ~12       -      ~3  ~$0.000081  210 ms   1.23 s  python3[4321]  client disconnected
openai     in-house                chat       no         200       ?       -       ?           ?       -   1.23 s  python3[4321]
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
3 calls                                                       ~1,212   1,024     ~43  ~$0.000208
~ estimated from the length of the text; ? unknown, not in the totals; 1 call without a price

not inspected
    2\u{d7}  a.example  (not_in_catalogue; 10.2 kB sent, 4.0 kB received)

refused
    1\u{d7}  api.openai.com  (upstream_certificate; 0 B sent, 0 B received)
";
    let squeeze = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(squeeze(&table), squeeze(expected), "\n{table}");
    let widths: Vec<usize> = table
        .lines()
        .take(7)
        .map(|line| line.chars().count())
        .collect();
    assert_eq!(widths[1], widths[5], "\n{table}");
    assert!(widths.iter().all(|width| *width <= widths[1]), "\n{table}");
}

#[test]
fn a_table_leaves_columns_out_to_fit() {
    let report = report([golden(), estimated()]);
    for width in [80, 100, 120, 160] {
        let table = report.to_table(width);
        let calls = table.lines().take_while(|line| !line.starts_with('~'));
        for line in calls {
            assert!(line.chars().count() <= width, "{width}\n{table}");
        }
        for title in ["model", "input", "output", "cost"] {
            assert!(
                table
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains(title)),
                "{width}\n{table}"
            );
        }
    }
    assert!(!report.to_table(80).contains("note"));
}

#[test]
fn a_long_run_is_summed_up_by_model() {
    let table = report((0..1234).map(|_| golden())).to_table(160);
    assert!(table.contains("the last 50 of 1234 calls"), "{table}");
    assert!(table.contains("1,480,800"), "{table}");
    assert!(table.lines().count() < 70, "{table}");
}

#[test]
fn a_run_without_calls_says_so() {
    assert_eq!(Report::new().to_table(80), "no model calls\n");
}

#[test]
fn nothing_from_outside_reaches_the_terminal_raw() {
    let record = Record {
        error: Some("\u{1b}[2J".into()),
        ..golden()
    };
    assert!(!live_line(&record).contains('\u{1b}'));
    let host = Record {
        host: Some("\u{1b}]0;x\u{7}".into()),
        ..spliced("")
    };
    assert!(!live_line(&host).contains('\u{1b}'));
    assert!(!report([record, host]).to_table(300).contains('\u{1b}'));
}

#[test]
fn a_line_says_what_a_call_was() {
    assert_eq!(
        live_line(&golden()),
        "openai  gpt-4o-mini-2024-07-18  chat  stream  200  in 1,200  (1,024 cached)  out 40  \
         $0.000127  first 210 ms  total 1.23 s  python3[4321]"
    );
    assert_eq!(
        live_line(&Record {
            stream: Some(false),
            process: None,
            ..unknown()
        }),
        "openai  in-house  chat  -  200  in ?  out ?  ?  total 1.23 s"
    );
    let failed = Record {
        status: Some(429),
        ..unknown()
    };
    let line = live_line(&failed);
    assert!(line.contains("429  in -  out -  -  total"), "{line}");
    assert_eq!(
        live_line(&spliced("a.example")),
        "not inspected: a.example (not_in_catalogue)"
    );
    let refused = Record {
        decision: Decision::Refuse,
        reason: Reason::UpstreamCertificate,
        error: Some("expired".into()),
        ..spliced("a.example")
    };
    assert_eq!(
        live_line(&refused),
        "refused: a.example (upstream_certificate): expired"
    );
}

#[test]
fn what_the_kernel_did_not_hand_over_is_said() {
    let mut report = Report::new();
    let flows = [
        ("redirected", 3),
        ("quic_refused", 2),
        ("quic_allowed", 0),
        ("loopback", 9),
    ];
    report.set_flows(flows.map(|(name, count)| (name.to_owned(), count)).to_vec());
    let table = report.to_table(100);
    assert!(
        table.contains("not captured\n    2\u{d7}  UDP to a captured port: refused"),
        "{table}"
    );
    assert_eq!(table.matches('\u{d7}').count(), 1, "{table}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let expected = serde_json::json!({"loopback": 9, "quic_refused": 2, "redirected": 3});
    assert_eq!(json["totals"]["flows"], expected);
}
