//! The part of weir's eBPF programs that is plain Rust: the decision.
//!
//! The programs themselves are the `weir-bpf` binary of this package, which
//! builds for `bpfel-unknown-none` only (`cargo xtask build`).

#![no_std]

mod decide;

pub use decide::{
    Attempt, Caller, Decision, Listener, Transport, captures, decide, given_listener,
    is_listen_port, listen_port,
};
