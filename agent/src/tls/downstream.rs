//! The leg to the application: TLS as a server, with a leaf of our own CA.

use std::{io, sync::Arc, time::SystemTime};

use rustls::{
    AlertDescription, ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::authority::Authority;

/// Server configurations, one for each answer to ALPN.
///
/// They are kept, rather than made per connection, so that an application that
/// comes back can resume its session. What that takes is in its ticket, under a key
/// of this process that changes after hours (RFC 5077): here is nothing to be kept,
/// and to be bounded, for sessions that mostly are never resumed.
#[derive(Clone)]
pub struct Downstream {
    h2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl Downstream {
    /// # Errors
    ///
    /// Only if the crypto provider lacks the default protocol versions, or there is
    /// no randomness.
    pub fn new(authority: &Arc<Authority>) -> Result<Self, rustls::Error> {
        let ticketer = Ticketer::new()?;
        let config = |protocols: &[&[u8]]| -> Result<_, rustls::Error> {
            let mut config = ServerConfig::builder_with_provider(super::provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Leaves(Arc::clone(authority))));
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config.ticketer = Arc::clone(&ticketer);
            config.session_storage = Arc::new(NoServerSessionStorage {});
            // Each connection brings one, and so leaves as many as it used.
            config.send_tls13_tickets = 1;
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

#[cfg(test)]
mod tests {
    use rustls::{
        ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
        pki_types::{CertificateDer, pem::PemObject},
        version::{TLS12, TLS13},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls::{
        provider,
        stream::{ClientStream, ServerStream},
    };

    /// A client that believes the authority, and remembers sessions.
    fn client(
        authority: &Authority,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let pem = authority.certificate_pem().as_bytes();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        Arc::new(config)
    }

    /// Connects, and says how each end shook hands.
    async fn shaken(client: &Arc<ClientConfig>, server: Arc<ServerConfig>) -> [HandshakeKind; 2] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = "api.openai.com".try_into().unwrap();
        let (client, server) = tokio::join!(
            ClientStream::connect(Arc::clone(client), name, near),
            ServerStream::accept(server, far)
        );
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        // With what is read comes the ticket of TLS 1.3.
        server.write_all(b"!").await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        [client.state(), server.state()].map(|state| state.handshake_kind().unwrap())
    }

    #[tokio::test]
    async fn a_session_is_resumed_whatever_upstream_picks() {
        let authority = Arc::new(Authority::new(None, SystemTime::now()).unwrap());
        for version in [&TLS12, &TLS13] {
            let downstream = Downstream::new(&authority).unwrap();
            let client = client(&authority, version);
            let first = shaken(&client, downstream.answering(Some(b"h2"))).await;
            assert_eq!(first, [HandshakeKind::Full; 2], "{version:?}");
            for picked in [Some(&b"h2"[..]), Some(b"http/1.1"), None] {
                let again = shaken(&client, downstream.answering(picked)).await;
                assert_eq!(
                    again,
                    [HandshakeKind::Resumed; 2],
                    "{version:?}, {picked:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_session_is_not_resumed_by_another_process() {
        let authority = Arc::new(Authority::new(None, SystemTime::now()).unwrap());
        let client = client(&authority, &TLS13);
        for _ in 0..2 {
            let downstream = Downstream::new(&authority).unwrap();
            let kinds = shaken(&client, downstream.answering(None)).await;
            assert_eq!(kinds, [HandshakeKind::Full; 2]);
        }
    }
}
