//! Counts of bounds that were hit, for those that show nowhere else.
//!
//! A bound whose hit ends in a record, a reason or an inspection problem is
//! counted there. These few would be silent: what happens instead is harmless
//! once and worth knowing when it happens all the time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A bound without another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A leaf certificate made room for another.
    LeafCache,
    /// A request was too large to be held for a rule.
    HeldRequest,
    /// A connection went without its executable's name.
    ProcessQueries,
    /// The terminal did not keep up, and a line was left out.
    LiveLines,
    /// A line was left out of the exchange log: nobody took it in time.
    ExchangeLog,
    /// A span was not exported: too many were waiting, or the collector did not
    /// take it.
    OtlpSpans,
    /// Metrics were added up under no attributes, for want of room.
    OtlpSeries,
    /// A payload was not captured, or not written.
    Capture,
    /// A response was forgotten that others may state again.
    CountedResponses,
    /// A call of a tool, or the answer to one, was not waited for any longer.
    UnansweredCalls,
    /// A client was forgotten that may refuse weir's certificates.
    Refusers,
    /// A connection to a provider was not kept for the next call.
    KeptUpstream,
    /// Series of one kind of calls made room for those of another.
    KeptSeries,
}

impl Bound {
    /// All of them, in the order of the counts.
    pub const ALL: [Self; 13] = [
        Self::LeafCache,
        Self::HeldRequest,
        Self::ProcessQueries,
        Self::LiveLines,
        Self::ExchangeLog,
        Self::OtlpSpans,
        Self::OtlpSeries,
        Self::Capture,
        Self::CountedResponses,
        Self::UnansweredCalls,
        Self::Refusers,
        Self::KeptUpstream,
        Self::KeptSeries,
    ];

    /// The name used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeafCache => "leaf_cache",
            Self::HeldRequest => "held_request",
            Self::ProcessQueries => "process_queries",
            Self::LiveLines => "live_lines",
            Self::ExchangeLog => "exchange_log",
            Self::OtlpSpans => "otlp_spans",
            Self::OtlpSeries => "otlp_series",
            Self::Capture => "capture",
            Self::CountedResponses => "counted_responses",
            Self::UnansweredCalls => "unanswered_calls",
            Self::Refusers => "refusers",
            Self::KeptUpstream => "kept_upstream",
            Self::KeptSeries => "kept_series",
        }
    }

    /// Counts a hit.
    pub fn hit(self) {
        self.hit_times(1);
    }

    /// Counts as many hits.
    pub fn hit_times(self, times: u64) {
        self.count().fetch_add(times, Ordering::Relaxed);
    }

    /// Hits since the process started.
    #[must_use]
    pub fn hits(self) -> u64 {
        self.count().load(Ordering::Relaxed)
    }

    fn count(self) -> &'static AtomicU64 {
        static HITS: [AtomicU64; Bound::ALL.len()] =
            [const { AtomicU64::new(0) }; Bound::ALL.len()];
        &HITS[self as usize]
    }
}
