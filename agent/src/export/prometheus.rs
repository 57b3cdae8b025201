//! Metrics for Prometheus. First cut: none.

use crate::meter::reason::{Decision, Reason};
use crate::meter::record::Record;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Empty metrics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a finished exchange.
    pub fn observe(&self, _record: &Record) {}

    /// Counts a connection that was decided.
    pub fn connection(&self, _decision: Decision, _reason: Reason) {}

    /// The text exposition.
    #[must_use]
    pub fn render(&self) -> String {
        String::new()
    }
}
