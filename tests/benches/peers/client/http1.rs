//! A connection of HTTP/1.1.

use anyhow::{Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::events::Got;
use super::request::Request;
use crate::framing::{self, Body, Chunks};

/// Room for one read of a head or an event, and of a document.
const READ: usize = 2 * 1024;
const READ_MORE: usize = 32 * 1024;

pub(in crate::client) struct Connection {
    tls: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Connection {
    pub(super) fn new(tls: TlsStream<TcpStream>) -> Self {
        Self {
            tls,
            buffer: BytesMut::new(),
        }
    }

    pub(super) async fn call(
        &mut self,
        request: &Request,
        got: &mut Got,
        notice: &mut (dyn FnMut(&mut Got) + Send),
    ) -> Result<()> {
        self.tls.write_all(&request.bytes).await?;
        self.tls.flush().await?;
        let head = loop {
            self.read(READ).await?;
            if let Some(head) = framing::head(&mut self.buffer) {
                break head;
            }
        };
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.starts_with("HTTP/1.1 200 "), "{status:?}");
        match head.body()? {
            Body::None => bail!("an answer without a length"),
            Body::Sized(length) => {
                let mut left = length;
                loop {
                    let here = left.min(self.buffer.len());
                    got.see(self.buffer.get(..here).unwrap_or_default())?;
                    self.buffer.advance(here);
                    left -= here;
                    if left == 0 {
                        return Ok(());
                    }
                    self.read(READ_MORE).await?;
                }
            }
            Body::Chunked => {
                let mut chunks = Chunks::default();
                while !chunks.take(&mut self.buffer, |part| got.see(part))? {
                    notice(got);
                    self.read(READ).await?;
                }
                Ok(())
            }
        }
    }

    async fn read(&mut self, room: usize) -> Result<()> {
        self.buffer.reserve(room);
        let count = self.tls.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the connection was closed");
        Ok(())
    }

    pub(super) async fn close(mut self) {
        // Whoever was first at it.
        let _closed = self.tls.shutdown().await;
    }
}
