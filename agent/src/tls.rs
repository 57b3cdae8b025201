//! TLS on both legs: the pod-local CA, its leaves, upstream verification, and
//! the trust bundles that let applications believe the CA.

pub mod bundle;
