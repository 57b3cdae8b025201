//! Cutting and coding of bodies, seen chunk by chunk.

use std::io::Write;

use bytes::Bytes;
use weir_emulator::Emulator;

use crate::client::{SURFACES, Surface, bare, body_of, emulator, exchange_bare, split_chunks};

const PROMPT: &str = "Cut this into pieces, größer and smaller 🌊.";

/// The chunks of a stream with these control headers.
async fn chunks(
    emulator: &Emulator,
    surface: Surface,
    headers: &[(&str, &str)],
) -> (String, Vec<Bytes>) {
    let body = surface.ask(PROMPT, true).to_string();
    let reply = exchange_bare(emulator, bare("POST", surface.path(), headers, &body)).await;
    split_chunks(&reply)
}

/// A decoder that gives up everything it can after each piece.
enum Decoder {
    Identity(Vec<u8>),
    Gzip(flate2::write::GzDecoder<Vec<u8>>),
    Deflate(flate2::write::ZlibDecoder<Vec<u8>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Decoder {
    fn new(coding: &str) -> Self {
        match coding {
            "gzip" => Decoder::Gzip(flate2::write::GzDecoder::new(Vec::new())),
            "deflate" => Decoder::Deflate(flate2::write::ZlibDecoder::new(Vec::new())),
            "br" => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4096))),
            "zstd" => Decoder::Zstd(zstd::stream::write::Decoder::new(Vec::new()).expect("zstd")),
            _ => Decoder::Identity(Vec::new()),
        }
    }

    /// All that is known after another piece.
    fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let writer: &mut dyn Write = match self {
            Decoder::Identity(writer) => writer,
            Decoder::Gzip(writer) => writer,
            Decoder::Deflate(writer) => writer,
            Decoder::Brotli(writer) => writer,
            Decoder::Zstd(writer) => writer,
        };
        writer.write_all(piece).expect("decodes");
        writer.flush().expect("decodes");
        match self {
            Decoder::Identity(writer) => writer.clone(),
            Decoder::Gzip(writer) => writer.get_ref().clone(),
            Decoder::Deflate(writer) => writer.get_ref().clone(),
            Decoder::Brotli(writer) => writer.get_ref().clone(),
            Decoder::Zstd(writer) => writer.get_ref().clone(),
        }
    }
}

#[tokio::test]
async fn every_event_is_a_chunk_that_decodes_without_the_next() {
    let emulator = emulator().await;
    for surface in SURFACES {
        let (_, plain) = chunks(&emulator, surface, &[]).await;
        for chunk in &plain {
            let text = std::str::from_utf8(chunk).expect("whole events are UTF-8");
            assert!(
                text.ends_with("\n\n") && text.matches("\n\n").count() == 1,
                "{text:?}"
            );
        }
        for coding in ["identity", "gzip", "deflate", "br", "zstd"] {
            let case = format!("{surface:?} {coding}");
            let headers = [("x-emulator-encoding", coding)];
            let (head, coded) = chunks(&emulator, surface, &headers).await;
            let announced = head.contains(&format!("Content-Encoding: {coding}"));
            assert_eq!(announced, coding != "identity", "{case}");
            let mut decoder = Decoder::new(coding);
            let mut expected = Vec::new();
            for (number, event) in plain.iter().enumerate() {
                expected.extend_from_slice(event);
                let known = decoder.push(&coded[number]);
                assert_eq!(known, expected, "{case}: after event {number}");
            }
            for rest in &coded[plain.len()..] {
                assert_eq!(decoder.push(rest), expected, "{case}: at the end");
            }
        }
    }
}

#[tokio::test]
async fn the_coding_is_the_clients_choice_when_it_is_left_to_it() {
    let emulator = emulator().await;
    for (accept, coding) in [
        ("gzip, deflate", Some("gzip")),
        ("gzip, deflate, br", Some("br")),
        ("identity", None),
    ] {
        let headers = [("Accept-Encoding", accept), ("x-emulator-encoding", "auto")];
        let (head, _) = chunks(&emulator, Surface::Chat, &headers).await;
        let announced = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Encoding: "));
        assert_eq!(announced, coding, "{accept}");
    }
}

#[tokio::test]
async fn bytes_are_cut_as_asked_and_stay_the_same() {
    let emulator = emulator().await;
    for surface in SURFACES {
        let (_, events) = chunks(&emulator, surface, &[]).await;
        for (chunking, size_max) in [("byte", 1), ("7", 7), ("100", 100), ("whole", usize::MAX)] {
            let headers = [("x-emulator-chunking", chunking)];
            let (_, cut) = chunks(&emulator, surface, &headers).await;
            assert_eq!(cut.concat(), events.concat(), "{surface:?} {chunking}");
            assert!(
                cut.iter().all(|chunk| chunk.len() <= size_max),
                "{surface:?} {chunking}"
            );
            if chunking == "whole" {
                assert_eq!(cut.len(), 1, "{surface:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_body_is_the_same_however_it_is_framed() {
    let emulator = emulator().await;
    let body = Surface::Chat.ask(PROMPT, false).to_string();
    let ask = |framing: &'static str| {
        let headers = [("x-emulator-framing", framing)];
        exchange_bare(
            &emulator,
            bare("POST", Surface::Chat.path(), &headers, &body),
        )
    };
    let length = ask("length").await;
    let expected = body_of(&length);
    assert!(
        String::from_utf8_lossy(&length).contains(&format!("Content-Length: {}", expected.len()))
    );
    assert_eq!(split_chunks(&ask("chunked").await).1.concat(), expected);
    let close = ask("close").await;
    assert_eq!(body_of(&close), expected);
    assert!(!String::from_utf8_lossy(&close).contains("Content-Length"));
}

#[tokio::test]
async fn a_stamp_is_a_comment_with_a_rising_time_before_each_event() {
    let emulator = emulator().await;
    for surface in SURFACES {
        let (_, plain) = chunks(&emulator, surface, &[]).await;
        let (_, stamped) = chunks(&emulator, surface, &[("x-emulator-stamp", "1")]).await;
        assert_eq!(plain.len(), stamped.len());
        let mut last = 0;
        for (event, stamped) in plain.iter().zip(&stamped) {
            let text = std::str::from_utf8(stamped).expect("UTF-8");
            let (stamp, rest) = text.split_once('\n').expect("a line");
            assert_eq!(rest.as_bytes(), event);
            let time: u64 = stamp
                .strip_prefix(": t=")
                .expect("a stamp")
                .parse()
                .expect("a number");
            assert!(time >= last);
            last = time;
        }
    }
}
