//! Decisions for somebody who follows them live.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use weir_common::{Flow, FlowEvent, FlowReason, Settings};
use weir_ebpf::Transport;

use crate::maps::WEIR_EVENTS;

/// Writes one decision to the ring, if somebody follows. When the ring is full
/// the event is lost; whoever follows sees that by the counters.
#[inline(always)]
pub(crate) fn emit(settings: &Settings, flow: &Flow, reason: FlowReason, transport: Transport) {
    if settings.trace == 0 {
        return;
    }
    let event = FlowEvent {
        flow: *flow,
        // SAFETY: no arguments.
        at_ns: unsafe { bpf_ktime_get_ns() },
        reason: reason as u32,
        protocol: transport.number(),
    };
    let _ = WEIR_EVENTS.output(event, 0);
}
