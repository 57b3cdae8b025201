//! TLS on both legs: the pod-local CA, its leaves, upstream verification, and
//! the trust bundles that let applications believe the CA.
//!
//! Two rules live here and have no switch: the CA's key never leaves this
//! process, unless sealed for the proxy that comes after it, and upstream
//! certificates are always verified, never against our own CA.

pub mod alert;
pub mod authority;
pub mod bundle;
pub mod downstream;
pub mod roots;
pub mod seal;
pub mod stream;
pub mod upstream;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one crypto provider, with post-quantum key exchange.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
