//! The proxy: asks the kernel where a connection was going, connects there, and
//! copies both ways. The same for every way of redirecting, down to the ports it
//! listens on; only the claim is weir's alone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;
use weir::sys::claim::{Token, claim};
use weir_tests::pod::CaptureState;

use crate::SERVER;
use crate::server::BACKLOG;
use weir_tests::bench::actor::{cpu_ns, serve};

/// The first port, as `weir init` has it by default.
pub(crate) const PORT: u16 = 15001;
/// How many ports, as `weir init` has it. A rule of iptables leads to the first.
const PORTS: u16 = 16;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory that `weir init` wrote; without it nothing is claimed.
    #[arg(long)]
    state: Option<PathBuf>,
}

/// What the relay has done so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// Connections relayed.
    pub(crate) connections: u64,
    /// Connections that could not be.
    pub(crate) failures: u64,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    failures: AtomicU64,
}

/// Serves until its input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let token = args.state.as_deref().map(token).transpose()?;
    let listeners = (PORT..PORT + PORTS)
        .map(|port| listen(port, token.as_ref()))
        .collect::<Result<Vec<_>>>()?;
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    std::thread::spawn(move || relay_all(listeners, counted));
    serve(|(): ()| {
        Ok(Usage {
            cpu_ns: cpu_ns(),
            connections: seen.connections.load(Ordering::Relaxed),
            failures: seen.failures.load(Ordering::Relaxed),
        })
    })
}

/// What to claim with.
fn token(state: &Path) -> Result<Token> {
    let text = std::fs::read(state.join("capture.json")).context("weir init has not run")?;
    let state: CaptureState = serde_json::from_slice(&text)?;
    ensure!(
        (state.listen_port, state.listen_count) == (PORT, PORTS),
        "weir redirects elsewhere: {} ports from {}",
        state.listen_count,
        state.listen_port
    );
    Ok(state.token.parse()?)
}

fn listen(port: u16, token: Option<&Token>) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket
        .bind(&address.into())
        .with_context(|| format!("cannot bind {address}"))?;
    if let Some(token) = token {
        claim(socket.as_fd(), token)?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn relay_all(listeners: Vec<TcpListener>, seen: Arc<Seen>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            accepting.spawn(accept(listener, Arc::clone(&seen)));
        }
        while let Some(ended) = accepting.join_next().await {
            ended??;
        }
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, seen: Arc<Seen>) -> Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            match upstream(&client).await {
                Ok(upstream) => {
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                    copy(client, upstream).await;
                }
                Err(error) => {
                    seen.failures.fetch_add(1, Ordering::Relaxed);
                    eprintln!("the relay: {error:#}");
                }
            }
        });
    }
}

/// The connection to where the client was going.
async fn upstream(client: &TcpStream) -> Result<TcpStream> {
    let to = SockRef::from(client)
        .original_dst_v4()
        .context("no original destination")?
        .as_socket_ipv4();
    // Anything else would be another benchmark, or a circle.
    ensure!(to == Some(SERVER), "the destination was {to:?}");
    let upstream = TcpStream::connect(SERVER)
        .await
        .context("cannot connect to the server")?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    // Reset at the end. Closed in order, connections to this one address stay in
    // TIME_WAIT, until looking for a free port is all that is measured.
    SockRef::from(&upstream).set_linger(Some(Duration::ZERO))?;
    Ok(upstream)
}

/// Until the client resets the connection, as it does for the same reason.
async fn copy(mut client: TcpStream, mut upstream: TcpStream) {
    let _reset = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
}
