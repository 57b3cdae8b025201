//! Opaque bytes both ways, half-closes kept.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::{
    io::{Connection, Prefixed, Reader},
    pipe::Pipe,
};
use crate::{llm::session::Side, meter::exchange::Outcome};

/// From so many bytes in one direction on, they are moved by the kernel. Less is
/// not worth two more descriptors.
const BULK_LEN: u64 = 256 * 1024;

/// Copies between an application and its destination until both directions have
/// ended. When one end breaks, the other is reset.
pub(super) async fn splice(client: Prefixed, mut upstream: TcpStream) -> Tunnelled {
    let (prefix, mut client) = client.into_parts();
    let (client_read, mut client_write) = client.split();
    let (upstream_read, mut upstream_write) = upstream.split();
    let mut from_client = Reader::new(client_read);
    from_client.buffer = prefix;
    let mut from_upstream = Reader::new(upstream_read);
    let (mut sent, mut received) = (0, 0);
    let result = tokio::try_join!(
        async {
            carry(&mut from_client, &mut upstream_write, &mut sent)
                .await
                .map_err(|failed| match failed {
                    Failed::Reading(error) => Broken::Client(error),
                    Failed::Writing(error) => Broken::Upstream(error),
                })
        },
        async {
            carry(&mut from_upstream, &mut client_write, &mut received)
                .await
                .map_err(|failed| match failed {
                    Failed::Reading(error) => Broken::Upstream(error),
                    Failed::Writing(error) => Broken::Client(error),
                })
        },
    );
    let tunnelled = Tunnelled {
        sent,
        received,
        broken: result.err(),
    };
    if tunnelled.broken.is_some() {
        client.reset_on_close();
        upstream.reset_on_close();
    }
    tunnelled
}

/// One direction, to its end.
async fn carry(
    from: &mut Reader<ReadHalf<'_>>,
    to: &mut WriteHalf<'_>,
    count: &mut u64,
) -> Result<(), Failed> {
    loop {
        if !from.buffer.is_empty() {
            to.write_all(&from.buffer).await.map_err(Failed::Writing)?;
            *count = count.saturating_add(from.buffer.len() as u64);
            from.buffer.clear();
        }
        if *count >= BULK_LEN
            && let Ok(pipe) = Pipe::new()
        {
            let (source, sink) = (from.half().as_ref(), to.as_ref());
            pipe.carry(source, sink, count).await?;
            break;
        }
        if from.fill().await.map_err(Failed::Reading)? == 0 {
            break;
        }
    }
    to.shutdown().await.map_err(Failed::Writing)
}

/// What is shown of a tunnel, after it has left for the other end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Passed<'a> {
    /// Bytes that one side sent.
    Bytes(Side, &'a [u8]),
    /// One side has ended its direction.
    End(Side),
}

/// What passed through a tunnel, and how it ended.
#[derive(Debug)]
pub(super) struct Tunnelled {
    /// Bytes from the application.
    pub(super) sent: u64,
    /// Bytes to the application.
    pub(super) received: u64,
    /// The end that broke, if one did.
    pub(super) broken: Option<Broken>,
}

impl Tunnelled {
    pub(super) fn outcome(&self) -> Outcome {
        match &self.broken {
            None => Outcome::Complete,
            Some(Broken::Client(error)) => {
                tracing::debug!(%error, "the client broke off");
                Outcome::ClientGone
            }
            Some(Broken::Upstream(error)) => Outcome::UpstreamGone(format!("upstream: {error}")),
        }
    }
}

/// The end of a tunnel that broke.
#[derive(Debug)]
pub(super) enum Broken {
    Client(io::Error),
    Upstream(io::Error),
}

/// Both directions at once; each passes its end on as a half-close. Ends at
/// once if either end breaks. `see` is shown what has passed.
pub(super) async fn tunnel<CR, CW, UR, UW>(
    client: &mut Reader<CR>,
    client_write: &mut CW,
    upstream: &mut Reader<UR>,
    upstream_write: &mut UW,
    see: impl Fn(Passed<'_>),
) -> Tunnelled
where
    CR: AsyncRead + Unpin,
    CW: AsyncWrite + Unpin,
    UR: AsyncRead + Unpin,
    UW: AsyncWrite + Unpin,
{
    let (mut sent, mut received) = (0, 0);
    let result = tokio::try_join!(
        async {
            copy(client, upstream_write, &mut sent, Side::Client, &see)
                .await
                .map_err(|failed| match failed {
                    Failed::Reading(error) => Broken::Client(error),
                    Failed::Writing(error) => Broken::Upstream(error),
                })
        },
        async {
            copy(upstream, client_write, &mut received, Side::Server, &see)
                .await
                .map_err(|failed| match failed {
                    Failed::Reading(error) => Broken::Upstream(error),
                    Failed::Writing(error) => Broken::Client(error),
                })
        },
    );
    Tunnelled {
        sent,
        received,
        broken: result.err(),
    }
}

/// The end of one direction that broke.
#[derive(Debug)]
pub(super) enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

async fn copy<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut Reader<R>,
    to: &mut W,
    count: &mut u64,
    side: Side,
    see: &impl Fn(Passed<'_>),
) -> Result<(), Failed> {
    loop {
        if !from.buffer.is_empty() {
            to.write_all(&from.buffer).await.map_err(Failed::Writing)?;
            to.flush().await.map_err(Failed::Writing)?;
            *count = count.saturating_add(from.buffer.len() as u64);
            see(Passed::Bytes(side, &from.buffer));
            from.buffer.clear();
        }
        if from.fill().await.map_err(Failed::Reading)? == 0 {
            see(Passed::End(side));
            return to.shutdown().await.map_err(Failed::Writing);
        }
    }
}
