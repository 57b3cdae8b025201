//! weir in manifests of Kubernetes: what goes in, what may not, and the way back.

mod deploy;
mod filter;
mod manifests;
mod refusals;
mod reviews;
mod trust;
mod valid;
mod webhook;
