//! One listening address and what is spoken there.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};

use crate::ca::{Ca, CaError, CertificateKind};

/// What ALPN may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alpn {
    /// `h2`, then `http/1.1`.
    #[default]
    Both,
    /// `http/1.1` only.
    Http1,
    /// `h2` only.
    Http2,
    /// The extension is not answered.
    None,
}

/// Which TLS versions are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// 1.3 and 1.2.
    #[default]
    Both,
    /// 1.2 only.
    Tls12,
    /// 1.3 only.
    Tls13,
}

/// Whether a client is asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// No.
    #[default]
    None,
    /// It is asked, and may have none.
    Requested,
    /// It is asked, and must show one issued by the emulator's CA.
    Required,
}

/// How TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tls {
    /// What is wrong with the certificate, if anything.
    pub certificate: CertificateKind,
    /// What ALPN may choose.
    pub alpn: Alpn,
    /// Which versions are spoken.
    pub versions: TlsVersions,
    /// Whether a client certificate is asked for.
    pub client_auth: ClientAuth,
}

/// One listening address and what is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    pub(crate) address: SocketAddr,
    /// `None`: HTTP without TLS (HTTP/1, or HTTP/2 by its preface).
    pub(crate) tls: Option<Tls>,
}

impl Listener {
    /// HTTPS with a sound certificate, HTTP/2 and HTTP/1.1.
    pub fn https(address: SocketAddr) -> Self {
        Self::tls(address, Tls::default())
    }

    /// HTTPS in a chosen way.
    pub fn tls(address: SocketAddr, tls: Tls) -> Self {
        Self {
            address,
            tls: Some(tls),
        }
    }

    /// HTTP without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

/// A listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// Not accepted by rustls.
    #[error("cannot configure tls: {0}")]
    Rustls(#[from] rustls::Error),
    /// No way to verify client certificates.
    #[error("cannot verify client certificates: {0}")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
}

impl Tls {
    /// The rustls configuration for a listener.
    pub(crate) fn config(&self, names: &[String], ca: &Ca) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.versions {
            TlsVersions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersions::Tls12 => &[&rustls::version::TLS12],
            TlsVersions::Tls13 => &[&rustls::version::TLS13],
        };
        let identity = ca.server_identity(names, self.certificate)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(self.client_auth.verifier(ca, provider)?)
            .with_single_cert(identity.chain, identity.key)?;
        config.alpn_protocols = match self.alpn {
            Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec()],
            Alpn::None => Vec::new(),
        };
        Ok(Arc::new(config))
    }
}

impl ClientAuth {
    fn verifier(
        self,
        ca: &Ca,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        if self == ClientAuth::None {
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let mut roots = RootCertStore::empty();
        roots.add(ca.certificate().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match self {
            ClientAuth::Requested => verifier.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Required => verifier,
        };
        Ok(verifier.build()?)
    }
}
