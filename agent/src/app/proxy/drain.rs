//! From SIGTERM to the end: the proxy goes on while the application may still
//! make calls.
//!
//! Kubernetes ends a native sidecar after the application, and there is nothing
//! to wait for. In the classic form both get the signal at once, and the proxy
//! is not told when the application has ended. It sees it all the same: a
//! program that makes calls, or waits for some, has sockets, and the pod's
//! network shows them.

use std::time::{Duration, Instant};

use crate::{proxy::Connections, sys::sockets::strangers_sockets};

/// Often enough to end promptly, and seldom enough to cost nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// At most.
    pub(super) longest: Duration,
    /// Nothing was seen of the application for so long; zero for not looking
    /// further than at its connections.
    pub(super) idle: Duration,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainEnd {
    /// The application is gone.
    Idle,
    /// It took too long.
    Longest,
}

impl Drain {
    /// Resolves when the proxy may end.
    pub(super) async fn over(self, connections: &Connections) -> DrainEnd {
        let mut watch = Watch::new(self, Instant::now());
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            // What cannot be seen is taken to be there: a call that is waited
            // for in vain costs a moment, one that fails costs the call.
            let seen = Seen {
                open: connections.open(),
                accepted: connections.accepted(),
                strangers: !self.idle.is_zero() && strangers_sockets().unwrap_or(true),
            };
            if let Some(end) = watch.look(Instant::now(), seen) {
                return end;
            }
        }
    }
}

/// What there is of the application at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Its connections through weir.
    open: usize,
    /// How many there were so far.
    accepted: u64,
    /// Whether the pod's network holds sockets that are not the proxy's.
    strangers: bool,
}

/// Since when nothing was seen.
struct Watch {
    drain: Drain,
    started: Instant,
    idle_since: Option<Instant>,
    accepted: Option<u64>,
}

impl Watch {
    fn new(drain: Drain, now: Instant) -> Self {
        Self {
            drain,
            started: now,
            idle_since: None,
            accepted: None,
        }
    }

    fn look(&mut self, now: Instant, seen: Seen) -> Option<DrainEnd> {
        let is_new = self
            .accepted
            .replace(seen.accepted)
            .is_some_and(|before| before != seen.accepted);
        if seen.open > 0 || seen.strangers || is_new {
            self.idle_since = None;
        } else {
            let since = *self.idle_since.get_or_insert(now);
            if now.duration_since(since) >= self.drain.idle {
                return Some(DrainEnd::Idle);
            }
        }
        (now.duration_since(self.started) >= self.drain.longest).then_some(DrainEnd::Longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Seen = Seen {
        open: 0,
        accepted: 5,
        strangers: false,
    };

    fn end(drain: Drain, looks: &[(u64, Seen)]) -> Option<(u64, DrainEnd)> {
        let started = Instant::now();
        let mut watch = Watch::new(drain, started);
        looks.iter().find_map(|(at, seen)| {
            let end = watch.look(started + Duration::from_secs(*at), *seen)?;
            Some((*at, end))
        })
    }

    #[test]
    fn it_ends_when_nothing_was_seen_for_long_enough_and_at_the_latest_when_it_must() {
        let drain = Drain {
            longest: Duration::from_secs(25),
            idle: Duration::from_secs(5),
        };
        let open = Seen { open: 1, ..NOTHING };
        let strangers = Seen {
            strangers: true,
            ..NOTHING
        };
        // Made and ended between two looks.
        let accepted = Seen {
            accepted: 6,
            ..NOTHING
        };
        let idle = Some((5, DrainEnd::Idle));
        let cases: [(&[(u64, Seen)], _); 6] = [
            (&[(0, NOTHING), (4, NOTHING), (5, NOTHING)], idle),
            (&[(0, NOTHING), (4, open), (5, NOTHING), (9, NOTHING)], None),
            (
                &[(0, NOTHING), (4, strangers), (5, NOTHING), (10, NOTHING)],
                Some((10, DrainEnd::Idle)),
            ),
            (&[(0, NOTHING), (5, accepted), (6, accepted)], None),
            (
                &[(0, open), (24, open), (25, open)],
                Some((25, DrainEnd::Longest)),
            ),
            (&[(25, NOTHING)], Some((25, DrainEnd::Longest))),
        ];
        for (looks, expected) in cases {
            assert_eq!(end(drain, looks), expected, "{looks:?}");
        }
    }

    #[test]
    fn without_looking_further_it_ends_with_the_last_connection() {
        let drain = Drain {
            longest: Duration::from_secs(25),
            idle: Duration::ZERO,
        };
        let open = Seen { open: 1, ..NOTHING };
        let looks = [(0, open), (3, open), (4, NOTHING)];
        assert_eq!(end(drain, &looks), Some((4, DrainEnd::Idle)));
        assert_eq!(end(drain, &[(0, NOTHING)]), Some((0, DrainEnd::Idle)));
    }
}
