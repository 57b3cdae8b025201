//! What an emulator is made from.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::api::Memory;
use crate::ca::{Ca, CaError};
use crate::controls::Controls;
use crate::emulator::Emulator;
use crate::ledger::Ledger;
use crate::listener::{Listener, TlsError};
use crate::serve::Emulation;

/// The names that certificates are for unless others are given.
const NAMES: [&str; 2] = ["api.openai.com", "api.anthropic.com"];

/// Where the ids of answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ids {
    /// From the content of the request: equal requests get equal bytes, so
    /// that two deliveries of one answer can be compared.
    #[default]
    ByContent,
    /// From the content and the number of the exchange: as with the
    /// providers, no two answers have the same id.
    Unique,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nowhere to listen.
    #[error("no address to listen on: give at least one")]
    NoListener,
    /// An address is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Collects what an emulator is made from; see [`Emulator::builder`].
#[derive(Default)]
pub struct Builder {
    names: Vec<String>,
    ca: Option<Ca>,
    listeners: Vec<Listener>,
    defaults: Controls,
    ids: Ids,
    ledger_file: Option<Box<dyn Write + Send>>,
}

impl Builder {
    /// The names that certificates are for (`api.openai.com` and
    /// `api.anthropic.com` unless given).
    #[must_use]
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.names.extend(names.into_iter().map(Into::into));
        self
    }

    /// The CA that issues certificates (a new one unless given).
    #[must_use]
    pub fn ca(mut self, ca: Ca) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Listens for HTTPS on an address; port 0 takes a free one.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listener(Listener::https(address))
    }

    /// Listens in a chosen way.
    #[must_use]
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// How answers are given where a request's headers do not say.
    #[must_use]
    pub fn defaults(mut self, defaults: Controls) -> Self {
        self.defaults = defaults;
        self
    }

    /// Where the ids of answers come from.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Self {
        self.ids = ids;
        self
    }

    /// Writes each ledger entry as a JSON line too, flushed.
    #[must_use]
    pub fn ledger_file(mut self, file: impl Write + Send + 'static) -> Self {
        self.ledger_file = Some(Box::new(file));
        self
    }

    /// Starts listening; returns once connections are accepted.
    ///
    /// # Errors
    /// An address is taken or not this machine's, or TLS cannot be set up.
    pub async fn start(self) -> Result<Emulator, StartError> {
        if self.listeners.is_empty() {
            return Err(StartError::NoListener);
        }
        let ca = match self.ca {
            Some(ca) => ca,
            None => Ca::generate()?,
        };
        let names = if self.names.is_empty() {
            NAMES.map(str::to_owned).to_vec()
        } else {
            self.names
        };
        let emulation = Arc::new(Emulation {
            ledger: Arc::new(Ledger::new(self.ledger_file)),
            memory: Memory::default(),
            defaults: self.defaults,
            ids: self.ids,
        });
        Emulator::start(&self.listeners, &names, ca, emulation).await
    }
}
