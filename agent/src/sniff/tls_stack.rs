//! What tells one TLS stack from another, whatever the server, the session and
//! the connection.
//!
//! Programs of one container look alike to the kernel; their TLS stacks do not.
//! The idea is that of JA4: what a stack offers, without what it draws anew for
//! each connection.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::client_hello::{EXTENSION_ECH, EXTENSION_SERVER_NAME};

/// Extensions that come and go between connections of one stack: server_name
/// (none for addresses), padding, session_ticket, pre_shared_key, early_data and
/// cookie (resumption), encrypted_client_hello.
const EXTENSIONS_OF_CONNECTIONS: [u16; 7] =
    [EXTENSION_SERVER_NAME, 21, 35, 41, 42, 44, EXTENSION_ECH];

/// The same for every connection of one TLS stack that is set up alike, and
/// hardly ever for two. Means nothing outside of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsStack(u64);

impl TlsStack {
    /// From the cipher suites as sent, the types of the extensions in any order
    /// (some stacks shuffle them), and the protocols of ALPN.
    pub(crate) fn of(cipher_suites: &[u8], extensions: &mut [u16], alpn: &[Vec<u8>]) -> Self {
        let mut hasher = DefaultHasher::new();
        for suite in cipher_suites.as_chunks::<2>().0 {
            let suite = u16::from_be_bytes(*suite);
            if !is_grease(suite) {
                suite.hash(&mut hasher);
            }
        }
        extensions.sort_unstable();
        for kind in extensions {
            if !is_grease(*kind) && !EXTENSIONS_OF_CONNECTIONS.contains(kind) {
                kind.hash(&mut hasher);
            }
        }
        alpn.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Values that mean nothing and are drawn anew for each connection, RFC 8701.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cipher_suites: &[u16], extensions: &[u16], alpn: &[&str]) -> TlsStack {
        let suites: Vec<u8> = cipher_suites
            .iter()
            .flat_map(|suite| suite.to_be_bytes())
            .collect();
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsStack::of(&suites, &mut extensions.to_vec(), &alpn)
    }

    #[test]
    fn what_is_drawn_for_a_connection_does_not_matter() {
        let stack = of(&[0x1301, 0x1302], &[0, 10, 13, 51], &["h2"]);
        for (suites, extensions) in [
            // Shuffled, resumed, with GREASE, padded, to an address.
            (&[0x1301, 0x1302][..], &[51, 13, 0, 10][..]),
            (&[0x1301, 0x1302], &[0, 10, 13, 51, 35, 41, 42]),
            (
                &[0x4a4a, 0x1301, 0x1302],
                &[0xdada, 0, 10, 13, 51, 0x1a1a, 21, 0xfe0d],
            ),
            (&[0x1301, 0x1302], &[10, 13, 51]),
        ] {
            assert_eq!(of(suites, extensions, &["h2"]), stack, "{extensions:x?}");
        }
    }

    #[test]
    fn what_a_stack_offers_matters() {
        let stack = of(&[0x1301, 0x1302], &[0, 10, 13, 51], &["h2"]);
        assert_ne!(of(&[0x1302, 0x1301], &[0, 10, 13, 51], &["h2"]), stack);
        assert_ne!(of(&[0x1301, 0x1302], &[0, 10, 13, 51, 16], &["h2"]), stack);
        assert_ne!(
            of(&[0x1301, 0x1302], &[0, 10, 13, 51], &["h2", "http/1.1"]),
            stack
        );
    }
}
