//! What was decided about a connection or a request, and why.
//!
//! The codes are stable: they are labels of metrics and fields of records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was done with a connection or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Decrypted where needed, inspected, forwarded.
    Intercept,
    /// Forwarded as opaque bytes.
    Splice,
    /// Not forwarded.
    Refuse,
}

impl Decision {
    /// The name used in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intercept => "intercept",
            Self::Splice => "splice",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident => $code:literal,)*) => {
        /// Why a [`Decision`] was taken.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Reason {
            $($(#[doc = $doc])* #[serde(rename = $code)] $variant,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable snake_case code.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The host is a model provider in the catalogue.
    CatalogueHost => "catalogue_host",
    /// The host is a model provider, and the configuration leaves bodies unread.
    BodiesNotRead => "bodies_not_read",
    /// The host is in no rule of the catalogue.
    NotInCatalogue => "not_in_catalogue",
    /// The ClientHello names no server.
    NoSni => "no_sni",
    /// The ClientHello hides the server's name.
    EncryptedClientHello => "encrypted_client_hello",
    /// The ClientHello cannot be parsed.
    ClientHelloInvalid => "client_hello_invalid",
    /// The first bytes are neither TLS nor HTTP.
    NotTlsOrHttp => "not_tls_or_http",
    /// The client said nothing while the server may speak first.
    ServerFirst => "server_first",
    /// The client offers no HTTP version that weir speaks.
    AlpnNotHttp => "alpn_not_http",
    /// Cleartext HTTP/2.
    CleartextH2 => "cleartext_h2",
    /// The request upgraded the connection to another protocol.
    Upgrade => "upgrade",
    /// Upstream asked for a client certificate, which weir cannot present.
    UpstreamWantsClientCert => "upstream_wants_client_cert",
    /// The client did not accept weir's certificate.
    ClientRefusedCertificate => "client_refused_certificate",
    /// The client ended the connection in its handshake or after it, without an
    /// alert and without a request: it may not have accepted weir's certificate, or
    /// not have needed the connection.
    ClosedBeforeRequest => "closed_before_request",
    /// The client's handshake with weir came to nothing for another reason.
    ClientHandshakeFailed => "client_handshake_failed",
    /// Upstream's certificate did not verify.
    UpstreamCertificate => "upstream_certificate",
    /// Upstream could not be reached, or broke off before it answered.
    UpstreamUnreachable => "upstream_unreachable",
    /// The kernel recorded no original destination.
    NoOrigin => "no_origin",
    /// The original destination is one that weir never dials.
    ForbiddenDestination => "forbidden_destination",
    /// `Host` or `:authority` differs from the verified server name.
    AuthorityMismatch => "authority_mismatch",
    /// The request is not well-formed HTTP.
    BadRequest => "bad_request",
    /// The bound on concurrent connections was reached.
    TooManyConnections => "too_many_connections",
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_serde_writes() {
        for reason in Reason::ALL {
            let json = serde_json::to_string(reason).expect("a unit variant serialises");
            assert_eq!(json, format!("{:?}", reason.as_str()));
        }
        for decision in [Decision::Intercept, Decision::Splice, Decision::Refuse] {
            let json = serde_json::to_string(&decision).expect("a unit variant serialises");
            assert_eq!(json, format!("{:?}", decision.as_str()));
        }
    }
}
