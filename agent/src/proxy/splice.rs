//! Opaque bytes both ways, half-closes kept.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::io::{Connection, Prefixed, Reader};

/// Copies between an application and its destination until both directions have
/// ended. Returns the bytes sent and received, and how it ended.
pub(super) async fn splice(client: Prefixed, upstream: TcpStream) -> (u64, u64, Spliced) {
    let (client_read, mut client_write) = tokio::io::split(client);
    let (upstream_read, mut upstream_write) = tokio::io::split(upstream);
    let mut client = Reader::new(client_read);
    let mut upstream = Reader::new(upstream_read);
    let (sent, received, clean) = tunnel(
        &mut client,
        &mut client_write,
        &mut upstream,
        &mut upstream_write,
    )
    .await;
    if !clean {
        client.into_half().unsplit(client_write).reset_on_close();
        upstream
            .into_half()
            .unsplit(upstream_write)
            .reset_on_close();
    }
    (
        sent,
        received,
        if clean {
            Spliced::Ended
        } else {
            Spliced::Broken
        },
    )
}

/// How a spliced connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spliced {
    /// Both ends closed.
    Ended,
    /// One end reset, and so was the other.
    Broken,
}

/// Both directions at once; each passes its end on as a half-close. Ends at
/// once if either direction fails. Returns bytes sent, received, and whether
/// both ended in order.
pub(super) async fn tunnel<CR, CW, UR, UW>(
    client: &mut Reader<CR>,
    client_write: &mut CW,
    upstream: &mut Reader<UR>,
    upstream_write: &mut UW,
) -> (u64, u64, bool)
where
    CR: AsyncRead + Unpin,
    CW: AsyncWrite + Unpin,
    UR: AsyncRead + Unpin,
    UW: AsyncWrite + Unpin,
{
    let (mut sent, mut received) = (0, 0);
    let result = tokio::try_join!(
        copy(client, upstream_write, &mut sent),
        copy(upstream, client_write, &mut received),
    );
    if let Err(error) = &result {
        tracing::debug!(%error, "a spliced connection broke");
    }
    (sent, received, result.is_ok())
}

async fn copy<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut Reader<R>,
    to: &mut W,
    count: &mut u64,
) -> io::Result<()> {
    loop {
        if !from.buffer.is_empty() {
            to.write_all(&from.buffer).await?;
            to.flush().await?;
            *count = count.saturating_add(from.buffer.len() as u64);
            from.buffer.clear();
        }
        if from.fill().await? == 0 {
            return to.shutdown().await;
        }
    }
}
