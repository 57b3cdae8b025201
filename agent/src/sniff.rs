//! What does a connection speak? Decided from its first bytes, without
//! consuming any.
//!
//! Pure: the caller owns the buffer, calls again when it has more, and bounds
//! how long it waits. Nothing here guesses: what is not recognised is
//! [`Sniffed::Opaque`].

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod client_hello;
pub mod invariant;
mod tls_stack;

pub use client_hello::{ClientHello, HELLO_LEN_MAX};
pub use tls_stack::TlsStack;

/// The client connection preface of RFC 9113 §3.4.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest method token looked for; the longest registered one,
/// `UPDATEREDIRECTREF`, has 17 bytes.
const METHOD_LEN_MAX: usize = 24;
/// `ContentType::handshake` of RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 22;

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// Every continuation is still possible.
    NeedMore,
    /// A complete TLS ClientHello.
    Tls(ClientHello),
    /// Looks like TLS, but the ClientHello is malformed or over
    /// [`HELLO_LEN_MAX`]; the text says how.
    InvalidTls(&'static str),
    /// The beginning of an HTTP/1 request: a method and a space.
    Http1,
    /// HTTP/2 without TLS.
    H2Preface,
    /// None of these.
    Opaque,
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Sniffed {
    match bytes.first() {
        None => Sniffed::NeedMore,
        Some(&TLS_HANDSHAKE) => client_hello::sniff(bytes),
        Some(_) => sniff_http(bytes),
    }
}

fn sniff_http(bytes: &[u8]) -> Sniffed {
    if bytes.starts_with(H2_PREFACE) {
        return Sniffed::H2Preface;
    }
    if H2_PREFACE.starts_with(bytes) {
        return Sniffed::NeedMore;
    }
    let head = bytes.get(..METHOD_LEN_MAX).unwrap_or(bytes);
    match head
        .iter()
        .position(|byte| !byte.is_ascii_uppercase() && *byte != b'-')
    {
        Some(0) => Sniffed::Opaque,
        Some(at) if head.get(at) == Some(&b' ') => Sniffed::Http1,
        Some(_) => Sniffed::Opaque,
        None if bytes.len() < METHOD_LEN_MAX => Sniffed::NeedMore,
        None => Sniffed::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::{H2_PREFACE, Sniffed, sniff};

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b""[..], Sniffed::NeedMore),
            (b"G", Sniffed::NeedMore),
            (b"GET", Sniffed::NeedMore),
            (b"GET ", Sniffed::Http1),
            (b"M-SEARCH * HTTP/1.1\r\n", Sniffed::Http1),
            (b"P", Sniffed::NeedMore),
            (b"PRI * HTTP/2.0\r\n\r\n", Sniffed::NeedMore),
            (H2_PREFACE, Sniffed::H2Preface),
            (b"PRI * HTTP/1.1\r\n", Sniffed::Http1),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Sniffed::Opaque),
            (b"get / HTTP/1.1\r\n", Sniffed::Opaque),
            (b" GET", Sniffed::Opaque),
            (b"\x00\x01", Sniffed::Opaque),
            (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Sniffed::Opaque),
        ] {
            assert_eq!(sniff(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_preface_is_recognised_at_every_split() {
        for split in 1..H2_PREFACE.len() {
            assert_eq!(
                sniff(H2_PREFACE.get(..split).unwrap()),
                Sniffed::NeedMore,
                "{split}"
            );
        }
    }
}
