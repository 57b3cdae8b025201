//! The ClientHello of RFC 8446 §4.1.2: server name, ALPN, whether the real name
//! is encrypted, and of what stack it is.

use super::{Sniffed, TLS_HANDSHAKE, tls_stack::TlsStack};

/// Longest handshake message read. Post-quantum key shares make hellos of 2 KiB
/// ordinary and certificate compression lists do not go far beyond; 64 KiB is
/// what a reader of hellos is expected to take, and bounds what one slow client
/// can hold.
pub const HELLO_LEN_MAX: usize = 64 * 1024;
/// Largest TLS record, RFC 8446 §5.1, with the 2048 bytes some stacks exceed it by.
const RECORD_LEN_MAX: usize = 16_384 + 2048;
const CLIENT_HELLO: u8 = 1;
pub(super) const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
/// encrypted_client_hello, RFC 9849.
pub(super) const EXTENSION_ECH: u16 = 0xfe0d;
const NAME_TYPE_HOST: u8 = 0;

/// What weir reads from a ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name as sent, lower-cased, if it is a valid DNS name.
    pub server_name: Option<String>,
    /// Application protocols in the client's order; empty if it offered none.
    pub alpn: Vec<Vec<u8>>,
    /// The hello carries an encrypted inner one, so `server_name` is a public
    /// front (or GREASE, which looks the same).
    pub encrypted: bool,
    /// What it is characteristic of.
    pub stack: TlsStack,
}

/// Finds the ClientHello, reassembled over TLS records.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(length) = message_length(&message) {
            if message.first() != Some(&CLIENT_HELLO) {
                return Sniffed::InvalidTls("the first handshake message is not a ClientHello");
            }
            if length > HELLO_LEN_MAX {
                return Sniffed::InvalidTls("the ClientHello is larger than 64 KiB");
            }
            if let Some(body) = message.get(4..length.saturating_add(4)) {
                return match parse(body) {
                    Some(hello) => Sniffed::Tls(hello),
                    None => Sniffed::InvalidTls("the ClientHello is malformed"),
                };
            }
        }
        let mut record = Reader(rest);
        let Some(kind) = record.byte() else {
            return Sniffed::NeedMore;
        };
        if kind != TLS_HANDSHAKE {
            return Sniffed::InvalidTls("another record interrupts the ClientHello");
        }
        match record.byte() {
            None => return Sniffed::NeedMore,
            Some(3) => {}
            // 0x16 and something else than a 3.x version: not TLS at all.
            Some(_) => return Sniffed::Opaque,
        }
        let Some(_minor) = record.byte() else {
            return Sniffed::NeedMore;
        };
        let Some(length) = record.number(2) else {
            return Sniffed::NeedMore;
        };
        if length == 0 || length > RECORD_LEN_MAX {
            return Sniffed::InvalidTls("a record of the ClientHello has an impossible length");
        }
        let available = record.0.get(..length).unwrap_or(record.0);
        // What lies behind the longest message in its last record is not read: its
        // announced length alone decides, however much has arrived.
        let room = HELLO_LEN_MAX
            .saturating_add(4)
            .saturating_sub(message.len());
        message.extend_from_slice(available.get(..room).unwrap_or(available));
        rest = record.0.get(length..).unwrap_or_default();
        let complete = message_length(&message)
            .is_some_and(|length| message.len() >= length.saturating_add(4));
        // A header that is already impossible is refused without waiting.
        let impossible = message_length(&message).is_some_and(|length| length > HELLO_LEN_MAX)
            || message.first().is_some_and(|kind| *kind != CLIENT_HELLO);
        if rest.is_empty() && !complete && !impossible {
            return Sniffed::NeedMore;
        }
    }
}

/// The announced length of the handshake message, once its header is there.
fn message_length(message: &[u8]) -> Option<usize> {
    let mut header = Reader(message.get(1..4)?);
    header.number(3)
}

fn parse(body: &[u8]) -> Option<ClientHello> {
    let mut hello = Reader(body);
    let _version_and_random = hello.take(2 + 32)?;
    let _session_id = hello.vector(1)?;
    let cipher_suites = hello.vector(2)?;
    let _compression = hello.vector(1)?;
    let mut found = ClientHello {
        server_name: None,
        alpn: Vec::new(),
        encrypted: false,
        stack: TlsStack::of(cipher_suites, &mut [], &[]),
    };
    if hello.0.is_empty() {
        // TLS 1.2 and older may have no extensions.
        return Some(found);
    }
    let mut kinds = Vec::new();
    let mut extensions = Reader(hello.vector(2)?);
    while !extensions.0.is_empty() {
        let kind = u16::try_from(extensions.number(2)?).ok()?;
        let mut body = Reader(extensions.vector(2)?);
        kinds.push(kind);
        match kind {
            EXTENSION_SERVER_NAME => found.server_name = server_name(&mut body)?,
            EXTENSION_ALPN => found.alpn = protocols(&mut body)?,
            EXTENSION_ECH => found.encrypted = true,
            _ => {}
        }
    }
    found.stack = TlsStack::of(cipher_suites, &mut kinds, &found.alpn);
    Some(found)
}

/// `None`: malformed. `Some(None)`: no usable host name, RFC 6066 §3.
fn server_name(extension: &mut Reader<'_>) -> Option<Option<String>> {
    let mut list = Reader(extension.vector(2)?);
    while !list.0.is_empty() {
        let kind = list.byte()?;
        let name = list.vector(2)?;
        if kind == NAME_TYPE_HOST {
            let valid = !name.is_empty()
                && name.len() <= 253
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
            return Some(if valid {
                String::from_utf8(name.to_ascii_lowercase()).ok()
            } else {
                None
            });
        }
    }
    Some(None)
}

/// RFC 7301 §3.1.
fn protocols(extension: &mut Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(extension.vector(2)?);
    let mut found = Vec::new();
    while !list.0.is_empty() {
        let name = list.vector(1)?;
        if name.is_empty() {
            return None;
        }
        found.push(name.to_vec());
    }
    Some(found)
}

/// Takes bytes off the front; `None` when there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A big-endian number of up to three bytes.
    fn number(&mut self, width: usize) -> Option<usize> {
        Some(
            self.take(width)?
                .iter()
                .fold(0, |number, byte| (number << 8) | usize::from(*byte)),
        )
    }

    /// A vector with a length prefix of `width` bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count small things")]
mod tests {
    use super::*;
    use crate::sniff::sniff;

    fn vector(width: usize, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&length[4 - width..], body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), vector(2, body)].concat()
    }

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1, 0x13, 2]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat();
        [&[CLIENT_HELLO][..], &vector(3, &body)].concat()
    }

    /// Cuts a handshake message into records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message
            .chunks(size)
            .flat_map(|part| [&[TLS_HANDSHAKE, 3, 1][..], &vector(2, part)].concat())
            .collect()
    }

    fn full() -> Vec<u8> {
        let name = [&[NAME_TYPE_HOST][..], &vector(2, b"API.OpenAI.com")].concat();
        let alpn = [vector(1, b"h2"), vector(1, b"http/1.1")].concat();
        hello(
            &[
                extension(EXTENSION_SERVER_NAME, &vector(2, &name)),
                // A post-quantum key share: more than one segment.
                extension(51, &vec![1; 1300]),
                extension(EXTENSION_ALPN, &vector(2, &alpn)),
            ]
            .concat(),
        )
    }

    fn expected() -> Sniffed {
        Sniffed::Tls(ClientHello {
            server_name: Some("api.openai.com".into()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            encrypted: false,
            stack: TlsStack::of(
                &[0x13, 1, 0x13, 2],
                &mut [51, EXTENSION_ALPN],
                &[b"h2".to_vec(), b"http/1.1".to_vec()],
            ),
        })
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut_into_records_and_segments() {
        for size in [1, 3, 4, 5, 100, 1000, 16_384] {
            let bytes = records(&full(), size);
            assert_eq!(sniff(&bytes), expected(), "records of {size}");
            let step = if size < 100 { 97 } else { 1 };
            for split in (1..bytes.len()).step_by(step) {
                assert_eq!(
                    sniff(&bytes[..split]),
                    Sniffed::NeedMore,
                    "{size}, split {split}"
                );
            }
        }
    }

    #[test]
    fn what_follows_the_hello_does_not_matter() {
        let bytes = [records(&full(), 16_384), vec![20, 3, 3, 0, 1, 1]].concat();
        assert_eq!(sniff(&bytes), expected());
    }

    #[test]
    fn the_largest_hello_is_read_whatever_lies_behind_it_in_its_record() {
        let largest = HELLO_LEN_MAX - hello(&extension(51, &[])).len() + 4;
        let message = hello(&extension(51, &vec![1; largest]));
        assert_eq!(message.len(), HELLO_LEN_MAX + 4);
        let alone = sniff(&records(&message, 16_384));
        assert!(matches!(alone, Sniffed::Tls(_)), "{alone:?}");
        let followed = [message, vec![0; 1000]].concat();
        assert_eq!(sniff(&records(&followed, 16_384)), alone);
    }

    #[test]
    fn names_that_are_not_dns_names_are_not_used() {
        for name in [&b""[..], b"a b", b"h\xc3\xa9.example", b"a/b", &[b'a'; 254]] {
            let list = [&[NAME_TYPE_HOST][..], &vector(2, name)].concat();
            let bytes = records(
                &hello(&extension(EXTENSION_SERVER_NAME, &vector(2, &list))),
                16_384,
            );
            let Sniffed::Tls(hello) = sniff(&bytes) else {
                panic!("{}", name.escape_ascii())
            };
            assert_eq!(hello.server_name, None);
        }
    }

    #[test]
    fn no_extensions_and_encrypted_hellos_are_told_apart() {
        let body = [&[3, 3][..], &[0; 32], &[0], &[0, 2, 0, 47], &[1, 0]].concat();
        let message = [&[CLIENT_HELLO][..], &vector(3, &body)].concat();
        let plain = Sniffed::Tls(ClientHello {
            server_name: None,
            alpn: vec![],
            encrypted: false,
            stack: TlsStack::of(&[0, 47], &mut [], &[]),
        });
        assert_eq!(sniff(&records(&message, 16_384)), plain);
        let Sniffed::Tls(hello) = sniff(&records(
            &hello(&extension(EXTENSION_ECH, &[0; 10])),
            16_384,
        )) else {
            panic!("not recognised");
        };
        assert!(hello.encrypted);
    }

    #[test]
    fn hostile_hellos_are_refused() {
        for bytes in [
            // An empty record, a record too large, a ServerHello, a message too large.
            vec![TLS_HANDSHAKE, 3, 1, 0, 0],
            vec![TLS_HANDSHAKE, 3, 1, 0xff, 0xff],
            records(&[2, 0, 0, 1, 0], 16_384),
            records(&[1, 0xff, 0xff, 0xff], 16_384),
            [records(&[1, 0, 1], 16_384), vec![23, 3, 3, 0, 1, 0]].concat(),
            records(&[1, 0, 0, 3, 3, 3, 0], 16_384),
        ] {
            assert!(matches!(sniff(&bytes), Sniffed::InvalidTls(_)), "{bytes:?}");
        }
        assert_eq!(sniff(&[TLS_HANDSHAKE, 9, 9]), Sniffed::Opaque);
    }
}
