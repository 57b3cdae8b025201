use std::io::Write;

use super::*;

const TEXT: &[u8] = b"data: {\"a\":1}\n\ndata: {\"b\":\"some more text, some more text\"}\n\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(*b"xtra")
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn br(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    ::brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22)
        .write_all(bytes)
        .expect("a vector takes all");
    encoded
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).expect("a vector takes all")
}

fn decode(coding: &str, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), DecodeError> {
    let mut decoder = Decoder::new(Some(coding))?;
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut |bytes| decoded.extend_from_slice(bytes))?;
    }
    Ok((decoded, decoder.is_at_end()))
}

fn check(coding: &str, encoded: &[u8], expected: &[u8]) {
    let whole = Ok((expected.to_vec(), true));
    assert_eq!(decode(coding, &[encoded]), whole, "{coding}");
    for at in 0..=encoded.len() {
        let (head, tail) = encoded.split_at(at);
        assert_eq!(
            decode(coding, &[head, tail]),
            whole,
            "{coding} split at {at}"
        );
        let (cut, ended) = decode(coding, &[head]).expect("a cut stream is no error");
        assert!(expected.starts_with(&cut), "{coding} cut at {at}");
        let may_end = at == 0 || cut == expected || encoded == expected;
        assert!(!ended || may_end, "{coding} cut at {at}");
    }
    let bytes: Vec<&[u8]> = encoded.chunks(1).collect();
    assert_eq!(decode(coding, &bytes), whole, "{coding} byte by byte");
}

#[test]
fn codings_are_taken_off_at_every_split() {
    check("identity", TEXT, TEXT);
    check("", TEXT, TEXT);
    check("gzip", &gzip(TEXT), TEXT);
    check("X-GZIP", &gzip(TEXT), TEXT);
    check("deflate", &zlib(TEXT), TEXT);
    check("deflate", &raw_deflate(TEXT), TEXT);
    check("br", &br(TEXT), TEXT);
    check("zstd", &zst(TEXT), TEXT);
    check("gzip, br", &br(&gzip(TEXT)), TEXT);
    check("zstd,identity , gzip", &gzip(&zst(TEXT)), TEXT);
}

#[test]
fn members_and_frames_follow_each_other() {
    let twice = [TEXT, TEXT].concat();
    assert_eq!(
        decode("gzip", &[&gzip(TEXT), &gzip(TEXT)]),
        Ok((twice.clone(), true))
    );
    assert_eq!(
        decode("gzip", &[&[gzip(TEXT), gzip(TEXT)].concat()]),
        Ok((twice.clone(), true))
    );
    assert_eq!(
        decode("zstd", &[&[zst(TEXT), zst(TEXT)].concat()]),
        Ok((twice, true))
    );
    let padded = [gzip(TEXT), vec![0; 20]].concat();
    assert_eq!(decode("gzip", &[&padded]), Ok((TEXT.to_vec(), true)));
}

/// Encodes events with a flush after each, as a server that streams does.
fn flushed(coding: &str, events: &[&[u8]]) -> Vec<Vec<u8>> {
    fn all<W: Write>(
        mut encoder: W,
        taken: impl Fn(&W) -> Vec<u8>,
        events: &[&[u8]],
    ) -> Vec<Vec<u8>> {
        let mut before = 0;
        events
            .iter()
            .map(|event| {
                encoder.write_all(event).expect("a vector takes all");
                encoder.flush().expect("a vector takes all");
                let so_far = taken(&encoder);
                let piece = so_far[before..].to_vec();
                before = so_far.len();
                piece
            })
            .collect()
    }
    let level = flate2::Compression::default();
    match coding {
        "gzip" => all(
            flate2::write::GzEncoder::new(Vec::new(), level),
            |e| e.get_ref().clone(),
            events,
        ),
        "deflate" => all(
            flate2::write::ZlibEncoder::new(Vec::new(), level),
            |e| e.get_ref().clone(),
            events,
        ),
        "br" => all(
            ::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22),
            |e| e.get_ref().clone(),
            events,
        ),
        _ => all(
            ::zstd::stream::write::Encoder::new(Vec::new(), 3).expect("a known level"),
            |e| e.get_ref().clone(),
            events,
        ),
    }
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    let events: Vec<Vec<u8>> = (0..50)
        .map(|n| format!("data: {{\"n\":{n}}}\n\n").into_bytes())
        .collect();
    let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let mut decoder = Decoder::new(Some(coding)).expect("a known coding");
        for (event, piece) in events.iter().zip(flushed(coding, &events)) {
            let mut decoded = Vec::new();
            decoder
                .push(&piece, &mut |bytes| decoded.extend_from_slice(bytes))
                .expect("well encoded");
            assert_eq!(decoded, *event, "{coding}");
        }
    }
}

#[test]
fn bombs_are_put_down() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let cases = [
        ("zstd", zst(&zeros)),
        ("br", br(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ];
    for (coding, bomb) in cases {
        let mut decoder = Decoder::new(Some(coding)).expect("known codings");
        let mut decoded = 0;
        let result = decoder.push(&bomb, &mut |bytes| {
            assert!(bytes.len() <= STEP);
            decoded += bytes.len() as u64;
        });
        assert_eq!(result, Err(DecodeError::Ratio), "{coding}");
        let most = RATIO_FREE.max(RATIO_MAX * bomb.len() as u64) + STEP as u64;
        assert!(decoded <= most, "{coding} came to {decoded}");
    }
    // Deflate cannot exceed the ratio, so only the total stops it.
    let mut budget = Budget {
        arrived: u64::MAX,
        ..Budget::default()
    };
    assert_eq!(
        budget.spend(usize::try_from(DECODED_MAX).expect("fits"), 0),
        Ok(())
    );
    assert_eq!(budget.spend(1, 0), Err(DecodeError::TooLarge));
}

#[test]
fn unknown_and_malformed_bodies_are_errors() {
    for coding in ["compress", "gzip, what", "br,br,br,br,br"] {
        assert_eq!(
            Decoder::new(Some(coding)).map(|_| ()),
            Err(DecodeError::Unknown),
            "{coding}"
        );
    }
    for coding in ["gzip", "zstd", "br", "deflate"] {
        let result = decode(
            coding,
            &[b"{\"not\":\"encoded at all, as some servers do\"}"],
        );
        assert_eq!(result, Err(DecodeError::Malformed), "{coding}");
    }
}

#[test]
fn bytes_of_any_kind_end_in_a_result() {
    // Every single-byte change of a valid stream: an error or other output, no panic.
    for (coding, encoded) in [
        ("gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("br", br(TEXT)),
        ("zstd", zst(TEXT)),
    ] {
        for at in 0..encoded.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = encoded.clone();
                bytes[at] ^= flip;
                if let Ok((decoded, _)) = decode(coding, &[&bytes]) {
                    assert!(decoded.len() as u64 <= RATIO_FREE);
                }
            }
        }
    }
}
