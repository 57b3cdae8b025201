//! What becomes of a connection, from its first bytes: a plain function.

use crate::{
    llm::catalogue::{Catalogue, Provider},
    meter::{reason::Reason, record::Protocol},
    sniff::{ClientHello, Sniffed, TlsStack},
};

/// ALPN names of the HTTP versions that weir relays.
const HTTP_PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// More bytes are needed.
    Wait,
    /// A TLS handshake with a host of the catalogue.
    InterceptTls {
        host: String,
        provider: Provider,
        alpn: Vec<Vec<u8>>,
        stack: TlsStack,
    },
    /// HTTP/1 without TLS; the host is in its head.
    ReadHead,
    /// HTTP/1 without TLS, for this host if it names one.
    Cleartext { host: Option<String> },
    /// Forwarded as it is.
    Splice {
        host: Option<String>,
        reason: Reason,
        protocol: Protocol,
    },
}

pub(super) fn decide(sniffed: Sniffed, catalogue: &Catalogue) -> Plan {
    let opaque = |reason| Plan::Splice {
        host: None,
        reason,
        protocol: Protocol::Tcp,
    };
    match sniffed {
        Sniffed::NeedMore => Plan::Wait,
        Sniffed::Http1 => Plan::ReadHead,
        Sniffed::H2Preface => opaque(Reason::CleartextH2),
        Sniffed::Opaque => opaque(Reason::NotTlsOrHttp),
        Sniffed::InvalidTls(_) => Plan::Splice {
            host: None,
            reason: Reason::ClientHelloInvalid,
            protocol: Protocol::Tls,
        },
        Sniffed::Tls(hello) => tls(hello, catalogue),
    }
}

fn tls(hello: ClientHello, catalogue: &Catalogue) -> Plan {
    let splice = |host, reason| Plan::Splice {
        host,
        reason,
        protocol: Protocol::Tls,
    };
    let Some(host) = hello.server_name else {
        return splice(None, Reason::NoSni);
    };
    let Some(provider) = catalogue.provider(&host) else {
        // The name that counts may be inside.
        let reason = if hello.encrypted {
            Reason::EncryptedClientHello
        } else {
            Reason::NotInCatalogue
        };
        return splice(Some(host), reason);
    };
    let speaks_http = hello.alpn.is_empty()
        || hello
            .alpn
            .iter()
            .any(|name| HTTP_PROTOCOLS.contains(&name.as_slice()));
    if !speaks_http {
        return splice(Some(host), Reason::AlpnNotHttp);
    }
    Plan::InterceptTls {
        provider: provider.clone(),
        host,
        alpn: hello.alpn,
        stack: hello.stack,
    }
}

/// Whether upstream picked a protocol that weir relays.
pub(super) fn relays(picked: Option<&[u8]>) -> bool {
    picked.is_none_or(|name| HTTP_PROTOCOLS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: Option<&str>, alpn: &[&str], encrypted: bool) -> Sniffed {
        Sniffed::Tls(ClientHello {
            server_name: name.map(str::to_owned),
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            encrypted,
            stack: TlsStack::of(&[], &mut [], &[]),
        })
    }

    #[test]
    fn each_first_flight_has_one_plan() {
        let catalogue = Catalogue::builtin();
        let model = Some("api.openai.com");
        for (sniffed, expected) in [
            (hello(None, &[], false), Some(Reason::NoSni)),
            (
                hello(Some("example.org"), &["h2"], false),
                Some(Reason::NotInCatalogue),
            ),
            (
                hello(Some("front.example"), &["h2"], true),
                Some(Reason::EncryptedClientHello),
            ),
            (hello(model, &["smtp"], false), Some(Reason::AlpnNotHttp)),
            (hello(model, &["h2", "http/1.1"], false), None),
            (hello(model, &["grpc-exp", "h2"], false), None),
            (hello(model, &[], false), None),
            // GREASE looks encrypted; the name is in the catalogue all the same.
            (hello(model, &["h2"], true), None),
            (Sniffed::H2Preface, Some(Reason::CleartextH2)),
            (Sniffed::Opaque, Some(Reason::NotTlsOrHttp)),
            (Sniffed::InvalidTls("x"), Some(Reason::ClientHelloInvalid)),
        ] {
            let named = format!("{sniffed:?}");
            let reason = match decide(sniffed, &catalogue) {
                Plan::Splice { reason, .. } => Some(reason),
                Plan::InterceptTls { .. } => None,
                other @ (Plan::Wait | Plan::ReadHead | Plan::Cleartext { .. }) => {
                    panic!("{named}: {other:?}")
                }
            };
            assert_eq!(reason, expected, "{named}");
        }
        assert_eq!(decide(Sniffed::NeedMore, &catalogue), Plan::Wait);
        assert_eq!(decide(Sniffed::Http1, &catalogue), Plan::ReadHead);
        assert!(relays(None) && relays(Some(b"h2")) && !relays(Some(b"grpc-exp")));
    }
}
