//! Whether interception works, found out again and again.

use std::{sync::Arc, time::Duration};

use crate::{
    admin::Readiness,
    proxy::{Canary, CanaryError},
};

/// Often enough that an orchestrator learns of it at its next probe, and seldom
/// enough to cost nothing: two connections over loopback.
const INTERVAL: Duration = Duration::from_secs(5);

/// Proves interception once, and readiness with it.
pub(super) async fn prove(canary: &Canary, readiness: &Readiness) -> Result<(), CanaryError> {
    let proven = canary.prove().await;
    match &proven {
        Ok(()) => readiness.ready(),
        Err(error) => readiness.not_ready(&error.to_string()),
    }
    proven
}

/// Proves it at each interval, for ever.
pub(super) async fn keep_proving(canary: Arc<Canary>, readiness: Arc<Readiness>) {
    let mut worked = true;
    loop {
        tokio::time::sleep(INTERVAL).await;
        match prove(&canary, &readiness).await {
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
