//! What the webhook counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::inject::review::Verdict;

/// From a tenth of a millisecond to what an API server waits for at most.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0,
];

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// It was answered.
    Reviewed(Verdict),
    /// It was no review.
    Malformed,
    /// It was larger than a review can be.
    TooLarge,
    /// It did not end.
    Cut,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reviewed(verdict) => verdict.as_str(),
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
        }
    }
}

/// All of them.
pub(super) struct Metrics {
    registry: Registry,
    reviews: IntCounterVec,
    seconds: Histogram,
    handshakes_failed: IntCounter,
    certificate_unusable: IntCounter,
    certificate_ends: Gauge,
}

impl Metrics {
    /// # Panics
    /// Never: names and labels are constants that a test registers.
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let reviews = register(
            &registry,
            IntCounterVec::new(
                Opts::new(
                    "weir_webhook_reviews_total",
                    "Reviews by what came of them.",
                ),
                &["outcome"],
            ),
        );
        for verdict in Verdict::ALL {
            // So that a rate is known from the first one on.
            reviews.with_label_values(&[verdict.as_str()]);
        }
        Self {
            reviews,
            seconds: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new("weir_webhook_review_seconds", "Time a review took.")
                        .buckets(SECONDS.to_vec()),
                ),
            ),
            handshakes_failed: register(
                &registry,
                IntCounter::new(
                    "weir_webhook_handshakes_failed_total",
                    "TLS handshakes that failed, such as of callers that do not trust the CA.",
                ),
            ),
            certificate_unusable: register(
                &registry,
                IntCounter::new(
                    "weir_webhook_certificate_unusable_total",
                    "Times that a changed certificate could not be used, and the one before stayed.",
                ),
            ),
            certificate_ends: register(
                &registry,
                Gauge::new(
                    "weir_webhook_certificate_not_after_seconds",
                    "When the certificate in use ends, in seconds since 1970.",
                ),
            ),
            registry,
        }
    }

    pub(super) fn reviewed(&self, outcome: Outcome, took: Duration) {
        self.reviews.with_label_values(&[outcome.as_str()]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    pub(super) fn certificate_unusable(&self) {
        self.certificate_unusable.inc();
    }

    pub(super) fn certificate_ends(&self, at: Option<SystemTime>) {
        let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if let Some(since) = since {
            self.certificate_ends.set(since.as_secs_f64());
        }
    }

    /// The text exposition.
    ///
    /// # Panics
    /// Never: writing to memory does not fail, and metrics have names.
    pub(super) fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a vector takes all, and every family has a metric");
        String::from_utf8(text).expect("label values are strings")
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> C {
    let collector = collector.expect("names and labels are well formed");
    registry
        .register(Box::new(collector.clone()))
        .expect("no name is registered twice");
    collector
}
