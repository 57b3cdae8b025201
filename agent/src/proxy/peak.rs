//! When a peak is over, and what it took can be given back.

use std::time::{Duration, Instant};

/// From so many connections on it was a peak, which is over when a quarter is left.
const PEAK_MIN: usize = 64;
/// How long after that the last of it is gone: tasks that have ended are cleared away
/// one by one.
const REST_WAIT: Duration = Duration::from_secs(5);

/// How many connections there were.
#[derive(Debug, Default)]
pub(super) struct Peak {
    most: usize,
    /// When the rest is given back.
    rest_at: Option<Instant>,
}

impl Peak {
    /// So many are open.
    pub(super) fn note(&mut self, open: usize) {
        self.most = self.most.max(open);
    }

    /// Whether [`is_over`](Self::is_over) has to be asked from time to time.
    pub(super) fn is_awaited(&self) -> bool {
        self.most >= PEAK_MIN || self.rest_at.is_some()
    }

    /// Whether there is something to be given back now, with so many still open.
    pub(super) fn is_over(&mut self, open: usize, now: Instant) -> bool {
        if self.most >= PEAK_MIN && open <= self.most / 4 {
            self.most = open;
            self.rest_at = Some(now + REST_WAIT);
            return true;
        }
        // The next peak gives back what is left of this one.
        self.rest_at.take_if(|at| *at <= now).is_some() && open < PEAK_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_gives_back_at_its_end_and_once_more() {
        let mut peak = Peak::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        peak.note(PEAK_MIN - 1);
        assert!(!peak.is_awaited() && !peak.is_over(0, start));

        peak.note(1_000);
        peak.note(400);
        assert!(peak.is_awaited() && !peak.is_over(400, after(1)));
        // Most of it, and then most of that.
        assert!(peak.is_over(200, after(2)));
        assert!(!peak.is_over(200, after(3)));
        assert!(peak.is_over(40, after(4)));
        assert!(peak.is_awaited());
        assert!(!peak.is_over(10, after(8)));
        assert!(peak.is_over(0, after(9)));
        assert!(!peak.is_awaited() && !peak.is_over(0, after(60)));
    }

    #[test]
    fn nothing_is_given_back_within_the_next_peak() {
        let mut peak = Peak::default();
        let start = Instant::now();
        peak.note(1_000);
        assert!(peak.is_over(0, start));
        peak.note(2_000);
        assert!(!peak.is_over(2_000, start + REST_WAIT));
        assert!(peak.is_over(0, start + REST_WAIT));
    }
}
