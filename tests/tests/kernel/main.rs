//! The kernel half as applications, proxies and operators meet it: `weir init`,
//! the programs it attaches, and what they do to system calls. Root, cgroup2 and
//! BPF; each test in a pod of its own.
//!
//! `WEIR_TEST_CONNECTIONS` is how many connections the large test makes, for
//! machines that are emulated in software.

mod canary;
mod claim;
mod contract;
mod correlation;
mod coverage;
mod lifecycle;
mod liveness;
mod neighbours;
mod sidecar;
