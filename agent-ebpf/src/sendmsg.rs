//! Datagrams of unconnected UDP sockets: HTTP/3 clients use both forms.

use aya_ebpf::programs::SockAddrContext;
use weir_common::FlowReason;
use weir_ebpf::{Attempt, Decision, Transport, decide};

use crate::{
    Verdict,
    connect::{addr4, addr6, is_exempt, port},
    counters::count,
    maps::WEIR_SETTINGS,
};

pub(crate) fn sendmsg4(ctx: &SockAddrContext) -> Verdict {
    datagram(addr4(ctx.sock_addr), port(ctx.sock_addr))
}

pub(crate) fn sendmsg6(ctx: &SockAddrContext) -> Verdict {
    datagram(addr6(ctx.sock_addr), port(ctx.sock_addr))
}

#[inline(always)]
fn datagram(addr: [u8; 16], port: u16) -> Verdict {
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return Verdict::Proceed;
    };
    let attempt = Attempt {
        addr,
        port,
        transport: Transport::Udp,
        exempt: is_exempt(),
        bound_to_device: false,
    };
    match decide(&attempt, settings) {
        Decision::Refuse(reason) => {
            count(reason);
            Verdict::Deny
        }
        Decision::Pass(reason @ FlowReason::QuicAllowed) => {
            count(reason);
            Verdict::Proceed
        }
        // Datagrams to other ports are DNS and the like: not flows, not counted.
        Decision::Pass(_) | Decision::Redirect => Verdict::Proceed,
    }
}
