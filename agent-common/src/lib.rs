//! The contract between weir's eBPF programs and its user space.
//!
//! Every byte that crosses the boundary is described here once: the flow that
//! the kernel remembers for a redirected connection ([`Flow`]), the settings
//! user space gives the programs ([`Settings`]), the reasons under which flows
//! are counted ([`FlowReason`]), and the names under which programs and maps
//! appear in `bpftool`. There is no logic here beyond conversion.
//!
//! Layout rules: `repr(C)`, no implicit padding (asserted below), no `bool`,
//! `usize` or `Option`. IP addresses are 16 bytes in network order, IPv4 in its
//! IPv4-mapped form (RFC 4291 §2.5.5.2), so that one comparison serves both
//! families. Ports are in host order, because people read them in
//! `bpftool map dump`.

#![no_std]

mod deposit;
mod flow;
mod names;
mod reason;
mod settings;

pub use deposit::{DEPOSIT_LEN_MAX, Deposit};
pub use flow::{Flow, FlowEvent, HandshakeKey, Role, is_mapped, mapped};
pub use names::{map, program};
pub use reason::{FlowOutcome, FlowReason};
pub use settings::{MAX_LOCAL_ADDRESSES, MAX_PORTS, OnProxyDown, Quic, Settings, TOKEN_LEN};

/// Level of weir's own socket options: "WEIR" in ASCII.
///
/// Above every level the kernel assigns, so that without weir's programs the
/// call fails with `ENOPROTOOPT` and never means something else.
pub const SOL_WEIR: i32 = 0x5745_4952;

/// `setsockopt(SOL_WEIR, SO_WEIR_CLAIM, token)` on a socket that the proxy
/// listens on: the caller's cgroup is exempt from then on, and the listener is
/// one that connections are sent to. `EPERM` for a wrong token.
pub const SO_WEIR_CLAIM: i32 = 1;

/// `getsockopt(SOL_WEIR, SO_WEIR_FLOW)` on an accepted socket of the proxy
/// answers the [`Flow`] that the kernel recorded for it.
pub const SO_WEIR_FLOW: i32 = 2;

/// `getsockopt(SOL_WEIR, SO_WEIR_COUNTERS)` on any socket of a cgroup that has
/// claimed answers `[u64; FlowReason::COUNT]`, the count of reason `n` at index
/// `n - 1`. Unlike the map, it can be read without privileges on every kernel.
pub const SO_WEIR_COUNTERS: i32 = 3;

/// `setsockopt(SOL_WEIR, SO_WEIR_CANARY, token)`: the next `connect` of this
/// socket is captured although its cgroup is exempt. `EPERM` for a wrong token.
pub const SO_WEIR_CANARY: i32 = 4;

/// On a listener that has claimed, `setsockopt(SOL_WEIR, SO_WEIR_DEPOSIT,
/// Deposit)` leaves a [`Deposit`] with the pod, and `getsockopt` answers the one
/// that was left last. `EPERM`, and no answer, on any other socket.
pub const SO_WEIR_DEPOSIT: i32 = 5;
