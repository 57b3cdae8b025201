use super::scanner::{DEPTH_MAX, KEY_LEN_MAX};
use super::taker::VALUE_LEN_MAX;
use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Model,
    Usage,
    Input,
    Finish,
    Content,
    Tools,
    Choice,
}

static TABLE: Table<Slot> = Table::new(&[
    Interest {
        path: &["model"],
        want: Want::Value,
        slot: Slot::Model,
    },
    Interest {
        path: &["usage"],
        want: Want::Value,
        slot: Slot::Usage,
    },
    Interest {
        path: &["response", "usage", "input"],
        want: Want::Value,
        slot: Slot::Input,
    },
    Interest {
        path: &["choices", EACH, "finish_reason"],
        want: Want::Value,
        slot: Slot::Finish,
    },
    Interest {
        path: &["choices", EACH],
        want: Want::Mark,
        slot: Slot::Choice,
    },
    Interest {
        path: &["choices", EACH, "delta", "content"],
        want: Want::Text,
        slot: Slot::Content,
    },
    Interest {
        path: &["tools"],
        want: Want::Source,
        slot: Slot::Tools,
    },
]);

/// What was found, in words, and how the document ended.
fn read(pieces: &[&[u8]]) -> (Vec<String>, Result<Document, JsonError>) {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut scanner = Scanner::new(&TABLE);
    let document = pieces.concat();
    for piece in pieces {
        scanner.push(piece, |found| {
            let words = match found {
                Found::Value {
                    slot, raw, span, ..
                } => {
                    assert_eq!(&document[span], raw);
                    format!("{slot:?}={}", String::from_utf8_lossy(raw))
                }
                Found::Begin { slot, .. } => format!("{slot:?}:"),
                Found::Part { slot, bytes } => {
                    let last: &mut Vec<u8> =
                        all.last_mut().expect("a text begins before its parts");
                    assert!(last.starts_with(format!("{slot:?}:").as_bytes()));
                    last.extend_from_slice(bytes);
                    return;
                }
                Found::Mark { slot } => format!("{slot:?}!"),
            };
            all.push(words.into_bytes());
        });
    }
    let words = all
        .into_iter()
        .map(|words| String::from_utf8_lossy(&words).into_owned());
    (words.collect(), scanner.end())
}

fn check(document: &str, expected: &[&str]) {
    let whole = read(&[document.as_bytes()]);
    assert_eq!(whole.0, expected, "{document}");
    assert!(whole.1.is_ok(), "{document}: {whole:?}");
    assert!(
        serde_json::from_str::<serde_json::Value>(document).is_ok(),
        "{document}"
    );
    for at in 0..=document.len() {
        let (head, tail) = document.as_bytes().split_at(at);
        assert_eq!(read(&[head, tail]), whole, "{document} split at {at}");
    }
    let bytes: Vec<&[u8]> = document.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), whole, "{document} byte by byte");
    for at in 0..document.trim_end().len() {
        let (found, end) = read(&[&document.as_bytes()[..at]]);
        let (last, before) = found
            .split_last()
            .map_or((None, &[][..]), |(last, before)| (Some(last), before));
        assert!(
            whole.0.starts_with(before),
            "{document} cut at {at}: {found:?}"
        );
        if let Some(last) = last {
            // A text may be cut, and a character in it.
            let begun = last.trim_end_matches(char::REPLACEMENT_CHARACTER);
            assert!(
                whole.0[before.len()].starts_with(begun),
                "{document} cut at {at}: {found:?}"
            );
        }
        assert!(end.is_err(), "{document} cut at {at}");
    }
}

#[test]
fn values_are_found_wherever_they_stand() {
    check(
        r#"{"model":"m","usage":{"a":[1,{"b":"}"}]}}"#,
        &[r#"Model="m""#, r#"Usage={"a":[1,{"b":"}"}]}"#],
    );
    check(
        "\n { \"x\" : [ { \"model\" : 1 } ] , \"model\" : \"last\" } \n",
        &[r#"Model="last""#],
    );
    check(
        r#"{"response":{"usage":{"input":12}},"input":1,"usage":null}"#,
        &["Input=12", "Usage=null"],
    );
    check(
        r#"{"choices":[{"delta":{"content":"hi"},"finish_reason":null},{"finish_reason":"stop"}]}"#,
        &[
            "Choice!",
            "Content:hi",
            "Finish=null",
            "Choice!",
            r#"Finish="stop""#,
        ],
    );
    check(
        r#"{"choices":[],"response":[],"usage":{},"tools":[ {"a":1} ]}"#,
        &["Usage={}", r#"Tools:[ {"a":1} ]"#],
    );
}

#[test]
fn every_value_of_a_repeated_key_is_found_in_order() {
    check(
        r#"{"model":"a","model":"b"}"#,
        &[r#"Model="a""#, r#"Model="b""#],
    );
}

#[test]
fn escaped_keys_are_decoded() {
    check(
        r#"{"\u006dod\u0065l":"m","mode\\l":1,"\"model":2}"#,
        &[r#"Model="m""#],
    );
}

#[test]
fn text_is_handed_out_as_utf8_after_decoding() {
    let document = |string: &str| format!(r#"{{"choices":[{{"delta":{{"content":{string}}}}}]}}"#);
    let cases = [
        (r#""""#, ""),
        (r#""a\nb\"\\\/\t""#, "a\nb\"\\/\t"),
        ("\"\u{e9}\u{20ac}\"", "\u{e9}\u{20ac}"),
        (r#""\u0041\u00e9\u20ac""#, "A\u{e9}\u{20ac}"),
        (r#""\ud83d\ude00\u0041""#, "\u{1f600}A"),
    ];
    for (string, text) in cases {
        check(&document(string), &["Choice!", &format!("Content:{text}")]);
    }
    // Halves of a pair, which parsers refuse.
    let cases = [
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
        (r#""\ud83d\ud83d\ude00\n""#, "\u{fffd}\u{1f600}\n"),
    ];
    for (string, text) in cases {
        let document = document(string);
        let expected = ["Choice!".to_owned(), format!("Content:{text}")];
        for length in 1..document.len() {
            let pieces: Vec<&[u8]> = document.as_bytes().chunks(length).collect();
            assert_eq!(read(&pieces).0, expected, "{document} by {length}");
        }
    }
    check(r#"{"choices":[{"delta":{"content":["x"]}}]}"#, &["Choice!"]);
}

#[test]
fn marks_are_not_set_by_null() {
    check(r#"{"choices":[null]}"#, &[]);
}

#[test]
fn malformed_structure_ends_the_reading() {
    let cases = [
        (r#"{"model" "m"}"#, JsonError::Malformed),
        (r#"{"model":"m"]"#, JsonError::Malformed),
        (r#"{model:1}"#, JsonError::Malformed),
        (r#"[1,]"#, JsonError::Malformed),
        (r#"{"a":1,}"#, JsonError::Malformed),
        (r#"{} {}"#, JsonError::Malformed),
        ("<html>", JsonError::Malformed),
        ("", JsonError::Empty),
        (" \n", JsonError::Empty),
    ];
    for (document, error) in cases {
        assert_eq!(read(&[document.as_bytes()]).1, Err(error), "{document}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = "[".repeat(DEPTH_MAX + 1);
    assert_eq!(read(&[deep.as_bytes()]).1, Err(JsonError::TooDeep));
    let fits = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert!(read(&[fits.as_bytes()]).1.is_ok());

    let large = format!(r#"{{"model":"{}","usage":1}}"#, "x".repeat(VALUE_LEN_MAX));
    for piece in [large.len(), 1000, 7] {
        let mut scanner = Scanner::new(&TABLE);
        let mut slots = Vec::new();
        for bytes in large.as_bytes().chunks(piece) {
            scanner.push(bytes, |found| {
                if let Found::Value { slot, .. } = found {
                    slots.push(slot);
                }
            });
        }
        assert_eq!(slots, [Slot::Usage]);
        assert!(scanner.has_met_oversized() && scanner.end().is_ok());
        assert!(scanner.taker.captured.capacity() <= 2 * VALUE_LEN_MAX);
    }
}

#[test]
fn a_key_of_any_length_costs_no_memory() {
    let document = format!(r#"{{"{}":1,"model":2}}"#, "k".repeat(100_000));
    for piece in [document.len(), 11] {
        let pieces: Vec<&[u8]> = document.as_bytes().chunks(piece).collect();
        assert_eq!(read(&pieces).0, ["Model=2"]);
    }
    let mut scanner = Scanner::new(&TABLE);
    scanner.push(document.as_bytes(), |_| {});
    assert!(scanner.key.capacity() <= 2 * KEY_LEN_MAX + 2);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(read(&[b"\xef\xbb\xbf{\"model\":1}"]).0, ["Model=1"]);
}

#[test]
fn a_scanner_reads_one_document_after_another() {
    let mut scanner = Scanner::new(&TABLE);
    scanner.push(br#"{"model":"cut"#, |_| {});
    scanner.reset();
    let mut count = 0;
    scanner.push(br#"{"model":1}"#, |_| count += 1);
    assert_eq!((count, scanner.end()), (1, Ok(Document { close_at: 10 })));
}
