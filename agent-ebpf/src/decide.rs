//! What happens to one connection attempt: a function over plain values, the
//! same code in the kernel and in the tests below.

use weir_common::{FlowReason, OnProxyDown, Quic, Settings, is_mapped};

/// The transport of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, or the TCP subflow of MPTCP.
    Tcp,
    /// UDP, connected or not.
    Udp,
    /// Anything else: SCTP, DCCP, raw sockets.
    Other,
}

/// One `connect`, or one datagram of an unconnected socket.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Destination, network order; IPv4 as IPv4-mapped.
    pub addr: [u8; 16],
    /// Destination port, host order.
    pub port: u16,
    /// Its transport.
    pub transport: Transport,
    /// Whether the caller's cgroup is the proxy's.
    pub exempt: bool,
    /// Whether the socket is bound to a device (`SO_BINDTODEVICE`).
    pub bound_to_device: bool,
}

/// What to do, and the reason it is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave the attempt as it is.
    Pass(FlowReason),
    /// Send it to the proxy, provided that it listens.
    Redirect,
    /// Make the call fail with `EPERM`.
    Refuse(FlowReason),
}

/// Decides on one attempt.
#[inline(always)]
#[must_use]
pub fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    if settings.listen_port == 0 {
        return Decision::Pass(FlowReason::NotConfigured);
    }
    if attempt.exempt {
        return Decision::Pass(FlowReason::Exempt);
    }
    if is_loopback(&attempt.addr) {
        return Decision::Pass(FlowReason::Loopback);
    }
    if is_link_local(&attempt.addr) {
        return Decision::Pass(FlowReason::LinkLocal);
    }
    if !captures(settings, attempt.port) {
        return Decision::Pass(FlowReason::OtherPort);
    }
    match attempt.transport {
        Transport::Other => Decision::Pass(FlowReason::OtherProtocol),
        Transport::Udp if settings.quic == Quic::Allow as u8 => {
            Decision::Pass(FlowReason::QuicAllowed)
        }
        Transport::Udp => Decision::Refuse(FlowReason::QuicRefused),
        // A redirected socket would have to reach loopback through that device.
        Transport::Tcp if attempt.bound_to_device => Decision::Pass(FlowReason::BoundToDevice),
        Transport::Tcp => Decision::Redirect,
    }
}

/// What becomes of a redirect when nothing listens on the proxy's port.
#[inline(always)]
#[must_use]
pub fn without_proxy(settings: &Settings) -> Decision {
    if settings.on_proxy_down == OnProxyDown::Open as u8 {
        Decision::Pass(FlowReason::ProxyDownOpen)
    } else {
        Decision::Refuse(FlowReason::ProxyDownClosed)
    }
}

#[inline(always)]
fn captures(settings: &Settings, port: u16) -> bool {
    // VERIFIER: a fixed bound with an early exit; a slice by `port_count` keeps
    // a bounds check whose panic path the linker cannot remove.
    let mut index = 0;
    while index < settings.ports.len() {
        if index >= settings.port_count as usize {
            return false;
        }
        if settings.ports[index] == port {
            return true;
        }
        index += 1;
    }
    false
}

/// 127.0.0.0/8, 0.0.0.0 and ::, which reach this host, and ::1.
#[inline(always)]
fn is_loopback(addr: &[u8; 16]) -> bool {
    if is_mapped(addr) {
        return addr[12] == 127 || matches!(addr, [.., 0, 0, 0, 0]);
    }
    matches!(addr, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1])
}

/// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291).
#[inline(always)]
fn is_link_local(addr: &[u8; 16]) -> bool {
    if is_mapped(addr) {
        return addr[12] == 169 && addr[13] == 254;
    }
    addr[0] == 0xfe && addr[1] & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_common::mapped;

    const V4: [u8; 16] = mapped([203, 0, 113, 7]);
    const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

    fn settings() -> Settings {
        let mut ports = [0; weir_common::MAX_PORTS];
        ports[0] = 443;
        ports[1] = 80;
        Settings {
            listen6: [0; 16],
            listen4: [127, 0, 0, 1],
            listen_port: 15001,
            has_listen6: 1,
            quic: Quic::Refuse as u8,
            on_proxy_down: OnProxyDown::Closed as u8,
            port_count: 2,
            reserved: [0; 6],
            ports,
        }
    }

    fn attempt(addr: [u8; 16], port: u16, transport: Transport) -> Attempt {
        Attempt {
            addr,
            port,
            transport,
            exempt: false,
            bound_to_device: false,
        }
    }

    #[test]
    fn each_attempt_has_one_reason() {
        use Decision::{Pass, Redirect, Refuse};
        use FlowReason as R;
        use Transport::{Other, Tcp, Udp};
        let v6 = |last: u8| {
            let mut addr = [0; 16];
            addr[15] = last;
            addr
        };
        let mut link_local6 = V6;
        link_local6[..2].copy_from_slice(&[0xfe, 0xbf]);
        let cases = [
            (V4, 443, Tcp, Redirect),
            (V4, 80, Tcp, Redirect),
            (V6, 443, Tcp, Redirect),
            (V4, 8443, Tcp, Pass(R::OtherPort)),
            (V4, 0, Tcp, Pass(R::OtherPort)),
            (V4, 53, Udp, Pass(R::OtherPort)),
            (V4, 443, Udp, Refuse(R::QuicRefused)),
            (V6, 443, Udp, Refuse(R::QuicRefused)),
            (V4, 443, Other, Pass(R::OtherProtocol)),
            (mapped([127, 0, 0, 1]), 443, Tcp, Pass(R::Loopback)),
            (mapped([127, 255, 0, 9]), 80, Tcp, Pass(R::Loopback)),
            (mapped([0, 0, 0, 0]), 443, Tcp, Pass(R::Loopback)),
            (mapped([127, 0, 0, 1]), 443, Udp, Pass(R::Loopback)),
            (v6(1), 443, Tcp, Pass(R::Loopback)),
            (v6(0), 443, Tcp, Pass(R::Loopback)),
            (v6(2), 443, Tcp, Redirect),
            (mapped([169, 254, 169, 254]), 80, Tcp, Pass(R::LinkLocal)),
            (mapped([169, 253, 0, 1]), 80, Tcp, Redirect),
            (link_local6, 443, Tcp, Pass(R::LinkLocal)),
        ];
        for (addr, port, transport, expected) in cases {
            let attempt = attempt(addr, port, transport);
            assert_eq!(decide(&attempt, &settings()), expected, "{attempt:?}");
        }
    }

    #[test]
    fn the_proxy_and_device_bound_sockets_are_left_alone() {
        let exempt = Attempt {
            exempt: true,
            ..attempt(V4, 443, Transport::Tcp)
        };
        assert_eq!(
            decide(&exempt, &settings()),
            Decision::Pass(FlowReason::Exempt)
        );
        let bound = Attempt {
            bound_to_device: true,
            ..attempt(V4, 443, Transport::Tcp)
        };
        assert_eq!(
            decide(&bound, &settings()),
            Decision::Pass(FlowReason::BoundToDevice)
        );
    }

    #[test]
    fn nothing_is_captured_before_the_proxy_has_a_port() {
        let unset = Settings {
            listen_port: 0,
            ..settings()
        };
        let attempt = attempt(V4, 443, Transport::Tcp);
        assert_eq!(
            decide(&attempt, &unset),
            Decision::Pass(FlowReason::NotConfigured)
        );
    }

    #[test]
    fn quic_and_a_missing_proxy_follow_the_settings() {
        let open = Settings {
            quic: Quic::Allow as u8,
            on_proxy_down: OnProxyDown::Open as u8,
            ..settings()
        };
        let udp = attempt(V4, 443, Transport::Udp);
        assert_eq!(decide(&udp, &open), Decision::Pass(FlowReason::QuicAllowed));
        assert_eq!(
            without_proxy(&open),
            Decision::Pass(FlowReason::ProxyDownOpen)
        );
        assert_eq!(
            without_proxy(&settings()),
            Decision::Refuse(FlowReason::ProxyDownClosed)
        );
    }

    #[test]
    fn all_ports_can_be_in_use() {
        let mut full = settings();
        for (index, port) in (1000..).take(weir_common::MAX_PORTS).enumerate() {
            full.ports[index] = port;
        }
        full.port_count = 16;
        assert_eq!(
            decide(&attempt(V4, 1015, Transport::Tcp), &full),
            Decision::Redirect
        );
        assert_eq!(
            decide(&attempt(V4, 443, Transport::Tcp), &full),
            Decision::Pass(FlowReason::OtherPort)
        );
    }
}
