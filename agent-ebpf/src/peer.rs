//! `getpeername`: the application sees the peer it asked for.

use aya_ebpf::programs::SockAddrContext;
use weir_common::{Flow, Role};

use crate::{
    connect::{socket, write_addr4, write_addr6},
    maps::stored_flow,
};

pub(crate) fn peername4(ctx: &SockAddrContext) {
    if let Some(flow) = application_flow(ctx) {
        let a = flow.addr;
        write_addr4(ctx.sock_addr, [a[12], a[13], a[14], a[15]], flow.port);
    }
}

pub(crate) fn peername6(ctx: &SockAddrContext) {
    if let Some(flow) = application_flow(ctx) {
        write_addr6(ctx.sock_addr, flow.addr, flow.port);
    }
}

/// The flow of an application's socket. The hook also runs inside the proxy's
/// `accept`, whose sockets keep the peer they have.
#[inline(always)]
fn application_flow(ctx: &SockAddrContext) -> Option<Flow> {
    let sk = socket(ctx.sock_addr);
    if sk.is_null() {
        return None;
    }
    // SAFETY: null, or a value in the map that lives until this program returns.
    let flow = unsafe { stored_flow(sk).as_ref() }?;
    (flow.role == Role::Application as u8).then_some(*flow)
}
