//! Things that do not end: lines, strings, keys, numbers, nesting, fields, hellos.

use weir::llm::classify::{Api, Target};
use weir::llm::headers::Headers;
use weir::llm::inspect::Inspector;
use weir::llm::observation::Ending;
use weir::llm::session::{Session, Side};
use weir::llm::stream_usage::UsageFilter;
use weir::llm::websocket::Compression;
use weir::proxy::invariant::of_h1_request;
use weir::sniff::{Sniffed, sniff};

use super::{GIB, KIB, MIB, holds};

/// What arrives at once.
const PIECE: usize = 64 * KIB;
/// What no reader keeps, in all.
const LONG: usize = 4 * MIB;

/// An answer of that API: `beginning`, and `again` until it is as long.
fn answer(api: Api, media_type: &str, beginning: &[u8], again: &[u8], length: usize) {
    let mut inspector = Inspector::new(Target::from(api), &Headers::default());
    inspector.request_end();
    let headers =
        Headers::of_response(|name| (name == "content-type").then(|| media_type.to_owned()));
    inspector.response_head(200, &headers);
    inspector.response_body(beginning);
    let piece = again.repeat(PIECE / again.len());
    for _ in 0..length.div_ceil(piece.len()) {
        inspector.response_body(&piece);
    }
    drop(inspector.finish(Ending::Cut));
}

const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";

#[test]
fn a_line_of_a_gibibyte_is_not_kept() {
    for (what, api, media_type, beginning) in [
        ("of SSE", Api::OpenAiChat, SSE, "data: {\"model\":\""),
        ("of NDJSON", Api::OllamaChat, LINES, "{\"message\":\""),
    ] {
        holds(what, 320 * KIB, || {
            answer(api, media_type, beginning.as_bytes(), b"x", GIB);
        });
    }
}

#[test]
fn answers_without_an_end_are_not_kept() {
    for (what, media_type, beginning, again) in [
        ("a comment", SSE, ":", "x"),
        ("an event of many lines", SSE, "", "data: 1\n"),
        ("events", SSE, "", "data: {\"model\":\"m\"}\n\n"),
        ("a string", JSON, "{\"x\":\"", "x"),
        ("a string of escapes", JSON, "{\"x\":\"", "\\u00e9"),
        ("a string that is wanted", JSON, "{\"model\":\"", "x"),
        ("an object that is wanted", JSON, "{\"usage\":{", "\"x\":1,"),
        ("a key", JSON, "{\"", "x"),
        ("a number", JSON, "{\"created\":1", "1"),
        ("white space", JSON, "{", " "),
        ("arrays in arrays", JSON, "", "["),
        ("objects in objects", JSON, "", "{\"usage\":"),
    ] {
        holds(what, 320 * KIB, || {
            let (beginning, again) = (beginning.as_bytes(), again.as_bytes());
            answer(Api::OpenAiChat, media_type, beginning, again, LONG);
        });
    }
    holds("elements", 320 * KIB, || {
        answer(Api::GeminiGenerate, JSON, b"[", b"{},", LONG);
    });
}

#[test]
fn framed_answers_without_an_end_are_not_kept() {
    const STREAM: &str = "application/vnd.amazon.eventstream";
    // As much payload as is taken, in one message without headers.
    let mut message = Vec::new();
    for word in [24 * 1024 * 1024 + 16_u32, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(crc32fast::hash(&message).to_be_bytes());
    let chunk = [message.as_slice(), b"{\"bytes\":\""].concat();
    for api in [
        Api::BedrockConverse,
        Api::BedrockInvoke,
        Api::SageMakerInvoke,
    ] {
        holds(&format!("a message to {api:?}"), 640 * KIB, || {
            answer(api, STREAM, &chunk, b"QUJD", LONG);
        });
    }
    // The longest headers, of which none ends.
    let mut message = Vec::new();
    for word in [200 * 1024_u32, 128 * 1024] {
        message.extend(word.to_be_bytes());
    }
    message.extend(crc32fast::hash(&message).to_be_bytes());
    holds("headers of a message", 512 * KIB, || {
        answer(
            Api::BedrockConverse,
            STREAM,
            &message,
            b"\x01h\x07\x01\x00x",
            127 * KIB,
        );
    });
    // A gRPC message of 4 GiB, with a field of that length.
    let message = [
        0, 0xff, 0xff, 0xff, 0xff, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f,
    ];
    for api in [Api::KserveGrpc, Api::XAiGrpc] {
        holds(&format!("a message to {api:?}"), 256 * KIB, || {
            answer(api, "application/grpc", &message, b"\x0a\x7f", LONG);
        });
    }
}

#[test]
fn forms_without_an_end_are_not_kept() {
    const PART: &str = "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n";
    for (what, beginning, again) in [
        ("a field", PART, "x"),
        ("half boundaries", PART, "\r\n--"),
        ("the head of a part", "--b\r\n", "X: y\r\n"),
        ("what comes before a form", "", "x"),
        (
            "fields",
            "",
            "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n",
        ),
    ] {
        holds(what, 512 * KIB, || {
            let headers = Headers::of_request(|name| {
                (name == "content-type").then(|| "multipart/form-data; boundary=b".to_owned())
            });
            let mut inspector = Inspector::new(Api::OpenAiTranscriptions.into(), &headers);
            inspector.request_body(beginning.as_bytes());
            let piece = again.repeat(PIECE / again.len());
            for _ in 0..LONG / PIECE {
                inspector.request_body(piece.as_bytes());
            }
            drop(inspector.finish(Ending::Cut));
        });
    }
}

#[test]
fn messages_of_sockets_are_not_kept() {
    let head = [&[0x81, 127][..], &(1_u64 << 62).to_be_bytes()].concat();
    for api in [
        Api::OpenAiResponsesSocket,
        Api::OpenAiRealtime,
        Api::OpenAiLive,
        Api::GeminiLive,
    ] {
        holds(&format!("a message to {api:?}"), 320 * KIB, || {
            let target = Target::from(api);
            let mut session = Session::begin(&target, Compression::None).expect("it is read");
            for side in [Side::Client, Side::Server] {
                session.push(side, &head, &mut |_| {});
                session.push(side, b"{\"type\":\"", &mut |_| {});
                for _ in 0..LONG / PIECE {
                    session.push(side, &[b'x'; PIECE], &mut |_| {});
                }
            }
            drop(session.finish(&mut |_| {}));
        });
        // Thirty bytes each, and a call begun by each.
        let begun = br#"{"type":"response.created","response":{"id":"r-?????????"}}"#;
        holds(&format!("calls to {api:?}"), 512 * KIB, || {
            let target = Target::from(api);
            let mut session = Session::begin(&target, Compression::None).expect("it is read");
            for number in 0..5_000 {
                let text =
                    String::from_utf8_lossy(begun).replace("?????????", &format!("{number:09}"));
                let length = u8::try_from(text.len()).expect("it is short");
                session.push(Side::Server, &[0x81, length], &mut |_| {});
                session.push(Side::Server, text.as_bytes(), &mut |_| {});
            }
            drop(session.finish(&mut |_| {}));
        });
    }
}

#[test]
fn the_rule_lets_go_of_what_it_cannot_hold() {
    for (what, again) in [
        ("an event", &b"data: \"usage\"\n"[..]),
        ("a line", b"x"),
        ("comments", b": \r"),
    ] {
        let piece = again.repeat(PIECE / again.len());
        holds(what, MIB, || {
            let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
            for _ in 0..LONG / PIECE {
                filter.push(&piece, &mut out);
                out.clear();
            }
            filter.finish(&mut out);
        });
    }
}

#[test]
fn heads_and_hellos_without_an_end_are_refused() {
    let fields = [&b"GET / HTTP/1.1\r\n"[..], &b"a:\r\n".repeat(1_000_000)].concat();
    holds("a million fields", 64 * KIB, || of_h1_request(&fields));
    let fields = [&b"GET / HTTP/1.1\r\n"[..], &b"a:\r\n".repeat(257), b"\r\n"].concat();
    holds("one field too many", 64 * KIB, || of_h1_request(&fields));

    // A ClientHello of 64 KiB in records of one byte each, and more of them.
    let message = [&[1, 1, 0, 0][..], &vec![0; 65 * KIB]].concat();
    let hello: Vec<u8> = message
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    holds("a hello in a record a byte", 256 * KIB, || {
        assert!(matches!(sniff(&hello[..390_000]), Sniffed::NeedMore));
        assert!(!matches!(sniff(&hello), Sniffed::NeedMore));
    });
    let records = [22, 3, 1, 0x40, 0].iter().copied().chain([0; 0x4000]);
    let endless: Vec<u8> = records.collect::<Vec<_>>().repeat(64);
    holds("records without a hello", 256 * KIB, || {
        assert!(!matches!(
            sniff(&endless),
            Sniffed::NeedMore | Sniffed::Tls(_)
        ));
    });
}
