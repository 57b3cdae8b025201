//! A share of a connection of HTTP/2.

use std::future::poll_fn;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::events::Got;
use super::request::Request;

/// As clients have them that expect large answers.
const WINDOW: u32 = 4 * 1024 * 1024;

#[derive(Clone)]
pub(in crate::client) struct Connection(SendRequest<Bytes>);

impl Connection {
    pub(super) async fn new(tls: TlsStream<TcpStream>) -> Result<Self> {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(tls)
            .await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(super) async fn call(
        &mut self,
        request: &Request,
        got: &mut Got,
        notice: &mut (dyn FnMut(&mut Got) + Send),
    ) -> Result<()> {
        poll_fn(|context| self.0.poll_ready(context)).await?;
        let (response, mut sent) = self.0.send_request(request.head()?, false)?;
        let mut body = request.body();
        while !body.is_empty() {
            sent.reserve_capacity(body.len());
            let allowed = poll_fn(|context| sent.poll_capacity(context)).await;
            let allowed = allowed.context("the stream was reset")??.min(body.len());
            let part = body.split_to(allowed);
            sent.send_data(part, body.is_empty())?;
        }
        let response = response.await?;
        ensure!(response.status() == 200, "{}", response.status());
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            got.see(&data)?;
            notice(got);
            body.flow_control().release_capacity(data.len())?;
        }
        Ok(())
    }
}
