//! Why a flow was, or was not, handed to the proxy.

/// The reason under which the kernel counts a flow. Every `connect`, and every
/// datagram towards a captured port, is counted under exactly one that has an
/// [`outcome`](FlowReason::outcome). The others are events beside them.
///
/// An enum, so that `bpftool map dump` prints names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FlowReason {
    /// Redirected to the proxy.
    Redirected = 1,
    /// The destination port is not captured.
    OtherPort = 2,
    /// The destination is this host's loopback, or unspecified.
    Loopback = 3,
    /// The destination is link-local: cloud metadata services live there.
    LinkLocal = 4,
    /// Neither TCP nor UDP.
    OtherProtocol = 5,
    /// The caller is in a cgroup that has claimed to be the proxy's.
    Exempt = 6,
    /// The socket is bound to a network device, which loopback cannot serve.
    BoundToDevice = 7,
    /// UDP towards a captured port, refused so that the client uses TCP.
    QuicRefused = 8,
    /// UDP towards a captured port, let through as configured.
    QuicAllowed = 9,
    /// The proxy does not listen; the call fails.
    ProxyDownClosed = 10,
    /// The proxy does not listen; let through as configured.
    ProxyDownOpen = 11,
    /// The kernel could not store the destination; refused.
    StorageFailed = 12,
    /// The programs are attached but not configured yet; let through.
    NotConfigured = 13,
    /// The destination is one of the pod's own addresses.
    LocalAddress = 14,
    /// The caller is the user that is exempt by configuration.
    ExemptUser = 15,
    /// The proxy's own proof that the programs act, redirected.
    Canary = 16,
    /// A redirected connection whose destination could not be handed over; the
    /// proxy refuses it. Counted in addition to [`Self::Redirected`].
    HandshakeFull = 17,
    /// Somebody presented a wrong token.
    ClaimRefused = 18,
    /// A listener on the proxy's port has not claimed it, and got nothing.
    /// Counted in addition to what became of the flow.
    ListenerUnclaimed = 19,
    /// The proxy presented the right token, once for each of its listeners.
    Claimed = 20,
    /// The destination is multicast or broadcast, where no TCP connection goes.
    NotUnicast = 21,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowOutcome {
    /// It went to the proxy.
    Redirected,
    /// It went where the application sent it, past the proxy.
    Passed,
    /// It went nowhere.
    Refused,
    /// It is weir's own.
    Own,
}

impl FlowOutcome {
    /// A stable name for metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Own => "own",
        }
    }
}

impl FlowReason {
    /// How many there are.
    pub const COUNT: usize = 21;

    /// Every reason, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Redirected,
        Self::OtherPort,
        Self::Loopback,
        Self::LinkLocal,
        Self::OtherProtocol,
        Self::Exempt,
        Self::BoundToDevice,
        Self::QuicRefused,
        Self::QuicAllowed,
        Self::ProxyDownClosed,
        Self::ProxyDownOpen,
        Self::StorageFailed,
        Self::NotConfigured,
        Self::LocalAddress,
        Self::ExemptUser,
        Self::Canary,
        Self::HandshakeFull,
        Self::ClaimRefused,
        Self::ListenerUnclaimed,
        Self::Claimed,
        Self::NotUnicast,
    ];

    /// The reason with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| *reason as u32 == number)
    }

    /// What became of a flow that is counted under this reason; none for events.
    #[must_use]
    pub const fn outcome(self) -> Option<FlowOutcome> {
        match self {
            Self::Redirected => Some(FlowOutcome::Redirected),
            Self::OtherPort
            | Self::Loopback
            | Self::LinkLocal
            | Self::OtherProtocol
            | Self::BoundToDevice
            | Self::QuicAllowed
            | Self::ProxyDownOpen
            | Self::NotConfigured
            | Self::LocalAddress
            | Self::NotUnicast => Some(FlowOutcome::Passed),
            Self::QuicRefused | Self::ProxyDownClosed | Self::StorageFailed => {
                Some(FlowOutcome::Refused)
            }
            Self::Exempt | Self::ExemptUser | Self::Canary => Some(FlowOutcome::Own),
            Self::HandshakeFull | Self::ClaimRefused | Self::ListenerUnclaimed | Self::Claimed => {
                None
            }
        }
    }

    /// A stable name for metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::OtherPort => "other_port",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
            Self::OtherProtocol => "other_protocol",
            Self::Exempt => "exempt",
            Self::BoundToDevice => "bound_to_device",
            Self::QuicRefused => "quic_refused",
            Self::QuicAllowed => "quic_allowed",
            Self::ProxyDownClosed => "proxy_down_closed",
            Self::ProxyDownOpen => "proxy_down_open",
            Self::StorageFailed => "storage_failed",
            Self::NotConfigured => "not_configured",
            Self::LocalAddress => "local_address",
            Self::ExemptUser => "exempt_user",
            Self::Canary => "canary",
            Self::HandshakeFull => "handshake_full",
            Self::ClaimRefused => "claim_refused",
            Self::ListenerUnclaimed => "listener_unclaimed",
            Self::Claimed => "claimed",
            Self::NotUnicast => "not_unicast",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FlowReason;

    #[test]
    fn every_number_from_one_names_a_reason() {
        for (index, reason) in FlowReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index + 1);
            assert_eq!(FlowReason::from_number(reason as u32), Some(reason));
        }
        assert_eq!(FlowReason::from_number(0), None);
        assert_eq!(FlowReason::from_number(22), None);
    }
}
