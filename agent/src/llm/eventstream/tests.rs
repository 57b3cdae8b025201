#![expect(clippy::arithmetic_side_effects, reason = "overflow fails a test")]

use super::*;

/// A `metadata` event of a Converse stream.
const METADATA: &str = "000000b40000004e11011d2a0b3a6576656e742d747970650700086d657461646174610d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b227573616765223a7b22696e707574546f6b656e73223a332c226f7574707574546f6b656e73223a322c22746f74616c546f6b656e73223a357d2c226d657472696373223a7b226c6174656e63794d73223a377d7dd1014739";
/// A throttling exception.
const EXCEPTION: &str = "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b226d657373616765223a22736c6f7720646f776e227d832ee072";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: &u8| {
        char::from(*digit)
            .to_digit(16)
            .expect("hexadecimal vectors")
    };
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(half)))
        .map(|byte| u8::try_from(byte).expect("two digits"))
        .collect()
}

/// A message with headers as encoded.
fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("test messages are small");
    let mut message = Vec::new();
    message.extend(length(headers.len() + payload.len() + 16).to_be_bytes());
    message.extend(length(headers.len()).to_be_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    messages: Vec<(Headers, Vec<u8>)>,
    error: Option<EventStreamError>,
    is_within: bool,
}

fn read(pieces: &[&[u8]]) -> Seen {
    let (mut reader, mut seen, mut current) = (Reader::default(), Seen::default(), None);
    for piece in pieces {
        let pushed = reader.push(piece, |piece| match piece {
            Piece::Begin(headers) => current = Some((headers.clone(), Vec::new())),
            Piece::Payload(bytes) => current
                .as_mut()
                .expect("a payload follows headers")
                .1
                .extend_from_slice(bytes),
            Piece::End => seen
                .messages
                .push(current.take().expect("an end follows headers")),
        });
        seen.error = seen.error.or(pushed.err());
    }
    seen.is_within = reader.is_within_message();
    seen
}

fn check(stream: &[u8], expected: &Seen) {
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(read(&[head, tail]), *expected, "split at {at}");
    }
    assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), *expected);
}

#[test]
fn messages_are_the_same_at_every_split() {
    let stream = [bytes(METADATA), message(b"", b""), bytes(EXCEPTION)].concat();
    let metadata = Headers {
        event_type: Some("metadata".to_owned()),
        ..Headers::default()
    };
    let exception = Headers {
        message_type: MessageType::Exception,
        exception_type: Some("throttlingException".to_owned()),
        ..Headers::default()
    };
    let usage = br#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":7}}"#;
    let expected = Seen {
        messages: vec![
            (metadata, usage.to_vec()),
            (Headers::default(), Vec::new()),
            (exception, br#"{"message":"slow down"}"#.to_vec()),
        ],
        ..Seen::default()
    };
    check(&stream, &expected);
}

#[test]
fn a_cut_loses_the_message_it_is_in() {
    let stream = bytes(METADATA);
    for at in 0..stream.len() {
        let seen = read(&[&stream[..at]]);
        assert_eq!((seen.messages.len(), seen.error), (0, None));
        assert_eq!(seen.is_within, at > 0, "cut at {at}");
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    for at in 0..METADATA.len() / 2 {
        let mut stream = bytes(METADATA);
        stream[at] ^= 1;
        stream.extend(bytes(EXCEPTION));
        let seen = read(&[&stream]);
        assert!(seen.error.is_some(), "at {at}");
        assert_eq!(seen.messages, [], "at {at}");
        assert!(!seen.is_within);
    }
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut headers = Vec::new();
    let values: [&[u8]; 10] = [
        b"\x00",
        b"\x01",
        b"\x02.",
        b"\x03..",
        b"\x04....",
        b"\x05........",
        b"\x06\x00\x03...",
        b"\x07\x00\x03abc",
        b"\x08........",
        b"\x09................",
    ];
    for (name, value) in (b'a'..).zip(values) {
        headers.extend([1, name]);
        headers.extend(value);
    }
    headers.extend(b"\x0d:message-type\x07\x00\x05error\x0b:error-code\x07\x00\x03E42");
    let expected = Headers {
        message_type: MessageType::Error,
        error_code: Some("E42".to_owned()),
        ..Headers::default()
    };
    let seen = read(&[&message(&headers, b"x")]);
    assert_eq!(seen.messages, [(expected, b"x".to_vec())]);
    for cut in 1..headers.len() {
        let seen = read(&[&message(&headers[..cut], b"x")]);
        // A header may also end where the cut is.
        assert!(seen.error == Some(EventStreamError::Headers) || seen.messages.len() == 1);
    }
}

#[test]
fn what_aws_refuses_is_refused() {
    let prelude = |total: u32, headers: u32| {
        let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        prelude.extend(crc32fast::hash(&prelude).to_be_bytes());
        prelude
    };
    let twice = message(b"\x01a\x00\x01a\x00", b"");
    let unknown_type = message(b"\x01a\x0a", b"");
    let cases = [
        (prelude(15, 0), EventStreamError::Lengths),
        (prelude(16, 1), EventStreamError::Lengths),
        (prelude(u32::MAX, 0), EventStreamError::TooLarge),
        (
            prelude(HEADERS_LEN_MAX + 17, HEADERS_LEN_MAX + 1),
            EventStreamError::TooLarge,
        ),
        (prelude(PAYLOAD_LEN_MAX + 17, 0), EventStreamError::TooLarge),
        (vec![0; 12], EventStreamError::PreludeChecksum),
        (twice, EventStreamError::Headers),
        (unknown_type, EventStreamError::Headers),
    ];
    for (stream, error) in cases {
        check(
            &stream,
            &Seen {
                error: Some(error),
                ..Seen::default()
            },
        );
    }
}
