//! Bodies of exchanges in the forms in which they travel.

use std::io::Write;

use anyhow::Result;
use weir::llm::invariant::Shown;

use super::exchanges::Exchange;

/// Responses of a media type.
pub(crate) fn of_type(exchanges: &[Exchange], media_type: &str) -> Vec<Vec<u8>> {
    let of_type = exchanges.iter().filter(|it| it.answers(media_type));
    of_type.map(|it| it.response.clone()).collect()
}

/// Event streams.
pub(crate) fn streams(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    of_type(exchanges, "text/event-stream")
}

/// Requests.
pub(crate) fn requests(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    exchanges.iter().map(|it| it.request.clone()).collect()
}

/// Whole documents, and those of events.
pub(crate) fn documents(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let whole = exchanges.iter().flat_map(|it| [&it.request, &it.response]);
    let whole = whole.filter(|body| body.starts_with(b"{") || body.starts_with(b"["));
    whole.cloned().chain(events(exchanges)).collect()
}

/// The data of events.
fn events(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let streams = streams(exchanges);
    let lines = streams
        .iter()
        .flat_map(|it| it.split(|byte| *byte == b'\n'));
    lines
        .filter_map(|line| line.strip_prefix(b"data: "))
        .map(<[u8]>::to_vec)
        .collect()
}

/// Arrays of documents.
pub(crate) fn arrays(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let arrays = exchanges.iter().filter(|it| it.response.starts_with(b"["));
    let mut all: Vec<_> = arrays.map(|it| it.response.clone()).collect();
    for pair in events(exchanges).chunks(2) {
        all.push([b"[", pair.join(&b',').as_slice(), b"]\n"].concat());
    }
    all
}

/// A document a line.
pub(crate) fn lines(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let mut all = of_type(exchanges, "application/x-ndjson");
    all.extend(events(exchanges).chunks(3).map(|three| three.join(&b'\n')));
    all
}

/// Protobuf messages out of their frames of gRPC.
pub(crate) fn messages(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let framed = of_type(exchanges, "application/grpc");
    framed
        .iter()
        .filter_map(|body| body.get(5..))
        .map(<[u8]>::to_vec)
        .collect()
}

/// Forms, with the boundary that is looked for.
pub(crate) fn forms(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for exchange in exchanges {
        let boundary = exchange
            .request_type()
            .and_then(|it| it.split_once("boundary="));
        if let Some((_, boundary)) = boundary {
            let text = String::from_utf8_lossy(&exchange.request);
            let boundary = format!("--{}", boundary.trim_matches('"'));
            all.push(text.replace(&boundary, "--b").into_bytes());
        }
    }
    all
}

/// Documents in frames of WebSocket: whole, in two fragments, masked, and a close.
pub(crate) fn frames(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    const DOCUMENTS: [&str; 8] = [
        r#"{"type":"response.create"}"#,
        r#"{"type":"response.created","response":{"id":"a"}}"#,
        r#"{"type":"response.done","response":{"id":"a","usage":{"input_tokens":3,"output_tokens":4}}}"#,
        r#"{"type":"error","error":{"code":"c"}}"#,
        r#"{"setup":{"model":"models/m"}}"#,
        r#"{"serverContent":{"turnComplete":true}}"#,
        r#"{"usageMetadata":{"promptTokenCount":1}}"#,
        r#"{"clientContent":{"turnComplete":true}}"#,
    ];
    let mut all = Vec::new();
    let events = events(exchanges);
    let documents = DOCUMENTS.iter().map(|it| it.as_bytes());
    let documents: Vec<_> = documents.chain(events.iter().map(Vec::as_slice)).collect();
    for few in documents.chunks(4) {
        let mut stream = Vec::new();
        for (index, document) in few.iter().enumerate() {
            let (head, tail) = document.split_at(document.len() / 2);
            match index {
                0 => frame(&mut stream, 0x81, document, None),
                1 => {
                    frame(&mut stream, 0x01, head, None);
                    frame(&mut stream, 0x80, tail, None);
                }
                2 => frame(&mut stream, 0x81, document, Some([1, 2, 3, 4])),
                _ => {
                    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
                    let mut small = Vec::with_capacity(document.len() + 64);
                    let flush = flate2::FlushCompress::Sync;
                    if deflate.compress_vec(document, &mut small, flush).is_ok() {
                        small.truncate(small.len().saturating_sub(4));
                        frame(&mut stream, 0xc1, &small, None);
                    }
                }
            }
        }
        frame(&mut stream, 0x88, &[3, 0xe8], None);
        all.push(stream);
    }
    all
}

fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..126), _) => out.push(masked | length),
        (_, Ok(length)) => {
            out.push(masked | 126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| out.extend(mask)).unwrap_or([0; 4]);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

/// Responses in chunks of many sizes, with a trailer.
pub(crate) fn chunked(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        let mut coded = Vec::new();
        for chunk in exchange.response.chunks(index % 97 + 1).take(40) {
            coded.extend(format!("{:x};n=\"{index}\"\r\n", chunk.len()).bytes());
            coded.extend(chunk);
            coded.extend(b"\r\n");
        }
        coded.extend(b"0\r\nGrpc-Status: 0\r\nX: y\r\n\r\nHTTP/1.1");
        all.push(coded);
    }
    all
}

/// Bodies in the codings that `of_decode` tells apart by their first byte.
pub(crate) fn encoded(exchanges: &[Exchange]) -> Result<Vec<Vec<u8>>> {
    const STACKS: [&[&str]; 8] = [
        &["gzip"],
        &["deflate"],
        &["br"],
        &["zstd"],
        &["gzip", "br"],
        &["zstd", "gzip"],
        &["br", "zstd"],
        &["gzip", "gzip", "gzip", "gzip"],
    ];
    let zeros = vec![0; 2 << 20];
    let bodies = exchanges.iter().map(|it| it.response.as_slice()).step_by(7);
    let mut all = Vec::new();
    for body in bodies.chain([zeros.as_slice(), b""]) {
        for (which, stack) in STACKS.iter().enumerate() {
            let mut coded = body.to_vec();
            for coding in *stack {
                coded = encode(coding, &coded)?;
            }
            coded.insert(0, u8::try_from(which)?);
            all.push(coded);
        }
    }
    Ok(all)
}

fn encode(coding: &str, body: &[u8]) -> Result<Vec<u8>> {
    let level = flate2::Compression::default();
    Ok(match coding {
        "gzip" => {
            let mut encoder = flate2::GzBuilder::new()
                .filename("name")
                .comment("comment")
                .extra(b"extra".as_slice())
                .write(Vec::new(), level);
            encoder.write_all(body)?;
            encoder.finish()?
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body)?;
            encoder.finish()?
        }
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 18);
            encoder.write_all(body)?;
            drop(encoder);
            out
        }
        _ => zstd::encode_all(body, 3)?,
    })
}

/// A whole exchange, if its bodies are not too long.
pub(crate) fn shown(exchange: &Exchange) -> Option<Vec<u8>> {
    let row = exchange.target().row?;
    let types = [
        exchange.request_type(),
        Some(exchange.head.content_type.as_str()),
    ];
    let Exchange {
        head,
        request,
        response,
    } = exchange;
    Shown::new(row, head.status, types, request, response).map(|shown| shown.bytes())
}

/// Bodies of every type that is captured, whole and cut.
pub(crate) fn captured(exchanges: &[Exchange]) -> Vec<Vec<u8>> {
    const SECRETS: [&str; 3] = [
        r#"{"api_key":"x","n":["sk-proj-abcdefghijklmnop","a@example.com","4111 1111 1111 1111"]}"#,
        "data: {\"delta\":\"my key is sk-proj-\"}\n\ndata: {\"delta\":\"abcdefghijklmnop\"}\n\n",
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nBearer abcdefghijkl",
    ];
    let responses = exchanges
        .iter()
        .map(|it| (it.answers("text/event-stream"), &it.response[..]));
    let secrets = SECRETS.map(|it| (it.starts_with("data"), it.as_bytes()));
    let mut all = Vec::new();
    for (is_stream, body) in responses.chain(secrets) {
        for kept in [255, 20] {
            all.push([&[if is_stream { 2 } else { 1 }, kept], body].concat());
        }
    }
    all
}
