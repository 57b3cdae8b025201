//! A connection of the application, and how it is made.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::RootCertStore;
use tokio_rustls::TlsConnector;
use weir_tests::bench::tls::{Sessions, connect, connector};
use weir_tests::curl::Http;

use super::events::Got;
use super::request::Request;
use super::{http1, http2};
use crate::load::{Load, Pattern};

/// Makes connections.
pub(super) struct Dialler {
    connector: TlsConnector,
    to: SocketAddr,
    host: &'static str,
    http: Http,
}

impl Dialler {
    pub(super) fn new(roots: &Arc<RootCertStore>, load: &Load) -> Self {
        let sessions = match load.pattern {
            Pattern::Dial { resumed: true, .. } => Sessions::Resumed,
            // Most SDKs' stacks resume nothing.
            Pattern::Closed { .. }
            | Pattern::Open { .. }
            | Pattern::Dial { .. }
            | Pattern::Streams { .. }
            | Pattern::Held { .. } => Sessions::Fresh,
        };
        Self {
            connector: connector(roots, load.call.http, sessions),
            to: load.to,
            host: load.call.host.name(),
            http: load.call.http,
        }
    }

    pub(super) async fn dial(&self) -> Result<Connection> {
        let tls = connect(&self.connector, self.to, self.host).await?;
        Ok(match self.http {
            Http::H1 => Connection::H1(Box::new(http1::Connection::new(tls))),
            Http::H2 => Connection::H2(http2::Connection::new(tls).await?),
        })
    }
}

/// A connection, or a share of one.
pub(super) enum Connection {
    H1(Box<http1::Connection>),
    H2(http2::Connection),
}

impl Connection {
    /// Makes a call, and reads the answer to its end.
    pub(super) async fn call(&mut self, request: &Request) -> Result<Got> {
        let mut got = Got::new(request.has_events());
        self.call_noticed(request, &mut got, &mut |_| ()).await?;
        request.check(got.bytes, got.events)?;
        Ok(got)
    }

    /// The same; `notice` is shown what has come so far, whenever something has.
    pub(super) async fn call_noticed(
        &mut self,
        request: &Request,
        got: &mut Got,
        notice: &mut (dyn FnMut(&mut Got) + Send),
    ) -> Result<()> {
        match self {
            Self::H1(connection) => connection.call(request, got, notice).await,
            Self::H2(connection) => connection.call(request, got, notice).await,
        }
    }

    /// Closes it in order.
    pub(super) async fn close(self) {
        match self {
            Self::H1(connection) => connection.close().await,
            Self::H2(_) => {}
        }
    }
}
