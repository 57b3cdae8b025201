//! The provider: answers what it is asked for, at once and exactly.
//!
//! The emulator of the suites counts tokens and imitates much; beside it a
//! proxy's microseconds would not be seen. This one has its documents ready.

mod http1;
mod http2;
mod said;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use weir_tests::bench::actor::serve;

use said::Said;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Where it listens.
pub(crate) const PORT: u16 = 443;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its certificate and those above it, as PEM.
    #[arg(long)]
    chain: PathBuf,
    /// Its key, as PEM.
    #[arg(long)]
    key: PathBuf,
}

/// Serves until its input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chain = CertificateDer::pem_file_iter(&args.chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))
        .with_context(|| format!("cannot listen on port {PORT}"))?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || accept_all(listener, &acceptor));
    serve(|(): ()| Ok(()))
}

fn accept_all(listener: TcpListener, acceptor: &TlsAcceptor) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let said = Arc::new(Said::default());
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (tcp, _) = listener.accept().await?;
            let (acceptor, said) = (acceptor.clone(), Arc::clone(&said));
            tokio::spawn(async move {
                // What a client makes of it is the client's to report.
                let _ended = connection(tcp, acceptor, &said).await;
            });
        }
    })
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor, said: &Arc<Said>) -> Result<()> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2::serve(tls, said).await,
        _ => http1::serve(tls, said).await,
    }
}
