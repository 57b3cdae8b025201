//! How much of what left the application was inspected.
//!
//! The kernel half counts every flow under one reason, for as long as it is
//! attached; the ratios are of what happened since this process started, as
//! everything else is that it counts itself.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use prometheus::{GaugeVec, IntCounterVec, Opts};
use weir_common::{FlowOutcome, FlowReason};

use super::{Families, counters, register};

/// Which flows a ratio is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Those towards captured ports.
    CapturedPorts,
    /// All that left the pod.
    Egress,
}

impl Scope {
    const ALL: [Self; 2] = [Self::CapturedPorts, Self::Egress];

    const fn as_str(self) -> &'static str {
        match self {
            Self::CapturedPorts => "captured_ports",
            Self::Egress => "egress",
        }
    }

    /// Whether flows of this reason carried traffic that the ratio is about.
    /// What was refused carried none; weir's own is not the application's; what
    /// stayed within the pod did not leave it.
    const fn includes(self, reason: FlowReason) -> bool {
        match reason {
            FlowReason::Redirected
            | FlowReason::OtherProtocol
            | FlowReason::BoundToDevice
            | FlowReason::QuicAllowed
            | FlowReason::ProxyDownOpen
            | FlowReason::NotConfigured => true,
            FlowReason::OtherPort | FlowReason::LinkLocal => matches!(self, Self::Egress),
            FlowReason::Loopback
            | FlowReason::LocalAddress
            | FlowReason::NotUnicast
            | FlowReason::Exempt
            | FlowReason::ExemptUser
            | FlowReason::Canary
            | FlowReason::QuicRefused
            | FlowReason::ProxyDownClosed
            | FlowReason::StorageFailed
            | FlowReason::HandshakeFull
            | FlowReason::ClaimRefused
            | FlowReason::ListenerUnclaimed
            | FlowReason::Claimed => false,
        }
    }
}

/// The counters and ratios.
#[derive(Debug)]
pub(super) struct Coverage {
    flows: IntCounterVec,
    events: IntCounterVec,
    ratio: GaugeVec,
    inspected: AtomicU64,
    /// What the kernel had counted when this process first asked.
    before: OnceLock<[u64; FlowReason::COUNT]>,
}

impl Coverage {
    pub(super) fn new(registry: &Families) -> Self {
        Self {
            flows: register(
                registry,
                counters(
                    "weir_flows_total",
                    "Flows that the kernel half saw, by what became of them and why, since it \
                     was attached.",
                    &["outcome", "reason"],
                ),
            ),
            events: register(
                registry,
                counters(
                    "weir_kernel_events_total",
                    "What the kernel half counted beside flows, since it was attached.",
                    &["event"],
                ),
            ),
            ratio: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "weir_coverage_ratio",
                        "Inspected connections of all flows that carried traffic, since the \
                         proxy started; NaN while there were none.",
                    ),
                    &["scope"],
                ),
            ),
            inspected: AtomicU64::new(0),
            before: OnceLock::new(),
        }
    }

    /// Counts a connection that is inspected.
    pub(super) fn inspected(&self) {
        self.inspected.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes over what the kernel has counted.
    pub(super) fn set(&self, counts: &[u64; FlowReason::COUNT]) {
        for (reason, count) in FlowReason::ALL.into_iter().zip(counts) {
            let counter = match reason.outcome() {
                Some(outcome) => self
                    .flows
                    .with_label_values(&[outcome.as_str(), reason.as_str()]),
                None => self.events.with_label_values(&[reason.as_str()]),
            };
            // Counters only rise, also when the kernel's begin anew.
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let before = self.before.get_or_init(|| *counts);
        let inspected = self.inspected.load(Ordering::Relaxed);
        for scope in Scope::ALL {
            self.ratio
                .with_label_values(&[scope.as_str()])
                .set(ratio(scope, inspected, before, counts));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of counts below 2^53 loses nothing that matters"
)]
fn ratio(
    scope: Scope,
    inspected: u64,
    before: &[u64; FlowReason::COUNT],
    now: &[u64; FlowReason::COUNT],
) -> f64 {
    debug_assert!(
        FlowReason::ALL
            .into_iter()
            .all(|reason| !scope.includes(reason)
                || matches!(
                    reason.outcome(),
                    Some(FlowOutcome::Redirected | FlowOutcome::Passed)
                )),
        "only flows that carried traffic are in a ratio"
    );
    let flows: u64 = FlowReason::ALL
        .into_iter()
        .zip(before.iter().zip(now))
        .filter(|(reason, _)| scope.includes(*reason))
        .map(|(_, (before, now))| now.saturating_sub(*before))
        .sum();
    if flows == 0 {
        return f64::NAN;
    }
    // A connection can be decided a moment before its flow is read.
    (inspected as f64 / flows as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(FlowReason, u64)]) -> [u64; FlowReason::COUNT] {
        FlowReason::ALL.map(|reason| {
            of.iter()
                .find(|(counted, _)| *counted == reason)
                .map_or(0, |(_, count)| *count)
        })
    }

    #[test]
    fn a_ratio_is_of_what_carried_traffic_since_the_start() {
        use FlowReason as R;
        let before = counts(&[(R::Redirected, 100), (R::BoundToDevice, 7)]);
        let now = counts(&[
            (R::Redirected, 106),
            (R::BoundToDevice, 8),
            (R::QuicAllowed, 1),
            (R::OtherPort, 12),
            (R::QuicRefused, 1000),
            (R::ProxyDownClosed, 1000),
            (R::Exempt, 1000),
            (R::Canary, 1000),
            (R::Loopback, 1000),
            (R::LocalAddress, 1000),
            (R::Claimed, 1000),
        ]);
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
        close(ratio(Scope::CapturedPorts, 4, &before, &now), 0.5);
        close(ratio(Scope::Egress, 4, &before, &now), 0.2);
        assert!(ratio(Scope::Egress, 0, &now, &now).is_nan());
    }

    #[test]
    fn counters_follow_the_kernel_and_never_fall() {
        let registry = Families::default();
        let coverage = Coverage::new(&registry);
        coverage.set(&counts(&[(FlowReason::QuicRefused, 3)]));
        let counter = coverage
            .flows
            .with_label_values(&["refused", "quic_refused"]);
        assert_eq!(counter.get(), 3);
        coverage.set(&counts(&[(FlowReason::QuicRefused, 5)]));
        assert_eq!(counter.get(), 5);
        coverage.set(&counts(&[]));
        assert_eq!(counter.get(), 5);
    }
}
