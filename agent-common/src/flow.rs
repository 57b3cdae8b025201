//! What the kernel remembers of one redirected connection.

/// Which end of a redirected connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The application's socket: `getpeername` answers the real destination.
    Application = 1,
    /// The socket the proxy accepted: `SO_ORIGINAL_DST` answers the real destination.
    Proxy = 2,
    /// A socket that the proxy listens on, proven by a claim.
    Listener = 3,
    /// A socket of the proxy that is to be captured although its cgroup is exempt.
    Canary = 4,
}

/// A redirected connection: where it was going, and who asked.
///
/// Stored in the socket's own storage on both ends, so it lives exactly as long
/// as the socket and cannot be stale. A listener's or a canary's has only a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Destination address, network order; IPv4 as IPv4-mapped.
    pub addr: [u8; 16],
    /// Socket cookie of the application's socket, unique per boot.
    pub cookie: u64,
    /// cgroup v2 id of the task that called `connect`.
    pub cgroup: u64,
    /// Cookie of the network namespace in which the proxy was found listening; 0
    /// if that listener has no storage to hold it too.
    pub netns: u64,
    /// Process (thread group) id of that task, in the initial pid namespace.
    pub pid: u32,
    /// User id of that task, in the initial user namespace.
    pub uid: u32,
    /// Destination port, host order.
    pub port: u16,
    /// 4 or 6: the family of the application's socket. A 6 with an IPv4-mapped
    /// `addr` is a dual-stack socket talking IPv4.
    pub family: u8,
    /// A [`Role`]; a plain byte because the kernel hands it to user space.
    pub role: u8,
    /// 1 if weir bound the socket to the pod's address, and not the application.
    pub source_bound: u32,
}

/// One decision, as written to the event ring while somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowEvent {
    /// What was attempted and by whom. A datagram has no cookie.
    pub flow: Flow,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// A [`FlowReason`](crate::FlowReason).
    pub reason: u32,
    /// IP protocol number: 6 TCP, 17 UDP.
    pub protocol: u32,
}

/// Finds the flow of a connection between its SYN and its acceptance.
///
/// An entry exists only while the application's socket is in `SYN_SENT`. The
/// source address and the proxy's port are part of the key because one source
/// port can be live from two addresses, and towards two proxies, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct HandshakeKey {
    /// The application's source address as the proxy sees it; IPv4 as mapped.
    pub addr: [u8; 16],
    /// Network namespace cookie: two below one cgroup may use the same ports.
    pub netns: u64,
    /// The application's source port, host order.
    pub port: u16,
    /// The proxy's listening port, host order.
    pub proxy_port: u16,
    /// Zero.
    pub reserved: u32,
}

/// The IPv4-mapped form of an IPv4 address given in network order.
#[must_use]
pub const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
    ]
}

/// Whether an address is IPv4-mapped, `::ffff:0:0/96`.
#[must_use]
pub fn is_mapped(addr: &[u8; 16]) -> bool {
    matches!(addr, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

const _: () = {
    assert!(size_of::<Flow>() == 56 && align_of::<Flow>() == 8);
    assert!(core::mem::offset_of!(Flow, cookie) == 16);
    assert!(core::mem::offset_of!(Flow, pid) == 40);
    assert!(core::mem::offset_of!(Flow, port) == 48);
    assert!(core::mem::offset_of!(Flow, source_bound) == 52);
    assert!(size_of::<FlowEvent>() == 72 && align_of::<FlowEvent>() == 8);
    assert!(core::mem::offset_of!(FlowEvent, reason) == 64);
    assert!(size_of::<HandshakeKey>() == 32 && align_of::<HandshakeKey>() == 8);
    assert!(core::mem::offset_of!(HandshakeKey, port) == 24);
    assert!(core::mem::offset_of!(HandshakeKey, reserved) == 28);
};

// SAFETY: `repr(C)`, no padding (asserted above), every bit pattern is valid.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya reads map values as plain bytes")]
unsafe impl aya::Pod for Flow {}
// SAFETY: `repr(C)`, no padding (asserted above), every bit pattern is valid.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya reads map keys as plain bytes")]
unsafe impl aya::Pod for HandshakeKey {}

impl FlowEvent {
    /// Reads an event from the bytes the kernel wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 72]) -> Self {
        let (flow, rest) = bytes.split_at(56);
        let mut whole = [0; 56];
        whole.copy_from_slice(flow);
        let mut at_ns = [0; 8];
        at_ns.copy_from_slice(&rest[..8]);
        Self {
            flow: Flow::from_bytes(&whole),
            at_ns: u64::from_ne_bytes(at_ns),
            reason: u32::from_ne_bytes([rest[8], rest[9], rest[10], rest[11]]),
            protocol: u32::from_ne_bytes([rest[12], rest[13], rest[14], rest[15]]),
        }
    }
}

impl Flow {
    /// What a listener or a canary stores: its role and nothing else.
    #[must_use]
    pub const fn of_role(role: Role) -> Self {
        Self {
            addr: [0; 16],
            cookie: 0,
            cgroup: 0,
            netns: 0,
            pid: 0,
            uid: 0,
            port: 0,
            family: 0,
            role: role as u8,
            source_bound: 0,
        }
    }

    /// Reads a flow from the bytes the kernel wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 56]) -> Self {
        let mut addr = [0; 16];
        addr.copy_from_slice(&bytes[..16]);
        let eight = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let four = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            addr,
            cookie: eight(16),
            cgroup: eight(24),
            netns: eight(32),
            pid: four(40),
            uid: four(44),
            port: u16::from_ne_bytes([bytes[48], bytes[49]]),
            family: bytes[50],
            role: bytes[51],
            source_bound: four(52),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_written_by_hand_reads_back() {
        let mut bytes = [0; 56];
        bytes[..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7]);
        bytes[16..24].copy_from_slice(&0x0102_0304_0506_0708_u64.to_ne_bytes());
        bytes[24..32].copy_from_slice(&9_u64.to_ne_bytes());
        bytes[32..40].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[40..44].copy_from_slice(&4321_u32.to_ne_bytes());
        bytes[44..48].copy_from_slice(&1000_u32.to_ne_bytes());
        bytes[48..50].copy_from_slice(&443_u16.to_ne_bytes());
        bytes[50] = 4;
        bytes[51] = 2;
        bytes[52..56].copy_from_slice(&1_u32.to_ne_bytes());
        let flow = Flow::from_bytes(&bytes);
        assert_eq!(flow.addr, mapped([203, 0, 113, 7]));
        assert!(is_mapped(&flow.addr));
        assert_eq!((flow.cookie, flow.cgroup), (0x0102_0304_0506_0708, 9));
        assert_eq!((flow.netns, flow.source_bound), (7, 1));
        assert_eq!((flow.pid, flow.uid, flow.port), (4321, 1000, 443));
        assert_eq!((flow.family, flow.role), (4, Role::Proxy as u8));
    }

    #[test]
    fn an_event_written_by_hand_reads_back() {
        let mut bytes = [0; 72];
        bytes[48..50].copy_from_slice(&443_u16.to_ne_bytes());
        bytes[56..64].copy_from_slice(&7_000_000_001_u64.to_ne_bytes());
        bytes[64..68].copy_from_slice(&8_u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&17_u32.to_ne_bytes());
        let event = FlowEvent::from_bytes(&bytes);
        assert_eq!((event.flow.port, event.at_ns), (443, 7_000_000_001));
        assert_eq!((event.reason, event.protocol), (8, 17));
    }
}
