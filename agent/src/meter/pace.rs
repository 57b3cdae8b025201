//! How evenly a stream arrives: the time from each piece of it to the next, as
//! a histogram that has a fixed size.

use std::time::{Duration, Instant};

/// Upper bounds of the buckets that OpenTelemetry's conventions advise for the
/// durations of model operations, in seconds; one more bucket has no bound.
pub const SECONDS: &[f64; 14] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// Times between pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// By bucket of [`SECONDS`].
    pub buckets: [u64; SECONDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
    /// The shortest, once there is one.
    pub min: Option<Duration>,
    /// The longest, once there is one.
    pub max: Option<Duration>,
    last: Instant,
}

impl From<Instant> for Pace {
    /// That of a stream whose first piece arrived then: the time up to it is
    /// another measure.
    fn from(first: Instant) -> Self {
        Self {
            buckets: [0; SECONDS.len() + 1],
            sum: Duration::ZERO,
            min: None,
            max: None,
            last: first,
        }
    }
}

impl Pace {
    /// Another piece has arrived.
    pub fn arrived(&mut self, now: Instant) {
        let last = std::mem::replace(&mut self.last, now);
        self.add(now.saturating_duration_since(last));
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, gap: Duration) {
        let seconds = gap.as_secs_f64();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(gap);
        self.min = Some(self.min.map_or(gap, |least| least.min(gap)));
        self.max = Some(self.max.map_or(gap, |most| most.max(gap)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_in_the_bucket_that_holds_them() {
        let start = Instant::now();
        let mut pace = Pace::from(start);
        assert_eq!(pace.count(), 0);
        // A bound belongs to its own bucket.
        for ms in [5, 15, 35, 100_035] {
            pace.arrived(start + Duration::from_millis(ms));
        }
        assert_eq!(pace.count(), 4);
        assert_eq!(pace.buckets[..3], [2, 1, 0]);
        assert_eq!(pace.buckets[SECONDS.len()], 1);
        assert_eq!(pace.sum, Duration::from_millis(100_035));
        assert_eq!(pace.min, Some(Duration::from_millis(5)));
        assert_eq!(pace.max, Some(Duration::from_secs(100)));
    }
}
