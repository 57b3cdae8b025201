//! The TLS of a client that knows of no proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::curl::Http;

/// The roots that `SSL_CERT_FILE` names, as any program takes them.
///
/// # Errors
/// The variable names no file of certificates.
pub fn roots() -> Result<Arc<RootCertStore>> {
    let file = std::env::var("SSL_CERT_FILE").context("SSL_CERT_FILE is not set")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&file)? {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(roots))
}

/// Whether a client that comes again has its session resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// By connections of one connector.
    Resumed,
    /// Each handshake is a full one.
    Fresh,
}

/// What makes connections that speak only this.
#[must_use]
pub fn connector(roots: &Arc<RootCertStore>, http: Http, sessions: Sessions) -> TlsConnector {
    let mut config = ClientConfig::builder()
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    if sessions == Sessions::Fresh {
        config.resumption = Resumption::disabled();
    }
    config.alpn_protocols = vec![match http {
        Http::H1 => b"http/1.1".to_vec(),
        Http::H2 => b"h2".to_vec(),
    }];
    TlsConnector::from(Arc::new(config))
}

/// A connection to the server of this name.
///
/// # Errors
/// It cannot be reached, or shows no certificate that is trusted.
pub async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
    host: &'static str,
) -> Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(host)?;
    connector
        .connect(name, tcp)
        .await
        .with_context(|| format!("no TLS with {host} at {address}"))
}
