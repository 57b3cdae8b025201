//! Of content codings: another decoder that gets to the end sees the same.

use std::io::Read;

use crate::llm::decode::{DecodeError, Decoder};

/// By the first byte.
const CODINGS: [&str; 8] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, gzip",
    "br, zstd",
    "gzip, gzip, gzip, gzip",
];
/// Most that another decoder is asked for: what is refused for its size does not
/// go further than this in a few bytes.
const COMPARED_MAX: u64 = 1 << 20;

/// Of [`Decoder`], in the coding that the first byte says: however a body is
/// split, the same comes out of it, at most a thousand times what came in or a
/// mebibyte; and it is what other decoders make of it that read to its end.
///
/// # Panics
/// If that does not hold.
pub fn of_decode(bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else {
        return;
    };
    let coding = CODINGS[usize::from(*which) % CODINGS.len()];
    let stages = coding.split(',').count();
    let bound = (body.len() as u64).saturating_mul(1000).max(1 << 20);
    let read = |pieces: &[&[u8]]| {
        let mut decoder = Decoder::new(Some(coding)).expect("it is known");
        let (mut out, mut end) = (Vec::new(), Ok(()));
        for piece in pieces {
            end = decoder.push(piece, &mut |bytes| out.extend_from_slice(bytes));
            if end.is_err() {
                break;
            }
        }
        assert!(out.len() as u64 <= bound, "{} bytes came out", out.len());
        let is_at_end = end.is_ok() && decoder.is_at_end();
        // How far a broken body is decoded depends on how it came.
        (end.map(|()| out), is_at_end)
    };
    let at = body.first().map_or(0, |byte| usize::from(*byte));
    let (head, tail) = body.split_at(at.min(body.len()));
    let bytewise: Vec<_> = body.chunks(1).collect();
    let all = [&[body][..], &bytewise, &[head, tail]].map(read);
    // So does when it is too much: the more arrived, the more may come of it.
    if all.iter().any(|(out, _)| *out == Err(DecodeError::Ratio)) {
        return;
    }
    let [whole, others @ ..] = all;
    assert!(others.iter().all(|other| *other == whole), "{coding}");
    let (decoded, is_at_end) = whole;
    if stages > 1 {
        return;
    }
    if let Some(reference) = reference(coding, body) {
        assert_eq!(decoded.as_deref(), Ok(reference.as_slice()), "{coding}");
        assert!(is_at_end, "{coding} has not ended");
    }
}

/// What another decoder makes of all of `body`, if it does not object.
fn reference(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    if body.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    let read = match coding {
        "gzip" => flate2::read::MultiGzDecoder::new(body)
            .take(COMPARED_MAX)
            .read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(body)
            .take(COMPARED_MAX)
            .read_to_end(&mut out),
        "br" => brotli::Decompressor::new(body, 4096)
            .take(COMPARED_MAX)
            .read_to_end(&mut out),
        "zstd" => {
            let mut decoder = zstd::Decoder::new(body).ok()?;
            decoder.window_log_max(23).ok()?;
            decoder.take(COMPARED_MAX).read_to_end(&mut out)
        }
        _ => return None,
    };
    (read.is_ok() && (out.len() as u64) < COMPARED_MAX).then_some(out)
}
