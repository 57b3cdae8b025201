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

impl Transport {
    /// Its IP protocol number; 0 for others.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other => 0,
        }
    }
}

/// Whether the caller is weir itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An application.
    Application,
    /// Somebody in a cgroup that has claimed to be the proxy's.
    Proxy,
    /// The user that is exempt by configuration.
    ExemptUser,
    /// The proxy, on a socket that is to be captured all the same.
    Canary,
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
    /// Whose it is.
    pub caller: Caller,
    /// Whether the destination is one of the pod's own addresses.
    pub local_address: bool,
    /// Whether the socket is bound to a device (`SO_BINDTODEVICE`).
    pub bound_to_device: bool,
}

/// What to do, and the reason it is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave the attempt as it is.
    Pass(FlowReason),
    /// Send it to the proxy's port.
    Redirect(FlowReason),
    /// Make the call fail with `EPERM`.
    Refuse(FlowReason),
}

/// Who listens on the proxy's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// A socket that proved to be the proxy's.
    Trusted,
    /// A socket that did not.
    Foreign,
    /// Nobody.
    Absent,
}

/// Decides on one attempt, provided that the proxy listens.
#[inline(always)]
#[must_use]
pub fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    if settings.listen_port == 0 {
        return Decision::Pass(FlowReason::NotConfigured);
    }
    match attempt.caller {
        Caller::Proxy => return Decision::Pass(FlowReason::Exempt),
        Caller::ExemptUser => return Decision::Pass(FlowReason::ExemptUser),
        Caller::Application | Caller::Canary => {}
    }
    if is_loopback(&attempt.addr) {
        return Decision::Pass(FlowReason::Loopback);
    }
    if is_link_local(&attempt.addr) {
        return Decision::Pass(FlowReason::LinkLocal);
    }
    if is_multicast_or_broadcast(&attempt.addr) {
        return Decision::Pass(FlowReason::NotUnicast);
    }
    if !captures(settings, attempt.port) {
        return Decision::Pass(FlowReason::OtherPort);
    }
    if attempt.local_address {
        return Decision::Pass(FlowReason::LocalAddress);
    }
    match attempt.transport {
        Transport::Other => Decision::Pass(FlowReason::OtherProtocol),
        Transport::Udp if settings.quic == Quic::Allow as u8 => {
            Decision::Pass(FlowReason::QuicAllowed)
        }
        Transport::Udp => Decision::Refuse(FlowReason::QuicRefused),
        // A redirected socket would have to reach loopback through that device.
        Transport::Tcp if attempt.bound_to_device => Decision::Pass(FlowReason::BoundToDevice),
        Transport::Tcp => Decision::Redirect(match attempt.caller {
            Caller::Canary => FlowReason::Canary,
            Caller::Application | Caller::Proxy | Caller::ExemptUser => FlowReason::Redirected,
        }),
    }
}

/// What becomes of a redirect, given who listens where it would go.
///
/// Towards a port that nobody listens on, the kernel itself answers
/// `ECONNREFUSED`, on every version and at once; a program can only fail a call
/// with `EPERM`. So "closed" redirects all the same.
#[inline(always)]
#[must_use]
pub fn given_listener(listener: Listener, reason: FlowReason, settings: &Settings) -> Decision {
    match listener {
        Listener::Trusted => Decision::Redirect(reason),
        Listener::Foreign | Listener::Absent
            if settings.on_proxy_down == OnProxyDown::Open as u8 =>
        {
            Decision::Pass(FlowReason::ProxyDownOpen)
        }
        Listener::Absent => Decision::Redirect(FlowReason::ProxyDownClosed),
        Listener::Foreign => Decision::Refuse(FlowReason::ProxyDownClosed),
    }
}

/// Which of the proxy's ports this connection goes to.
///
/// One address and port takes as many connections as there are ephemeral ports,
/// however many destinations they had; several take as many times more.
/// Cookies come in sequence, which this multiplier (2⁶⁴ ÷ golden ratio, Knuth)
/// spreads evenly whatever the stride.
#[inline(always)]
#[must_use]
pub fn listen_port(settings: &Settings, cookie: u64) -> u16 {
    let spread = (cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16;
    settings
        .listen_port
        .wrapping_add(spread & settings.listen_count.wrapping_sub(1))
}

/// Whether a port is one of the proxy's.
#[inline(always)]
#[must_use]
pub fn is_listen_port(settings: &Settings, port: u16) -> bool {
    port.wrapping_sub(settings.listen_port) < settings.listen_count
}

/// Whether connections to this port are captured.
#[inline(always)]
#[must_use]
pub fn captures(settings: &Settings, port: u16) -> bool {
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

/// 224.0.0.0/4 (RFC 5771), 255.255.255.255 and ff00::/8 (RFC 4291).
#[inline(always)]
fn is_multicast_or_broadcast(addr: &[u8; 16]) -> bool {
    if is_mapped(addr) {
        return addr[12] & 0xf0 == 224 || matches!(addr, [.., 255, 255, 255, 255]);
    }
    addr[0] == 0xff
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
            listen_count: 16,
            ports,
            ..Settings::NOTHING
        }
    }

    fn attempt(addr: [u8; 16], port: u16, transport: Transport) -> Attempt {
        Attempt {
            addr,
            port,
            transport,
            caller: Caller::Application,
            local_address: false,
            bound_to_device: false,
        }
    }

    #[test]
    fn each_attempt_has_one_reason() {
        use Decision::{Pass, Refuse};
        use FlowReason as R;
        const REDIRECT: Decision = Decision::Redirect(R::Redirected);
        use Transport::{Other, Tcp, Udp};
        let v6 = |last: u8| {
            let mut addr = [0; 16];
            addr[15] = last;
            addr
        };
        let mut link_local6 = V6;
        link_local6[..2].copy_from_slice(&[0xfe, 0xbf]);
        let mut multicast6 = V6;
        multicast6[0] = 0xff;
        let cases = [
            (V4, 443, Tcp, REDIRECT),
            (V4, 80, Tcp, REDIRECT),
            (V6, 443, Tcp, REDIRECT),
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
            (v6(2), 443, Tcp, REDIRECT),
            (mapped([169, 254, 169, 254]), 80, Tcp, Pass(R::LinkLocal)),
            (mapped([169, 253, 0, 1]), 80, Tcp, REDIRECT),
            (link_local6, 443, Tcp, Pass(R::LinkLocal)),
            (mapped([224, 0, 0, 9]), 443, Tcp, Pass(R::NotUnicast)),
            (mapped([239, 1, 2, 3]), 443, Udp, Pass(R::NotUnicast)),
            (mapped([240, 0, 0, 1]), 443, Tcp, REDIRECT),
            (mapped([255; 4]), 443, Tcp, Pass(R::NotUnicast)),
            (multicast6, 443, Tcp, Pass(R::NotUnicast)),
        ];
        for (addr, port, transport, expected) in cases {
            let attempt = attempt(addr, port, transport);
            assert_eq!(decide(&attempt, &settings()), expected, "{attempt:?}");
        }
    }

    #[test]
    fn weirs_own_are_left_alone_and_the_canary_is_not() {
        use FlowReason as R;
        for (caller, expected) in [
            (Caller::Application, Decision::Redirect(R::Redirected)),
            (Caller::Proxy, Decision::Pass(R::Exempt)),
            (Caller::ExemptUser, Decision::Pass(R::ExemptUser)),
            (Caller::Canary, Decision::Redirect(R::Canary)),
        ] {
            let attempt = Attempt {
                caller,
                ..attempt(V4, 443, Transport::Tcp)
            };
            assert_eq!(decide(&attempt, &settings()), expected);
        }
    }

    #[test]
    fn what_stays_in_the_pod_or_on_a_device_is_left_alone() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let local = Attempt {
                local_address: true,
                ..attempt(V4, 443, transport)
            };
            let expected = Decision::Pass(FlowReason::LocalAddress);
            assert_eq!(decide(&local, &settings()), expected);
        }
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
    fn ports_are_used_evenly_whatever_the_stride_of_cookies() {
        for stride in [1_usize, 2, 16, 4096, 65_536] {
            let mut used = [0_u32; 16];
            for cookie in (1..).step_by(stride).take(1600) {
                let port = listen_port(&settings(), cookie);
                assert!(is_listen_port(&settings(), port));
                used[usize::from(port - 15001)] += 1;
            }
            // 100 each, were it perfect.
            assert!(
                used.iter().all(|count| (60..=140).contains(count)),
                "stride {stride}: {used:?}"
            );
        }
    }

    #[test]
    fn only_the_proxys_ports_are_its() {
        let single = Settings {
            listen_count: 1,
            ..settings()
        };
        assert_eq!(listen_port(&single, 7), 15001);
        for (settings, port, expected) in [
            (settings(), 15000, false),
            (settings(), 15001, true),
            (settings(), 15016, true),
            (settings(), 15017, false),
            (settings(), 443, false),
            (single, 15001, true),
            (single, 15002, false),
            (Settings::NOTHING, 0, false),
        ] {
            assert_eq!(is_listen_port(&settings, port), expected, "{port}");
        }
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
    fn quic_follows_the_settings() {
        let open = Settings {
            quic: Quic::Allow as u8,
            ..settings()
        };
        let udp = attempt(V4, 443, Transport::Udp);
        assert_eq!(decide(&udp, &open), Decision::Pass(FlowReason::QuicAllowed));
    }

    #[test]
    fn who_listens_decides_what_becomes_of_a_redirect() {
        use Decision::{Pass, Redirect, Refuse};
        use FlowReason as R;
        let closed = settings();
        let open = Settings {
            on_proxy_down: OnProxyDown::Open as u8,
            ..settings()
        };
        for (listener, in_closed, in_open) in [
            (
                Listener::Trusted,
                Redirect(R::Redirected),
                Redirect(R::Redirected),
            ),
            (
                Listener::Absent,
                Redirect(R::ProxyDownClosed),
                Pass(R::ProxyDownOpen),
            ),
            (
                Listener::Foreign,
                Refuse(R::ProxyDownClosed),
                Pass(R::ProxyDownOpen),
            ),
        ] {
            assert_eq!(given_listener(listener, R::Redirected, &closed), in_closed);
            assert_eq!(given_listener(listener, R::Redirected, &open), in_open);
        }
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
            Decision::Redirect(FlowReason::Redirected)
        );
        assert_eq!(
            decide(&attempt(V4, 443, Transport::Tcp), &full),
            Decision::Pass(FlowReason::OtherPort)
        );
    }
}
