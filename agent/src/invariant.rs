//! What must hold whatever bytes are read: the list of every function that says
//! so, for the fuzzers in `tests/fuzz` and for the replay of their corpora.
//!
//! A room that reads what others send has functions that show bytes to its
//! readers and panic if something does not hold: that it does not matter how the
//! bytes are split, that nothing comes out that did not go in, that another
//! reader of the same format sees the same. They are part of the crate because
//! the readers are its own affair, and nothing outside could ask them.

use std::fmt::Debug;

/// Something that must hold of any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// The name of the fuzzer and of its corpus.
    pub name: &'static str,
    /// The function, as the fuzzer names it.
    pub path: &'static str,
    /// Panics if it does not hold.
    pub check: fn(&[u8]),
}

macro_rules! invariants {
    ($($name:ident: $($room:ident)::+;)*) => {
        /// All of them, by name.
        pub const ALL: &[Invariant] = &[$(Invariant {
            name: stringify!($name),
            path: concat!("weir", $("::", stringify!($room)),+),
            check: crate::$($room)::+,
        }),*];
    };
}

invariants! {
    authority: proxy::invariant::of_authority;
    capture: export::invariant::of_capture;
    chunked: proxy::invariant::of_chunked;
    classify: llm::invariant::of_classify;
    config: config::invariant::of_config;
    decode: llm::invariant::of_decode;
    eventstream: llm::invariant::of_eventstream;
    grpc: llm::invariant::of_grpc;
    h1_request: proxy::invariant::of_h1_request;
    h1_response: proxy::invariant::of_h1_response;
    inspection: llm::invariant::of_inspection;
    json: llm::invariant::of_json;
    json_array: llm::invariant::of_json_array;
    litellm: meter::invariant::of_litellm;
    multipart: llm::invariant::of_multipart;
    ndjson: llm::invariant::of_ndjson;
    prices: meter::invariant::of_prices;
    protobuf: llm::invariant::of_protobuf;
    session: llm::invariant::of_session;
    sniff: sniff::invariant::of_sniff;
    sse: llm::invariant::of_sse;
    traceparent: meter::invariant::of_traceparent;
    usage_filter: llm::invariant::of_usage_filter;
    usage_request: llm::invariant::of_usage_request;
    websocket: llm::invariant::of_websocket;
}

/// Reads `bytes` whole, one by one, and in two parts of which the first byte
/// says where they meet.
pub(crate) fn check_splits<T: Debug + PartialEq>(bytes: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[bytes]);
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    let at = bytes.first().map_or(0, |byte| usize::from(*byte));
    let (head, tail) = bytes.split_at(at.min(bytes.len()));
    assert_eq!(read(&[head, tail]), whole);
    whole
}

/// Some lengths of beginnings of `length` bytes, ascending: all of them if they
/// are few.
pub(crate) fn beginnings(length: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 512;
    (0..=length).step_by(length.div_euclid(MOST).saturating_add(1))
}
