//! Wiring, and the order of starting and stopping.

pub mod exec;
pub mod log;
pub mod proxy;
