use serde_json::json;

use super::{Paint, Table};
use crate::demo::evidence::{Record, Sent, Totals};
use crate::demo::verdict::{Agreement, Row, Verdict};

fn verdict(agreement: Agreement, findings: &[&str]) -> Verdict {
    let sent: Sent = serde_json::from_value(json!({
        "api": "messages", "http": "2", "authority": "h", "response_id": "i", "stream": true,
        "input_tokens": 2045, "output_tokens": 36, "cache_read_tokens": 2040,
        "cache_write_tokens": 0, "reasoning_tokens": 0, "ended": "complete",
    }))
    .unwrap();
    let record: Record = serde_json::from_value(json!({
        "decision": "intercept", "reason": "r", "host": "h", "request_model": "a-model",
        "response_id": "i", "stream": true, "protocol": "h2", "input_tokens": 2045,
        "output_tokens": 36, "cache_read_tokens": 2040, "tokens_provenance": "measured",
        "cost_usd": 0.001_167, "cost_provenance": "priced", "time_to_first_chunk_ms": 121.4,
        "bytes_sent": 1234, "bytes_received": 5, "outcome": "complete",
    }))
    .unwrap();
    Verdict {
        rows: vec![Row {
            client: Some("python anthropic".to_owned()),
            sent,
            record: Some(record.clone()),
            agreement,
        }],
        spliced: vec![Record {
            host: Some("docs.example.org".to_owned()),
            ..record
        }],
        totals: Totals {
            exchanges: 1,
            input_tokens: Some(2045),
            output_tokens: Some(36),
            cache_read_tokens: Some(2040),
            cost_usd: Some(0.001_167),
        },
        findings: findings.iter().map(|&finding| finding.into()).collect(),
    }
}

#[test]
fn a_row_stands_under_its_titles_and_the_last_line_says_it_all() {
    let verdict = verdict(Agreement::Equal, &[]);
    let table = Table::new(&verdict, Paint::Plain).to_string();
    let expected = [
        "input output first",
        "client api stream http model weir sent cached weir sent = cost chunk",
        "python anthropic messages yes h2 a-model 2,045 2,045 2,040 36 36 ✓ $0.0011670 121 ms",
    ];
    for (line, expected) in table.lines().zip(expected) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), expected);
    }
    let column = |line: usize, text: &str| {
        let line = table.lines().nth(line).unwrap();
        line[..line.find(text).unwrap() + text.len()]
            .chars()
            .count()
    };
    assert_eq!(column(1, "cost"), column(2, "$0.0011670"));
    assert_eq!(column(1, "cached"), column(2, "2,040"));
    assert!(table.contains("docs.example.org, passed on undecrypted (r): 1,234 bytes sent"));
    let last = table.lines().last().unwrap();
    assert_eq!(
        last,
        "every token count equals what the provider said it sent (1 exchange)"
    );
}

#[test]
fn a_number_that_differs_is_marked_and_the_last_line_does_not_praise() {
    let verdict = verdict(Agreement::Different, &["one thing is wrong"]);
    let table = Table::new(&verdict, Paint::Plain).to_string();
    assert!(table.lines().nth(2).unwrap().contains('✗'), "{table}");
    assert!(table.contains("✗ one thing is wrong"), "{table}");
    assert!(!table.contains('✓'), "{table}");
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("0 of 1 exchange "), "{last}");
}

#[test]
fn colours_do_not_move_columns() {
    let verdict = verdict(Agreement::Equal, &[]);
    let coloured = Table::new(&verdict, Paint::Coloured).to_string();
    let mut plain = String::new();
    for part in coloured.split('\x1b') {
        plain.push_str(
            part.split_once('m')
                .filter(|_| part.starts_with('['))
                .map_or(part, |it| it.1),
        );
    }
    assert_ne!(coloured, plain);
    assert_eq!(plain, Table::new(&verdict, Paint::Plain).to_string());
}
