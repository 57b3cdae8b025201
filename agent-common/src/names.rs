//! The names that programs and maps carry in the kernel.
//!
//! The kernel keeps 15 characters of a name; all of these fit.

/// Names of programs, as functions in the object and in `bpftool prog`.
pub mod program {
    /// `connect` on IPv4 sockets.
    pub const CONNECT4: &str = "weir_connect4";
    /// `connect` on IPv6 sockets.
    pub const CONNECT6: &str = "weir_connect6";
    /// `sendto`/`sendmsg` on unconnected IPv4 UDP sockets.
    pub const SENDMSG4: &str = "weir_sendmsg4";
    /// `sendto`/`sendmsg` on unconnected IPv6 UDP sockets.
    pub const SENDMSG6: &str = "weir_sendmsg6";
    /// `getpeername` on IPv4 sockets.
    pub const PEERNAME4: &str = "weir_peername4";
    /// `getpeername` on IPv6 sockets.
    pub const PEERNAME6: &str = "weir_peername6";
    /// TCP state changes of both ends.
    pub const SOCK_OPS: &str = "weir_sock_ops";
    /// `getsockopt`: answers the original destination.
    pub const GETSOCKOPT: &str = "weir_getsockopt";
    /// `setsockopt`: takes the proxy's claim.
    pub const SETSOCKOPT: &str = "weir_setsockopt";
}

/// Names of maps, as statics in the object and in `bpftool map`.
pub mod map {
    /// One [`Settings`](crate::Settings).
    pub const SETTINGS: &str = "WEIR_SETTINGS";
    /// cgroup ids whose traffic is never captured: the proxy's.
    pub const EXEMPT: &str = "WEIR_EXEMPT";
    /// [`Flow`](crate::Flow) in the storage of sockets of both ends.
    pub const FLOW: &str = "WEIR_FLOW";
    /// [`Flow`](crate::Flow) by [`HandshakeKey`](crate::HandshakeKey) during a handshake.
    pub const HANDSHAKE: &str = "WEIR_HANDSHAKE";
    /// Flows counted by [`FlowReason`](crate::FlowReason).
    pub const COUNTERS: &str = "WEIR_COUNTERS";
    /// The keys of [`EXEMPT`] in the order of their claims.
    pub const CLAIMS: &str = "WEIR_CLAIMS";
    /// The pod's own addresses, which are never captured.
    pub const LOCAL: &str = "WEIR_LOCAL";
    /// One [`Deposit`](crate::Deposit).
    pub const DEPOSIT: &str = "WEIR_DEPOSIT";
    /// Ring of [`FlowEvent`](crate::FlowEvent).
    pub const EVENTS: &str = "WEIR_EVENTS";
}

#[cfg(test)]
mod tests {
    use super::{map, program};

    #[test]
    fn names_fit_what_the_kernel_keeps() {
        for name in [
            program::CONNECT4,
            program::CONNECT6,
            program::SENDMSG4,
            program::SENDMSG6,
            program::PEERNAME4,
            program::PEERNAME6,
            program::SOCK_OPS,
            program::GETSOCKOPT,
            program::SETSOCKOPT,
            map::SETTINGS,
            map::EXEMPT,
            map::FLOW,
            map::HANDSHAKE,
            map::COUNTERS,
            map::CLAIMS,
            map::LOCAL,
            map::DEPOSIT,
            map::EVENTS,
        ] {
            assert!(name.len() <= 15, "{name} is longer than 15 characters");
        }
    }
}
