use flate2::{Compress, FlushCompress};

use super::*;

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ ..=125 => frame.push(masked | u8::try_from(length).expect("7 bits")),
        length => match u16::try_from(length) {
            Ok(length) => {
                frame.push(masked | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(masked | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        },
    }
    frame.extend(
        mask.unwrap_or_default()
            .iter()
            .take(if mask.is_some() { 4 } else { 0 }),
    );
    let mask = mask.unwrap_or_default();
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    messages: Vec<String>,
    unfinished: usize,
    close: Option<Option<u16>>,
    error: Option<WebSocketError>,
    is_within: bool,
}

fn read(agreed: Compression, pieces: &[&[u8]]) -> Seen {
    let mut reader = Reader::new(agreed);
    let (mut seen, mut data) = (Seen::default(), Vec::new());
    for piece in pieces {
        let pushed = reader.push(piece, |piece| match piece {
            Piece::Data(bytes) => data.extend_from_slice(bytes),
            Piece::End => {
                let message = std::mem::take(&mut data);
                seen.messages
                    .push(String::from_utf8_lossy(&message).into_owned());
            }
            Piece::Close(code) => seen.close = Some(code),
        });
        seen.error = seen.error.or(pushed.err());
    }
    seen.unfinished = data.len();
    seen.is_within = reader.is_within_message();
    seen
}

fn messages(texts: &[&str]) -> Seen {
    Seen {
        messages: texts.iter().map(|&text| text.to_owned()).collect(),
        ..Seen::default()
    }
}

/// Whole, at every split, and byte by byte.
fn check(agreed: Compression, bytes: &[u8], expected: &Seen) {
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(&read(agreed, &[head, tail]), expected, "split at {at}");
    }
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(&read(agreed, &bytewise), expected);
}

/// Messages as a compressor with one window writes them.
fn deflated(texts: &[&str], keeps_window: bool) -> Vec<Vec<u8>> {
    let mut compress = Compress::new(flate2::Compression::best(), false);
    let deflate = |text: &&str| {
        let mut out = Vec::with_capacity(text.len().saturating_add(64));
        compress
            .compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync)
            .expect("text can be deflated");
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len().saturating_sub(4));
        if !keeps_window {
            compress.reset();
        }
        out
    };
    texts.iter().map(deflate).collect()
}

#[test]
fn the_examples_of_the_rfc_are_read_at_every_split() {
    // RFC 6455 §5.7.
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    check(Compression::None, b"\x81\x05Hello", &messages(&["Hello"]));
    check(Compression::None, masked, &messages(&["Hello"]));
    check(
        Compression::None,
        b"\x01\x03Hel\x80\x02lo",
        &messages(&["Hello"]),
    );
    check(Compression::None, b"\x89\x05Hello\x8a\x00", &messages(&[]));
    // RFC 7692 §7.2.3.1, whole and in two fragments.
    let whole = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    let fragments = b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00";
    check(Compression::Deflate, whole, &messages(&["Hello"]));
    check(Compression::Deflate, fragments, &messages(&["Hello"]));
    let shared = [&whole[..], b"\xc1\x05\xf2\x00\x11\x00\x00"].concat();
    check(
        Compression::Deflate,
        &shared,
        &messages(&["Hello", "Hello"]),
    );
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let bytes = [
        frame(TEXT, Some([1, 2, 3, 4]), b"{\"a\""),
        frame(FIN | PING, Some([9, 9, 9, 9]), b"anyone?"),
        frame(CONTINUATION, None, b""),
        frame(FIN | PONG, None, b""),
        frame(FIN | CONTINUATION, Some([0, 255, 7, 1]), b":1}"),
        frame(FIN | BINARY, None, b"{}"),
        frame(FIN | TEXT, None, b""),
        frame(FIN | CLOSE, Some([5, 6, 7, 8]), b"\x03\xe8bye"),
        frame(FIN | TEXT, None, b"not read any more"),
    ]
    .concat();
    let expected = Seen {
        close: Some(Some(1000)),
        ..messages(&["{\"a\":1}", "{}", ""])
    };
    check(Compression::None, &bytes, &expected);
    let silent = Seen {
        close: Some(None),
        ..Seen::default()
    };
    check(Compression::None, &frame(FIN | CLOSE, None, b""), &silent);
}

#[test]
fn compressed_and_plain_messages_may_alternate() {
    let texts = [
        "{\"type\":\"one\"}",
        "{\"type\":\"two\"}",
        "{\"type\":\"one\"}",
    ];
    for keeps_window in [true, false] {
        let packed = deflated(&texts, keeps_window);
        let (first, rest) = packed[1].split_at(3);
        let bytes = [
            frame(FIN | COMPRESSED | TEXT, None, &packed[0]),
            frame(FIN | TEXT, None, b"plain"),
            frame(COMPRESSED | TEXT, Some([1, 2, 3, 4]), first),
            frame(FIN | PING, None, b""),
            frame(FIN | CONTINUATION, Some([4, 3, 2, 1]), rest),
            frame(FIN | COMPRESSED | TEXT, None, &packed[2]),
        ]
        .concat();
        let expected = messages(&[texts[0], "plain", texts[1], texts[2]]);
        check(Compression::Deflate, &bytes, &expected);
    }
}

#[test]
fn a_cut_loses_the_message_it_is_in() {
    let first = frame(FIN | TEXT, Some([1, 2, 3, 4]), b"first");
    let second = frame(FIN | TEXT, None, &[b'x'; 300]);
    let bytes = [first.clone(), second].concat();
    for at in 0..bytes.len() {
        let seen = read(Compression::None, &[&bytes[..at]]);
        assert_eq!(
            seen.messages.len(),
            usize::from(at >= first.len()),
            "cut at {at}"
        );
        assert_eq!(seen.is_within, at != 0 && at != first.len(), "cut at {at}");
        assert_eq!((seen.error, seen.close), (None, None));
    }
}

#[test]
fn lengths_of_every_size_are_read() {
    for length in [125, 126, 127, 65_535, 65_536, 200_000] {
        let text = "y".repeat(length);
        for mask in [None, Some([7, 77, 17, 71])] {
            let bytes = frame(FIN | TEXT, mask, text.as_bytes());
            let at = bytes.len() - 10_001.min(length);
            let (head, tail) = bytes.split_at(at);
            let seen = read(Compression::None, &[head, tail]);
            assert_eq!(seen, messages(&[&text]), "{length} bytes");
        }
    }
}

#[test]
fn a_length_is_believed_only_as_far_as_bytes_follow() {
    let mut bytes = vec![FIN | BINARY, 127];
    bytes.extend(i64::MAX.to_be_bytes());
    bytes.extend([b'z'; 1000]);
    let seen = read(Compression::None, &[&bytes]);
    assert_eq!(
        (seen.unfinished, seen.is_within, seen.error),
        (1000, true, None)
    );
}

#[test]
fn what_no_end_may_send_ends_the_reading() {
    let long = [b'p'; 126];
    let mut negative = vec![FIN | TEXT, 127];
    negative.extend(u64::MAX.to_be_bytes());
    let cases = [
        frame(FIN | 0x3, None, b"x"),
        frame(FIN | 0xb, None, b"x"),
        frame(FIN | 0x20 | TEXT, None, b"x"),
        frame(FIN | 0x10 | TEXT, None, b"x"),
        frame(FIN | CONTINUATION, None, b"of nothing"),
        [frame(TEXT, None, b"a"), frame(FIN | TEXT, None, b"b")].concat(),
        frame(PING, None, b"in parts"),
        frame(FIN | PING, None, &long),
        frame(FIN | COMPRESSED | PING, None, b""),
        [
            frame(COMPRESSED | TEXT, None, b""),
            frame(FIN | COMPRESSED | CONTINUATION, None, b""),
        ]
        .concat(),
        negative,
    ];
    for bytes in cases {
        let seen = read(Compression::Deflate, &[&bytes, b"\x81\x05Hello"]);
        assert_eq!(seen.error, Some(WebSocketError::Framing), "{bytes:x?}");
        assert!(seen.messages.is_empty() && !seen.is_within, "{bytes:x?}");
    }
    // Compressed, and nobody agreed to that.
    let seen = read(
        Compression::None,
        &[b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"],
    );
    assert_eq!(seen.error, Some(WebSocketError::Framing));
    let seen = read(Compression::Deflate, &[b"\xc1\x02\xff\xff"]);
    assert_eq!(
        seen.error,
        Some(WebSocketError::Coding(DecodeError::Malformed))
    );
}

#[test]
fn a_decompression_bomb_is_not_read() {
    let zeros = "0".repeat(64 << 20);
    let packed = deflated(&[&zeros], true);
    let bytes = frame(FIN | COMPRESSED | TEXT, None, &packed[0]);
    let seen = read(Compression::Deflate, &[&bytes]);
    assert_eq!(seen.error, Some(WebSocketError::Coding(DecodeError::Ratio)));
    assert!(seen.unfinished < 64 << 20);
}
