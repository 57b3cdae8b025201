//! What user space tells the programs.

/// How many destination ports can be captured; the verifier unrolls the loop.
pub const MAX_PORTS: usize = 16;

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
    /// `connect` fails with `EPERM`.
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
    /// The proxy's IPv4 address, network order.
    pub listen4: [u8; 4],
    /// The port it listens on, on both addresses, host order; 0 = not yet.
    pub listen_port: u16,
    /// 1 if the proxy listens on `listen6` too; otherwise IPv6 destinations are
    /// redirected to the IPv4-mapped form of `listen4`.
    pub has_listen6: u8,
    /// A [`Quic`].
    pub quic: u8,
    /// An [`OnProxyDown`].
    pub on_proxy_down: u8,
    /// How many of `ports` are set.
    pub port_count: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// Captured destination ports, host order.
    pub ports: [u16; MAX_PORTS],
}

const _: () = {
    assert!(size_of::<Settings>() == 64 && align_of::<Settings>() == 2);
    assert!(core::mem::offset_of!(Settings, listen4) == 16);
    assert!(core::mem::offset_of!(Settings, listen_port) == 20);
    assert!(core::mem::offset_of!(Settings, reserved) == 26);
    assert!(core::mem::offset_of!(Settings, ports) == 32);
};

// SAFETY: `repr(C)`, no padding (asserted above), every bit pattern is valid.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya writes map values as plain bytes")]
unsafe impl aya::Pod for Settings {}
