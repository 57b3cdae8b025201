//! The provider emulator, in a namespace.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use weir_emulator::{Builder, Emulator, Identity, Told};

use crate::namespace::Namespace;
use crate::output::PATIENCE;

/// A running emulator. It ends when this is dropped.
///
/// It runs on a thread of the test program: its ledger can be read as values,
/// and the tokenizer's vocabulary, most of a second in a debug build, is loaded
/// once.
pub struct Provider {
    emulator: Arc<Emulator>,
    runtime: Handle,
    /// Ends the runtime, and everything on it, when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts it; returns once connections are accepted.
    ///
    /// # Errors
    /// An address it is to listen on is not to be had.
    pub fn start(namespace: &Namespace, builder: Builder) -> Result<Self> {
        let (started, starts) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = namespace.inside(|| {
            thread::spawn(move || {
                let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _nobody = started.send(Err(error.into()));
                        return;
                    }
                };
                runtime.block_on(async {
                    let emulator = builder.start().await;
                    let emulator = emulator.context("cannot start the emulator").map(Arc::new);
                    let handle = Handle::current();
                    if started.send(emulator.map(|it| (it, handle))).is_ok() {
                        let _stopped = stopped.await;
                    }
                });
            })
        })?;
        let (emulator, runtime) = starts.recv().context("the emulator's thread is gone")??;
        Ok(Self {
            emulator,
            runtime,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The certificate of its CA.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.emulator.ca_pem()
    }

    /// An identity of its CA for a server of the test's own.
    ///
    /// # Errors
    /// No certificate could be made.
    pub fn identity(&self, names: &[&str]) -> Result<Identity> {
        Ok(self.emulator.ca().identity(names)?)
    }

    /// What was told in the exchanges that have ended, oldest first.
    #[must_use]
    pub fn ledger(&self) -> Vec<Told> {
        self.emulator.ledger()
    }

    /// Waits until `condition` holds for the ledger.
    ///
    /// # Errors
    /// It took too long; shows the ledger.
    pub fn wait_ledger(&self, condition: impl FnMut(&[Told]) -> bool) -> Result<Vec<Told>> {
        let wait = self.emulator.wait_ledger(PATIENCE, condition);
        Ok(self.runtime.block_on(wait)?)
    }

    /// Waits until `condition` holds for the handshakes that failed, each as
    /// its reason.
    ///
    /// # Errors
    /// It took too long; shows the reasons.
    pub fn wait_failed_handshakes(
        &self,
        condition: impl FnMut(&[String]) -> bool,
    ) -> Result<Vec<String>> {
        let wait = self.emulator.wait_failed_handshakes(PATIENCE, condition);
        self.runtime
            .block_on(wait)
            .map_err(|failed| anyhow!("not within {PATIENCE:?}: handshakes failed by {failed:?}"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Provider").finish_non_exhaustive()
    }
}
