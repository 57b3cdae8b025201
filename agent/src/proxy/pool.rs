//! Connections to providers that have outlived the application's, kept for the
//! next one.
//!
//! An application that connects for every call waits for two round trips and a
//! handshake each time; here the next call finds them done. A kept connection
//! goes where the next one would have gone: to the same address and port, under
//! the same verified name, having offered the same protocols. It serves one of
//! the application's connections at a time; what may serve several is not kept
//! before the last of them has ended (see `supply`).
//!
//! Servers close what is idle, and a request that crosses the end on its way is
//! lost. So a connection is kept only as long as servers usually wait, or as long
//! as this one has said or shown that it does; what became of it meanwhile is
//! seen before it is used; and a request of HTTP/1 that fails all the same is sent
//! again if the peer's kernel has acknowledged none of it (see `h1`).
//!
//! Pure: time is passed in, and what a kept connection is says [`Kept`].

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::bounds::Bound;

/// Connections kept for one route.
const PER_ROUTE_MAX: usize = 32;
/// Connections kept in all, at a descriptor and the state of a TLS session each.
const KEPT_MAX: usize = 256;
/// Routes remembered.
const ROUTES_MAX: usize = 256;
/// Of the time after which a server was seen to have closed, how much is used
/// from then on.
const CAUTION: (u32, u32) = (3, 4);
/// Servers say when they close; the request still has to get there.
const HINT_MARGIN: Duration = Duration::from_secs(1);

/// Where a connection goes, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    /// The destination that the kernel recorded.
    pub(crate) origin: SocketAddr,
    /// The name, verified if there is TLS.
    pub(crate) host: Arc<str>,
    /// What was offered in ALPN; `None` without TLS.
    pub(crate) offered: Option<Vec<Vec<u8>>>,
}

/// What is kept.
pub(crate) trait Kept {
    /// Whether it can still be used, as far as can be told without waiting.
    fn is_alive(&mut self) -> bool;
    /// Ends it in order.
    fn close(self);
}

#[derive(Debug)]
struct Idle<T> {
    kept: T,
    since: Instant,
    until: Instant,
}

#[derive(Debug)]
struct Line<T> {
    /// The last one kept is the first to be used, so that few stay in use.
    idle: Vec<Idle<T>>,
    /// How long it is worth keeping connections of this route.
    lifetime: Duration,
}

impl<T: Kept> Line<T> {
    fn learn(&mut self, age: Duration) {
        let (part, whole) = CAUTION;
        self.lifetime = self.lifetime.min(age / whole * part);
    }
}

/// Connections that wait for use.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    idle_timeout: Duration,
    lines: HashMap<Route, Line<T>>,
    kept: usize,
}

impl<T: Kept> Pool<T> {
    /// Keeps connections no longer than `idle_timeout`.
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            lines: HashMap::new(),
            kept: 0,
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept
    }

    /// How many are kept for a route.
    pub(crate) fn idle(&self, route: &Route) -> usize {
        self.lines.get(route).map_or(0, |line| line.idle.len())
    }

    /// Whether one more can be kept.
    pub(crate) fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    /// A connection that is alive, if one is kept for this route.
    pub(crate) fn take(&mut self, route: &Route, now: Instant) -> Option<T> {
        let line = self.lines.get_mut(route)?;
        while let Some(mut idle) = line.idle.pop() {
            self.kept = self.kept.saturating_sub(1);
            if idle.until > now && idle.kept.is_alive() {
                return Some(idle.kept);
            }
            if idle.until > now {
                line.learn(now.duration_since(idle.since));
            }
            idle.kept.close();
        }
        None
    }

    /// Keeps a connection, or ends it if there is no room. `hint` is how long the
    /// server says that it waits.
    pub(crate) fn keep(&mut self, route: &Route, kept: T, hint: Option<Duration>, now: Instant) {
        if !self.has_room() {
            Bound::KeptUpstream.hit();
            kept.close();
            return;
        }
        if self.lines.len() >= ROUTES_MAX && !self.lines.contains_key(route) {
            self.lines.retain(|_, line| !line.idle.is_empty());
            if self.lines.len() >= ROUTES_MAX {
                Bound::KeptUpstream.hit();
                kept.close();
                return;
            }
        }
        let lifetime = self.idle_timeout;
        let line = self.lines.entry(route.clone()).or_insert_with(|| Line {
            idle: Vec::new(),
            lifetime,
        });
        if line.idle.len() >= PER_ROUTE_MAX {
            Bound::KeptUpstream.hit();
            kept.close();
            return;
        }
        let hint = hint.map(|hint| hint.saturating_sub(HINT_MARGIN));
        let lifetime = hint.unwrap_or(line.lifetime).min(line.lifetime);
        if lifetime.is_zero() {
            kept.close();
            return;
        }
        line.idle.push(Idle {
            kept,
            since: now,
            until: now + lifetime,
        });
        self.kept = self.kept.saturating_add(1);
    }

    /// Ends those that are over their time, or that the server has ended.
    pub(crate) fn sweep(&mut self, now: Instant) {
        for line in self.lines.values_mut() {
            for mut idle in std::mem::take(&mut line.idle) {
                let is_due = idle.until <= now;
                if !is_due && idle.kept.is_alive() {
                    line.idle.push(idle);
                    continue;
                }
                if !is_due {
                    line.learn(now.duration_since(idle.since));
                }
                self.kept = self.kept.saturating_sub(1);
                idle.kept.close();
            }
        }
    }

    /// Ends all.
    pub(crate) fn clear(&mut self) {
        for (_, line) in self.lines.drain() {
            for idle in line.idle {
                idle.kept.close();
            }
        }
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    /// A connection whose server can end it.
    #[derive(Clone, Default)]
    struct Fake(Rc<(Cell<bool>, Cell<bool>)>);

    impl Fake {
        fn end_by_server(&self) {
            self.0.0.set(true);
        }

        fn is_closed(&self) -> bool {
            self.0.1.get()
        }
    }

    impl Kept for Fake {
        fn is_alive(&mut self) -> bool {
            !self.0.0.get()
        }

        fn close(self) {
            self.0.1.set(true);
        }
    }

    fn route(host: &str) -> Route {
        Route {
            origin: SocketAddr::from(([203, 0, 113, 7], 443)),
            host: host.into(),
            offered: Some(vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        }
    }

    const IDLE: Duration = Duration::from_secs(30);

    #[test]
    fn only_the_same_route_is_served_and_each_connection_once() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        let kept = route("api.openai.com");
        pool.keep(&kept, Fake::default(), None, now);
        let elsewhere = Route {
            origin: SocketAddr::from(([203, 0, 113, 8], 443)),
            ..kept.clone()
        };
        let otherwise = Route {
            offered: Some(vec![b"http/1.1".to_vec()]),
            ..kept.clone()
        };
        let in_clear = Route {
            offered: None,
            ..kept.clone()
        };
        for other in [
            &route("api.anthropic.com"),
            &elsewhere,
            &otherwise,
            &in_clear,
        ] {
            assert!(pool.take(other, now).is_none(), "{other:?}");
        }
        assert!(pool.take(&kept, now).is_some());
        assert!(pool.take(&kept, now).is_none());
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn the_last_one_kept_is_used_first() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        let (first, last) = (Fake::default(), Fake::default());
        pool.keep(&route("a"), first, None, now);
        pool.keep(&route("a"), last.clone(), None, now);
        let taken = pool.take(&route("a"), now).unwrap();
        assert!(Rc::ptr_eq(&taken.0, &last.0));
    }

    #[test]
    fn what_is_over_its_time_or_was_ended_is_not_used() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        let (old, ended) = (Fake::default(), Fake::default());
        pool.keep(&route("a"), old.clone(), None, now);
        assert!(pool.take(&route("a"), now + IDLE).is_none());
        assert!(old.is_closed());
        pool.keep(&route("a"), ended.clone(), None, now);
        ended.end_by_server();
        assert!(pool.take(&route("a"), now).is_none());
        assert!(ended.is_closed());
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn a_server_is_believed_about_its_patience_and_remembered_for_it() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        // As it says.
        let hint = Some(Duration::from_secs(5));
        pool.keep(&route("says"), Fake::default(), hint, now);
        assert!(
            pool.take(&route("says"), now + Duration::from_secs(4))
                .is_none()
        );
        // As it does: it ended one after eight seconds.
        let ended = Fake::default();
        pool.keep(&route("does"), ended.clone(), None, now);
        ended.end_by_server();
        pool.sweep(now + Duration::from_secs(8));
        assert!(ended.is_closed());
        for (seconds, is_used) in [(5, true), (6, false)] {
            pool.keep(&route("does"), Fake::default(), None, now);
            let taken = pool.take(&route("does"), now + Duration::from_secs(seconds));
            assert_eq!(taken.is_some(), is_used, "after {seconds} s");
        }
    }

    #[test]
    fn what_a_server_says_is_shorter_than_the_margin_is_not_kept() {
        let mut pool = Pool::new(IDLE);
        let fake = Fake::default();
        let hint = Some(Duration::from_secs(1));
        pool.keep(&route("a"), fake.clone(), hint, Instant::now());
        assert!(fake.is_closed());
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn sweeping_ends_what_is_due_and_no_other() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        let (old, young) = (Fake::default(), Fake::default());
        pool.keep(&route("a"), old.clone(), None, now);
        pool.keep(&route("a"), young.clone(), None, now + IDLE / 2);
        pool.sweep(now + IDLE);
        assert!(old.is_closed() && !young.is_closed());
        assert_eq!(pool.len(), 1);
        pool.clear();
        assert!(young.is_closed());
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let now = Instant::now();
        let mut pool = Pool::new(IDLE);
        let before = Bound::KeptUpstream.hits();
        for _ in 0..=PER_ROUTE_MAX {
            pool.keep(&route("a"), Fake::default(), None, now);
        }
        assert_eq!(pool.len(), PER_ROUTE_MAX);
        for index in 0..KEPT_MAX {
            pool.keep(&route(&format!("host{index}")), Fake::default(), None, now);
        }
        assert_eq!(pool.len(), KEPT_MAX);
        assert!(Bound::KeptUpstream.hits() > before);
    }
}
