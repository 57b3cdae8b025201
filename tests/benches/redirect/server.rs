//! The destination: says what it hears.

use std::net::TcpListener;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SERVER;
use weir_tests::bench::actor::{cpu_ns, serve};

/// Connections that wait to be accepted.
pub(crate) const BACKLOG: i32 = 4096;
/// More than any message of the client.
const BUFFER: usize = 4096;

/// What the server has done so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
}

/// Serves until its input ends.
pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind(SERVER).with_context(|| format!("cannot bind {SERVER}"))?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || echo(listener));
    serve(|(): ()| Ok(Usage { cpu_ns: cpu_ns() }))
}

/// One thread, as the relay has: three processes share what processors there are.
fn echo(listener: TcpListener) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream));
        }
    })
}

/// Until the other end resets the connection, as all do here.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BUFFER];
    while let count @ 1.. = stream.read(&mut buffer).await? {
        stream
            .write_all(buffer.get(..count).unwrap_or_default())
            .await?;
    }
    Ok(())
}
