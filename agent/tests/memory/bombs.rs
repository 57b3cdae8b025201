//! Few bytes that stand for many.

use std::fs;
use std::io::Write;
use std::process::Command;

use flate2::{Compress, Compression, FlushCompress};
use weir::config::Config;
use weir::llm::classify::{Api, Target};
use weir::llm::decode::{DecodeError, Decoder};
use weir::llm::grpc;
use weir::llm::headers::Headers;
use weir::llm::inspect::Inspector;
use weir::llm::observation::{Ending, Problem};
use weir::llm::websocket;

use super::{GIB, KIB, MIB, holds};

/// The variable by which a test knows that it is alone in its process.
const ALONE: &str = "WEIR_TEST_ALONE";

/// Zeros in deflate, as many as asked for: a mebibyte is compressed, and that again
/// and again, as every block may refer to zeros before it.
fn deflated(zeros: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let block = vec![0; MIB];
    let mut all = Vec::with_capacity(2 * KIB);
    let compressed = compress.compress_vec(&block, &mut all, FlushCompress::Full);
    compressed.expect("zeros can be deflated");
    all.repeat(zeros / MIB)
}

fn bomb(coding: &str) -> Vec<u8> {
    match coding {
        "gzip" => [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &deflated(GIB)].concat(),
        "deflate" => [&[0x78, 0x9c][..], &deflated(GIB)].concat(),
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 1, 24);
            encoder
                .write_all(&vec![0; 4 * MIB])
                .expect("it is written to memory");
            drop(encoder);
            out
        }
        _ => zstd::encode_all(&vec![0; 64 * MIB][..], 1).expect("zeros can be compressed"),
    }
}

/// Decodes pieces of a thousand bytes until something is wrong.
fn defused(coding: &str, bomb: &[u8]) -> DecodeError {
    let mut decoder = Decoder::new(Some(coding)).expect("it is known");
    let mut decoded = 0;
    for piece in bomb.chunks(1000) {
        if let Err(error) = decoder.push(piece, &mut |bytes| decoded += bytes.len()) {
            assert!(decoded <= 2 * MIB, "{decoded} bytes of {coding}");
            return error;
        }
    }
    panic!("{coding} went off: {decoded} bytes");
}

#[test]
fn bombs_are_put_down_before_they_cost_more_than_a_window() {
    for (coding, bound) in [
        ("gzip", 64 * KIB),
        ("deflate", 64 * KIB),
        // Its window is 16 MiB, if it says so.
        ("br", 18 * MIB),
    ] {
        let bomb = bomb(coding);
        holds(coding, bound, || {
            assert_eq!(defused(coding, &bomb), DecodeError::Ratio);
        });
    }
    let nested = [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
        &deflated(GIB)[..200 * KIB],
    ];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&nested.concat())
        .expect("it is written to memory");
    let nested = gzip.finish().expect("it is written to memory");
    holds("gzip in gzip", 128 * KIB, || {
        assert_eq!(defused("gzip, gzip", &nested), DecodeError::Ratio);
    });
}

#[test]
fn a_window_larger_than_http_allows_is_refused() {
    // The marker of large windows, a window of 2^30, and a stored block.
    let large = [0x11, 0x1e | 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00];
    holds("a brotli window of a gibibyte", 256 * KIB, || {
        let mut decoder = Decoder::new(Some("br")).expect("it is known");
        assert_eq!(
            decoder.push(&large, &mut |_| {}),
            Err(DecodeError::Malformed)
        );
    });
}

/// zstd allocates by itself: its process is measured, which is this test's own.
#[test]
fn a_bomb_of_zstd_costs_no_more_than_its_window() {
    const NAME: &str = "bombs::a_bomb_of_zstd_costs_no_more_than_its_window";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().expect("a test has a program");
        let mut alone = Command::new(program);
        alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
        let output = alone.output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let bomb = bomb("zstd");
    let field = |name: &str| -> usize {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line
            .expect("the field is there")
            .trim_end_matches("kB")
            .trim();
        value.parse::<usize>().expect("a number") * KIB
    };
    // Measured from here on: 5 resets the peak (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5").expect("it is one's own");
    let before = field("VmRSS:");
    assert_eq!(defused("zstd", &bomb), DecodeError::Ratio);
    let grown = field("VmHWM:").saturating_sub(before);
    assert!(grown <= 12 * MIB, "{grown} bytes for a window of 8 MiB");
}

#[test]
fn the_inspector_notes_a_bomb_and_goes_on() {
    for coding in ["gzip", "deflate"] {
        let bomb = bomb(coding);
        holds(&format!("an answer in {coding}"), 64 * KIB, || {
            let mut inspector = Inspector::new(Target::from(Api::OpenAiChat), &Headers::default());
            let headers = Headers::of_response(|name| match name {
                "content-encoding" => Some(coding.to_owned()),
                "content-type" => Some("application/json".to_owned()),
                _ => None,
            });
            inspector.response_head(200, &headers);
            for piece in bomb.chunks(1000) {
                inspector.response_body(piece);
            }
            let observation = inspector.finish(Ending::Complete);
            assert!(observation.problems.contains(&Problem::DecompressionRatio));
        });
    }
}

#[test]
fn messages_that_are_bombs_are_put_down() {
    let inside = bomb("gzip");
    let length = u32::try_from(inside.len()).expect("it is small");
    let message = [&[1][..], &length.to_be_bytes(), &inside].concat();
    holds("a gRPC message", 96 * KIB, || {
        let mut reader = grpc::Reader::new(Some("gzip"));
        let mut pieces = message.chunks(1000);
        assert!(pieces.any(|piece| reader.push(piece, |_| {}).is_err()));
    });
    let inside = deflated(GIB);
    let message = [
        &[0xc1, 127][..],
        &(inside.len() as u64).to_be_bytes(),
        &inside,
    ]
    .concat();
    holds("a WebSocket message", 96 * KIB, || {
        let mut reader = websocket::Reader::new(websocket::Compression::Deflate);
        let mut pieces = message.chunks(1000);
        assert!(pieces.any(|piece| reader.push(piece, |_| {}).is_err()));
    });
}

#[test]
fn a_configuration_that_multiplies_itself_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = level - 1;
        let again = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{again}]\n"));
    }
    holds("aliases of aliases", 256 * KIB, || {
        assert!(Config::parse(&text).is_err());
    });
    let deep = format!("capture: {}", "[".repeat(500_000));
    holds("lists in lists", 256 * KIB, || {
        assert!(Config::parse(&deep).is_err());
    });
}
