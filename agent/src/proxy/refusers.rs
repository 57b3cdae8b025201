//! Clients that do not accept our certificates: which they are, and for how long
//! they are let through uninspected.
//!
//! A program with roots compiled in or a pinned certificate can never be
//! inspected, and would only ever fail. It is recognised by what it does: it
//! refuses a host's certificate twice and has never accepted it. From then on
//! its connections to that host pass, and are counted as not inspected; after a
//! while one of them is tried again, so that a trust that was mended is noticed.
//! One connection that went well clears a client, so that a stray alert does not
//! add up to a verdict.
//!
//! Pure: who refuses and when is told by the caller.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{bounds::Bound, sniff::TlsStack};

/// Alerts until a client is let through. One may be a stray; a client that
/// retries, as all SDKs do, has sent the second within its first call.
const ALERTS_MAX: u8 = 2;
/// Silent refusals until a client is let through. Some TLS stacks verify after
/// the handshake, or close before their alert has left, which looks like a
/// connection that was made ahead and not used; so one more is needed, and none
/// counts from a client that has accepted the certificate before.
const SILENCES_MAX: u8 = 3;
/// How long others of the same kind pass while one is being tried again.
const PROBE_WAIT: Duration = Duration::from_secs(60);
/// Each trial that fails costs the application a connection, so the next comes
/// after twice the time, up to this.
const PASS_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Clients remembered, at some 60 bytes each.
const CLIENTS_MAX: usize = 4_096;

/// What is to be told from another client: a TLS stack of a program, towards
/// one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// cgroup v2 id of the task that connected: its container.
    pub(crate) cgroup: u64,
    /// Path of the executable, where it can be known.
    pub(crate) exe: Option<String>,
    /// What is characteristic of its ClientHello, which tells programs of one
    /// container apart even where their paths are not known.
    pub(crate) stack: TlsStack,
    /// The host whose certificate it was shown.
    pub(crate) host: Arc<str>,
}

/// How a client did not accept a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// With one of the alerts that say so.
    Alert,
    /// It left in its handshake or after it, without having sent anything.
    Silence,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Inspect,
    /// Let it through as it is.
    Pass,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Has sent something over our TLS.
    Accepts,
    Suspected {
        alerts: u8,
        silences: u8,
    },
    Passed {
        until: Instant,
        pass_for: Duration,
    },
    /// One connection is being tried again.
    Probed {
        since: Instant,
        pass_for: Duration,
    },
}

/// Remembers clients by a hash.
#[derive(Debug)]
pub struct Refusers {
    pass_for: Duration,
    states: HashMap<u64, State>,
    /// Oldest first.
    order: VecDeque<u64>,
    hasher: RandomState,
}

/// What a refusal led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// Nothing yet, or nothing at all: the client is known to accept.
    Nothing,
    /// From now on the client is let through, for as long.
    PassFor(Duration),
}

impl Refusers {
    /// `pass_for`: how long a client is let through before it is tried again.
    #[must_use]
    pub fn new(pass_for: Duration) -> Self {
        Self {
            pass_for,
            states: HashMap::new(),
            order: VecDeque::new(),
            hasher: RandomState::new(),
        }
    }

    /// What to do with a connection of `client`. Answers [`Verdict::Inspect`] once
    /// when the time is over: that connection is the trial.
    pub(crate) fn verdict(&mut self, client: &Client, now: Instant) -> Verdict {
        let Some(state) = self.states.get_mut(&self.hasher.hash_one(client)) else {
            return Verdict::Inspect;
        };
        match *state {
            State::Accepts | State::Suspected { .. } => Verdict::Inspect,
            State::Passed { until, .. } if now < until => Verdict::Pass,
            State::Probed { since, .. } if now.duration_since(since) < PROBE_WAIT => Verdict::Pass,
            State::Passed { pass_for, .. } | State::Probed { pass_for, .. } => {
                let since = now;
                *state = State::Probed { since, pass_for };
                Verdict::Inspect
            }
        }
    }

    /// Whether `client` is known to accept the certificate.
    pub(crate) fn accepts(&self, client: &Client) -> bool {
        let state = self.states.get(&self.hasher.hash_one(client));
        matches!(state, Some(State::Accepts))
    }

    /// `client` has refused the certificate.
    pub(crate) fn refused(&mut self, client: &Client, how: Refusal, now: Instant) -> Learnt {
        let key = self.hasher.hash_one(client);
        let (alerts, silences) = match self.states.get(&key) {
            None => (0, 0),
            Some(State::Suspected { alerts, silences }) => (*alerts, *silences),
            // An alert of one that used to accept is news; leaving is not.
            Some(State::Accepts) if how == Refusal::Alert => (0, 0),
            // The connections under way when it was learnt say nothing new.
            Some(State::Accepts | State::Passed { .. }) => return Learnt::Nothing,
            Some(State::Probed { pass_for, .. }) => {
                let pass_for = pass_for.saturating_mul(2).min(PASS_FOR_MAX);
                return self.pass(client, pass_for, now);
            }
        };
        let (alerts, silences) = match how {
            Refusal::Alert => (alerts.saturating_add(1), silences),
            Refusal::Silence => (alerts, silences.saturating_add(1)),
        };
        if alerts >= ALERTS_MAX || silences >= SILENCES_MAX {
            return self.pass(client, self.pass_for, now);
        }
        self.remember(key, State::Suspected { alerts, silences });
        Learnt::Nothing
    }

    /// `client` has accepted the certificate.
    pub(crate) fn accepted(&mut self, client: &Client) {
        self.remember(self.hasher.hash_one(client), State::Accepts);
    }

    fn pass(&mut self, client: &Client, pass_for: Duration, now: Instant) -> Learnt {
        let until = now.checked_add(pass_for).unwrap_or(now);
        let state = State::Passed { until, pass_for };
        self.remember(self.hasher.hash_one(client), state);
        // Its path is asked of another process, which does not always answer in
        // time: without it, it is most likely the same.
        let nameless = Client {
            exe: None,
            ..client.clone()
        };
        self.remember(self.hasher.hash_one(nameless), state);
        Learnt::PassFor(pass_for)
    }

    /// The oldest makes room: if it still refuses, it is learnt anew.
    fn remember(&mut self, key: u64, state: State) {
        if self.states.insert(key, state).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > CLIENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.states.remove(&oldest);
            Bound::Refusers.hit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn client(exe: &str, host: &str) -> Client {
        Client {
            cgroup: 7,
            exe: Some(exe.to_owned()),
            stack: TlsStack::of(&[0x13, 1], &mut [], &[]),
            host: host.into(),
        }
    }

    #[derive(Clone, Copy)]
    enum Seen {
        Alert,
        Silence,
        Accepted,
        /// Nothing, for so many minutes.
        Minutes(u64),
    }

    /// What becomes of the client's next connection, after each of what was seen.
    fn check(seen: &[Seen], expected: &[Verdict]) {
        let client = client("/bin/pins", "api.openai.com");
        let mut refusers = Refusers::new(HOUR);
        let mut now = Instant::now();
        let verdicts = seen.iter().map(|seen| {
            match seen {
                Seen::Alert => drop(refusers.refused(&client, Refusal::Alert, now)),
                Seen::Silence => drop(refusers.refused(&client, Refusal::Silence, now)),
                Seen::Accepted => refusers.accepted(&client),
                Seen::Minutes(minutes) => now += Duration::from_secs(minutes * 60),
            }
            refusers.verdict(&client, now)
        });
        assert_eq!(verdicts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_client_passes_after_two_alerts_or_three_silences() {
        use Seen::{Alert, Silence};
        use Verdict::{Inspect, Pass};
        check(&[Alert, Alert], &[Inspect, Pass]);
        check(&[Silence, Silence, Silence], &[Inspect, Inspect, Pass]);
        check(&[Alert, Silence, Alert], &[Inspect, Inspect, Pass]);
    }

    #[test]
    fn one_connection_that_went_well_clears_a_client() {
        use Seen::{Accepted, Alert, Silence};
        use Verdict::{Inspect, Pass};
        check(&[Alert, Accepted, Alert], &[Inspect; 3]);
        check(&[Accepted, Alert, Alert], &[Inspect, Inspect, Pass]);
        // It makes connections ahead, and does not use all of them.
        check(
            &[Accepted, Silence, Silence, Silence, Silence],
            &[Inspect; 5],
        );
    }

    #[test]
    fn a_client_is_tried_again_when_its_time_is_over() {
        use Seen::{Accepted, Alert, Minutes};
        use Verdict::{Inspect, Pass};
        // Mended meanwhile.
        check(
            &[Alert, Alert, Minutes(59), Minutes(1), Accepted],
            &[Inspect, Pass, Pass, Inspect, Inspect],
        );
        // Not mended: one alert is enough, and the next trial is in two hours.
        check(
            &[Alert, Alert, Minutes(60), Alert, Minutes(119), Minutes(1)],
            &[Inspect, Pass, Inspect, Pass, Pass, Inspect],
        );
    }

    #[test]
    fn others_pass_while_one_is_tried() {
        let client = client("/bin/pins", "api.openai.com");
        let mut refusers = Refusers::new(HOUR);
        let start = Instant::now();
        for _ in 0..ALERTS_MAX {
            let _ = refusers.refused(&client, Refusal::Alert, start);
        }
        let over = start + HOUR;
        assert_eq!(refusers.verdict(&client, over), Verdict::Inspect);
        assert_eq!(refusers.verdict(&client, over), Verdict::Pass);
        // The trial never said how it went.
        let later = over + PROBE_WAIT;
        assert_eq!(refusers.verdict(&client, later), Verdict::Inspect);
    }

    #[test]
    fn programs_stacks_containers_and_hosts_are_told_apart() {
        let refuser = client("/bin/pins", "api.openai.com");
        let mut refusers = Refusers::new(HOUR);
        let now = Instant::now();
        for _ in 0..ALERTS_MAX {
            let _ = refusers.refused(&refuser, Refusal::Alert, now);
        }
        let others = [
            client("/bin/curl", "api.openai.com"),
            client("/bin/pins", "api.anthropic.com"),
            Client {
                stack: TlsStack::of(&[0x13, 2], &mut [], &[]),
                ..refuser.clone()
            },
            Client {
                cgroup: 8,
                ..refuser.clone()
            },
        ];
        for other in others {
            assert_eq!(refusers.verdict(&other, now), Verdict::Inspect, "{other:?}");
        }
        assert_eq!(refusers.verdict(&refuser, now), Verdict::Pass);
    }

    #[test]
    fn a_client_whose_path_was_not_to_be_had_this_time_is_the_same() {
        let refuser = client("/bin/pins", "api.openai.com");
        let mut refusers = Refusers::new(HOUR);
        let now = Instant::now();
        for _ in 0..ALERTS_MAX {
            let _ = refusers.refused(&refuser, Refusal::Alert, now);
        }
        let nameless = Client {
            exe: None,
            ..refuser
        };
        assert_eq!(refusers.verdict(&nameless, now), Verdict::Pass);
    }

    #[test]
    fn no_more_clients_are_remembered_than_the_bound() {
        let mut refusers = Refusers::new(HOUR);
        let now = Instant::now();
        let first = client("/bin/0", "api.openai.com");
        for _ in 0..ALERTS_MAX {
            let _ = refusers.refused(&first, Refusal::Alert, now);
        }
        for number in 1..=CLIENTS_MAX {
            refusers.accepted(&client(&format!("/bin/{number}"), "api.openai.com"));
        }
        assert_eq!(refusers.states.len(), CLIENTS_MAX);
        assert_eq!(refusers.order.len(), CLIENTS_MAX);
        assert_eq!(refusers.verdict(&first, now), Verdict::Inspect);
    }
}
