//! Whether interception works, found out again and again, and put right where
//! the proxy itself can.

use std::{
    os::fd::AsFd,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::net::TcpListener;

use super::succession::Succession;
use crate::{
    admin::Readiness,
    proxy::{Canary, CanaryError},
    sys::claim::{Token, claim},
};

/// Often enough that an orchestrator learns of it at its next probe, and seldom
/// enough to cost nothing: two connections over loopback.
const INTERVAL: Duration = Duration::from_secs(5);

/// What proves interception, and who is told.
#[derive(Clone)]
pub(super) struct Prover {
    pub(super) canary: Arc<Canary>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) token: Token,
    /// What the kernel half holds for the next proxy; none where there will be
    /// no other one.
    pub(super) succession: Option<Succession>,
    /// Not kept open by this.
    pub(super) listeners: Weak<[TcpListener]>,
}

impl Prover {
    /// Proves interception once, and readiness with it.
    pub(super) async fn prove(&self) -> Result<(), CanaryError> {
        let proven = self.canary.prove().await;
        match &proven {
            Ok(()) => self.readiness.ready(),
            Err(error) => self.readiness.not_ready(&error.to_string()),
        }
        proven
    }

    /// Proves it at each interval, for ever.
    pub(super) async fn keep_proving(&self) {
        let mut worked = true;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut proven = self.prove().await;
            // The kernel half may have been detached and attached anew, and know
            // nothing of our listeners.
            if proven.is_err() && self.claim_again() {
                proven = self.prove().await;
            }
            match proven {
                Ok(()) => {
                    if !worked {
                        tracing::warn!("interception works again");
                    }
                    worked = true;
                }
                Err(error) => {
                    if worked {
                        tracing::error!(%error, "interception does not work");
                    }
                    worked = false;
                }
            }
        }
    }

    fn claim_again(&self) -> bool {
        let Some(listeners) = self.listeners.upgrade() else {
            return false;
        };
        let claimed = listeners
            .iter()
            .all(|listener| claim(listener.as_fd(), &self.token).is_ok());
        if let (true, Some(succession)) = (claimed, &self.succession) {
            succession.renew(&listeners);
        }
        claimed
    }
}
