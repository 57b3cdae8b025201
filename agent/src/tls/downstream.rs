//! The leg to the application: TLS as a server, with a leaf of our own CA.

use std::{io, sync::Arc, time::SystemTime};

use rustls::{
    AlertDescription, ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::authority::Authority;

/// Server configurations, one for each answer to ALPN.
///
/// They are kept, rather than made per connection, so that an application that
/// comes back can resume its session.
#[derive(Clone)]
pub struct Downstream {
    h2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl Downstream {
    /// # Errors
    ///
    /// Only if the crypto provider lacks the default protocol versions.
    pub fn new(authority: &Arc<Authority>) -> Result<Self, rustls::Error> {
        let config = |protocols: &[&[u8]]| -> Result<_, rustls::Error> {
            let mut config = ServerConfig::builder_with_provider(super::provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Leaves(Arc::clone(authority))));
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            h2: config(&[b"h2"])?,
            http1: config(&[b"http/1.1", b"http/1.0"])?,
            silent: config(&[])?,
        })
    }

    /// The configuration that answers with the provider's pick.
    #[must_use]
    pub fn answering(&self, alpn: Option<&[u8]>) -> Arc<ServerConfig> {
        Arc::clone(match alpn {
            Some(b"h2") => &self.h2,
            Some(_) => &self.http1,
            None => &self.silent,
        })
    }
}

#[derive(Debug)]
struct Leaves(Arc<Authority>);

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?.to_ascii_lowercase();
        match self.0.leaf(&host, SystemTime::now()) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                tracing::error!(%host, %error, "cannot mint a certificate");
                None
            }
        }
    }
}

/// Whether the application refused our certificate: it does not trust the CA,
/// or pins another one.
///
/// In TLS 1.3 the alert can arrive after the server side has finished, with the
/// first read.
#[must_use]
pub fn refused_certificate(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
        ))
    )
}
