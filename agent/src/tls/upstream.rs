//! The leg to the provider: TLS as a client, always verified.

use std::{
    cell::Cell,
    future::{Future as _, poll_fn},
    io,
    sync::Arc,
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, RootCertStore, SignatureScheme, client::ResolvesClientCert,
    pki_types::ServerName, sign::CertifiedKey,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::ClientStream;

/// A TLS handshake is two round trips; providers are given ample time, and no
/// more, because an application waits behind it.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(15);

/// Why there is no verified connection to the provider.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamTlsError {
    /// The certificate has expired, or is not valid yet.
    #[error("upstream certificate expired or not yet valid")]
    Expired,
    /// The certificate is for another name.
    #[error("upstream certificate is for another name")]
    WrongName,
    /// No configured root signed the certificate.
    #[error("upstream certificate is signed by an unknown authority (see `tls.upstream_roots`)")]
    UnknownIssuer,
    /// The certificate is unusable in another way.
    #[error("upstream certificate refused: {0}")]
    Certificate(String),
    /// The handshake failed before a certificate was seen, or after.
    #[error("upstream TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The provider did not finish the handshake.
    #[error("upstream TLS handshake timed out")]
    Timeout,
}

impl UpstreamTlsError {
    /// Whether it is the certificate that was refused.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        match self {
            Self::Expired | Self::WrongName | Self::UnknownIssuer | Self::Certificate(_) => true,
            Self::Handshake(_) | Self::Timeout => false,
        }
    }
}

/// What came of a handshake that was not refused.
pub enum Handshaken<S> {
    /// A verified connection.
    Verified(Box<ClientStream<S>>),
    /// The provider asked for a client certificate, which only the application
    /// can have. The connection is closed.
    WantsClientCertificate,
}

/// Makes verified connections.
#[derive(Clone)]
pub struct Upstream {
    base: ClientConfig,
}

impl Upstream {
    /// Verifies against these roots, and no others.
    ///
    /// # Errors
    ///
    /// Only if the crypto provider lacks the default protocol versions.
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let base = ClientConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(NoCertificate));
        Ok(Self { base })
    }

    /// Handshakes as a client of `name`, offering exactly `alpn`.
    ///
    /// # Errors
    ///
    /// [`UpstreamTlsError`]; whatever it is, nothing of the application's has
    /// been sent.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tcp: S,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Handshaken<S>, UpstreamTlsError> {
        let mut config = self.base.clone();
        config.alpn_protocols = alpn;
        // Boxed, because relays that may have to make one would all be as large.
        let handshake = ClientStream::connect(Arc::new(config), name, tcp);
        let mut handshake = Box::pin(handshake);
        let mut asked = false;
        let handshake = poll_fn(|context| {
            ASKED.set(false);
            let polled = handshake.as_mut().poll(context);
            asked |= ASKED.get();
            polled
        });
        let outcome = tokio::time::timeout(HANDSHAKE_WAIT, handshake)
            .await
            .map_err(|_elapsed| UpstreamTlsError::Timeout)?
            .map_err(classify);
        match outcome {
            // In TLS 1.2 a provider that requires one says so by failing the
            // handshake; in TLS 1.3 it would fail after it.
            Ok(_) | Err(UpstreamTlsError::Handshake(_)) if asked => {
                Ok(Handshaken::WantsClientCertificate)
            }
            outcome => outcome.map(|stream| Handshaken::Verified(Box::new(stream))),
        }
    }
}

fn classify(error: io::Error) -> UpstreamTlsError {
    let Some(rustls::Error::InvalidCertificate(reason)) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return UpstreamTlsError::Handshake(error);
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list is open; what is not named keeps its own words"
    )]
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => UpstreamTlsError::Expired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            UpstreamTlsError::WrongName
        }
        // A bad signature is that of another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            UpstreamTlsError::UnknownIssuer
        }
        other => UpstreamTlsError::Certificate(other.to_string()),
    }
}

thread_local! {
    /// A server has sent a CertificateRequest to the handshake that runs on this
    /// thread at this moment.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Has no certificate, and notes that it was asked for one.
///
/// One for all connections: rustls resumes a session only for the very resolver
/// that it was made with.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ASKED.set(true);
        None
    }

    fn has_certs(&self) -> bool {
        // rustls calls `resolve` either way; true keeps the request visible.
        true
    }
}
