//! Wiring, and the order of starting and stopping.

pub mod exec;
pub mod proxy;
