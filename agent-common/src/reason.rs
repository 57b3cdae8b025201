//! Why a flow was, or was not, handed to the proxy.

/// The reason under which the kernel counts a flow. Every `connect`, and every
/// datagram towards a captured port, is counted under exactly one.
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
    /// The caller is in the proxy's own cgroup.
    Exempt = 6,
    /// The socket is bound to a network device, which loopback cannot serve.
    BoundToDevice = 7,
    /// UDP towards a captured port, refused so that the client uses TCP.
    QuicRefused = 8,
    /// UDP towards a captured port, let through as configured.
    QuicAllowed = 9,
    /// Nothing listens on the proxy's port; refused.
    ProxyDownClosed = 10,
    /// Nothing listens on the proxy's port; let through as configured.
    ProxyDownOpen = 11,
    /// The kernel could not store the destination; refused.
    StorageFailed = 12,
    /// The programs are attached but not configured yet; let through.
    NotConfigured = 13,
}

impl FlowReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 13] = [
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
    ];

    /// The reason with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| *reason as u32 == number)
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
        assert_eq!(FlowReason::from_number(14), None);
    }
}
