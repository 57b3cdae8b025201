//! What must hold of first bytes, whatever they are.

use super::client_hello::HELLO_LEN_MAX;
use super::{Sniffed, sniff};
use crate::invariant::beginnings;

/// Bytes after which there must be a verdict: a ClientHello with its header, in
/// records of one byte each, which have five more.
const UNDECIDED_LEN_MAX: usize = (HELLO_LEN_MAX + 4) * 6;

/// Of [`sniff`]: what was said stays true whatever follows, there comes a time
/// when something is said, and nothing is read that was not there.
///
/// # Panics
/// If that does not hold.
pub fn of_sniff(bytes: &[u8]) {
    let mut verdict = Sniffed::NeedMore;
    for length in beginnings(bytes.len()).chain([bytes.len()]) {
        let said = sniff(bytes.get(..length).unwrap_or(bytes));
        if verdict == Sniffed::NeedMore {
            verdict = said;
        } else {
            assert_eq!(said, verdict, "after {length} bytes");
        }
    }
    match &verdict {
        Sniffed::NeedMore => assert!(bytes.len() < UNDECIDED_LEN_MAX, "it waits for ever"),
        Sniffed::Tls(hello) => {
            if let Some(name) = &hello.server_name {
                assert!((1..=253).contains(&name.len()), "{name}");
                let has_upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
                assert!(name.is_ascii() && !has_upper, "{name}");
            }
            let read: usize = hello.alpn.iter().map(Vec::len).sum();
            assert!(read <= bytes.len() && hello.alpn.iter().all(|name| !name.is_empty()));
        }
        Sniffed::Http1 => assert!(bytes.contains(&b' ')),
        Sniffed::InvalidTls(_) | Sniffed::H2Preface | Sniffed::Opaque => {}
    }
}
