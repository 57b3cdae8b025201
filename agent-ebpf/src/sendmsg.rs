//! Datagrams of unconnected UDP sockets: HTTP/3 clients use both forms.

use aya_ebpf::programs::SockAddrContext;
use weir_common::{Flow, FlowReason};
use weir_ebpf::{Attempt, Decision, Transport, decide};

use crate::{
    Verdict,
    connect::{addr4, addr6, caller, caller_flow, is_local_address, port},
    counters::count,
    events::emit,
    maps::WEIR_SETTINGS,
};

pub(crate) fn sendmsg4(ctx: &SockAddrContext) -> Verdict {
    datagram(addr4(ctx.sock_addr), port(ctx.sock_addr), 4)
}

pub(crate) fn sendmsg6(ctx: &SockAddrContext) -> Verdict {
    datagram(addr6(ctx.sock_addr), port(ctx.sock_addr), 6)
}

#[inline(always)]
fn datagram(addr: [u8; 16], port: u16, family: u8) -> Verdict {
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return Verdict::Proceed;
    };
    let attempt = Attempt {
        addr,
        port,
        transport: Transport::Udp,
        caller: caller(settings),
        local_address: is_local_address(settings, &addr, port),
        bound_to_device: false,
    };
    let (reason, verdict) = match decide(&attempt, settings) {
        Decision::Refuse(reason) => (reason, Verdict::Deny),
        Decision::Pass(reason @ FlowReason::QuicAllowed) => (reason, Verdict::Proceed),
        // Datagrams to other ports are DNS and the like: not flows, not counted.
        Decision::Pass(_) | Decision::Redirect(_) => return Verdict::Proceed,
    };
    count(reason);
    let flow = Flow {
        addr,
        ..caller_flow(port, family)
    };
    emit(settings, &flow, reason, Transport::Udp);
    verdict
}
