//! What user space tells the programs.

/// How many destination ports can be captured; the verifier unrolls the loop.
pub const MAX_PORTS: usize = 16;

/// How many addresses of the pod's own are left alone; on a machine with many
/// bridges they are some dozens.
pub const MAX_LOCAL_ADDRESSES: usize = 1024;

/// How many bytes the secret has that the proxy presents.
pub const TOKEN_LEN: usize = 16;

/// What happens to UDP towards a captured port (HTTP/3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Quic {
    /// Refused with `EPERM`: clients fall back to TCP, which is inspected.
    Refuse = 0,
    /// Let through, counted, not inspected.
    Allow = 1,
}

/// What happens to new connections while nothing listens on the proxy's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OnProxyDown {
    /// `connect` fails with `ECONNREFUSED`, as towards any port that nobody
    /// listens on; with `EPERM` if somebody else does.
    Closed = 0,
    /// `connect` goes to the real destination, counted, not inspected.
    Open = 1,
}

/// The one value of the settings map.
///
/// While `listen_port` is 0 nothing is captured: the programs are attached
/// before the proxy has a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The proxy's IPv6 address, network order.
    pub listen6: [u8; 16],
    /// The secret of a claim; while it is all zero, every claim is refused.
    pub token: [u8; TOKEN_LEN],
    /// The proxy's IPv4 address, network order.
    pub listen4: [u8; 4],
    /// The address that the pod's own IPv4 connections come from, network order;
    /// zero if there is none. A redirected socket is given it, because one that
    /// connects to loopback would get loopback's.
    pub source4: [u8; 4],
    /// A user whose flows are never captured, in the initial user namespace; 0
    /// for none. The fallback for a proxy that cannot claim.
    pub exempt_uid: u32,
    /// The first port it listens on, on both addresses, host order; 0 = not yet.
    pub listen_port: u16,
    /// How many ports it listens on, from `listen_port` on. A power of two, so
    /// that one is chosen by a mask.
    pub listen_count: u16,
    /// 1 if the proxy listens on `listen6` too; otherwise IPv6 destinations are
    /// redirected to the IPv4-mapped form of `listen4`.
    pub has_listen6: u8,
    /// A [`Quic`].
    pub quic: u8,
    /// An [`OnProxyDown`].
    pub on_proxy_down: u8,
    /// How many of `ports` are set.
    pub port_count: u8,
    /// 1 while somebody follows decisions: each is written to the event ring.
    pub trace: u8,
    /// Zero.
    pub reserved: [u8; 11],
    /// Captured destination ports, host order.
    pub ports: [u16; MAX_PORTS],
}

const _: () = {
    assert!(size_of::<Settings>() == 96 && align_of::<Settings>() == 4);
    assert!(core::mem::offset_of!(Settings, token) == 16);
    assert!(core::mem::offset_of!(Settings, listen4) == 32);
    assert!(core::mem::offset_of!(Settings, exempt_uid) == 40);
    assert!(core::mem::offset_of!(Settings, listen_port) == 44);
    assert!(core::mem::offset_of!(Settings, has_listen6) == 48);
    assert!(core::mem::offset_of!(Settings, reserved) == 53);
    assert!(core::mem::offset_of!(Settings, ports) == 64);
};

impl Settings {
    /// Settings under which everything passes, and no claim is accepted.
    pub const NOTHING: Self = Self {
        listen6: [0; 16],
        token: [0; TOKEN_LEN],
        listen4: [0; 4],
        source4: [0; 4],
        exempt_uid: 0,
        listen_port: 0,
        listen_count: 0,
        has_listen6: 0,
        quic: 0,
        on_proxy_down: 0,
        port_count: 0,
        trace: 0,
        reserved: [0; 11],
        ports: [0; MAX_PORTS],
    };
}

// SAFETY: `repr(C)`, no padding (asserted above), every bit pattern is valid.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya writes map values as plain bytes")]
unsafe impl aya::Pod for Settings {}
