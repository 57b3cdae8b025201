//! Which responses' tokens have been counted, where several exchanges state the
//! same ones: a response that is fetched again or resumed, a batch that is
//! looked at until it is done.
//!
//! A bounded memory, not a ledger: what it has forgotten, and what another
//! process has seen, is judged by what the response says of itself.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use super::observation::{Claim, Observation};
use super::usage::{Provenance, Usage};

/// Most responses remembered: a day of one every second, at 40 bytes each.
const REMEMBERED_MAX: usize = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was begun, and its tokens will be stated later.
    Deferred,
    Counted,
}

/// Remembers responses by a hash of host and identifier.
#[derive(Debug, Default)]
pub struct Counted {
    states: HashMap<u64, State>,
    /// Oldest first.
    order: VecDeque<u64>,
    hasher: RandomState,
}

/// Whether there was room to remember a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There was, or nothing had to be remembered.
    Enough,
    /// The oldest was forgotten.
    Made,
}

impl Counted {
    /// Takes the tokens and the cost out of `seen` if they have been counted, or
    /// will be, elsewhere. `host` is whose identifiers they are.
    pub fn settle(&mut self, host: &str, seen: &mut Observation) -> Room {
        let Some(id) = &seen.response_id else {
            // Without a name nothing can be told from what was counted before.
            if matches!(seen.claim, Claim::Repeat | Claim::Collected) {
                disown(seen);
            }
            return Room::Enough;
        };
        let key = self.hasher.hash_one((host, id));
        let known = self.states.get(&key).copied();
        match (seen.claim, known) {
            (Claim::Sole, _) | (Claim::Deferred, Some(State::Counted)) => Room::Enough,
            (Claim::Deferred, _) => self.remember(key, State::Deferred),
            (Claim::First, _)
            | (Claim::Repeat, Some(State::Deferred))
            | (Claim::Collected, None | Some(State::Deferred)) => {
                self.remember(key, State::Counted)
            }
            (Claim::Repeat, None | Some(State::Counted))
            | (Claim::Collected, Some(State::Counted)) => {
                disown(seen);
                Room::Enough
            }
        }
    }

    fn remember(&mut self, key: u64, state: State) -> Room {
        if self.states.insert(key, state).is_some() {
            return Room::Enough;
        }
        self.order.push_back(key);
        if self.order.len() <= REMEMBERED_MAX {
            return Room::Enough;
        }
        if let Some(oldest) = self.order.pop_front() {
            self.states.remove(&oldest);
        }
        Room::Made
    }
}

fn disown(seen: &mut Observation) {
    seen.usage = Usage::default();
    seen.split = None;
    seen.provenance = Provenance::Unknown;
    seen.method = None;
    seen.stated_cost = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: &str, claim: Claim) -> Observation {
        Observation {
            response_id: Some(id.to_owned()),
            usage: Usage {
                input: Some(1),
                ..Usage::default()
            },
            provenance: Provenance::Measured,
            claim,
            ..Observation::default()
        }
    }

    /// Which of the claims on one response are counted, in order.
    fn counted(claims: &[Claim]) -> Vec<bool> {
        let mut counted = Counted::default();
        let settled = claims.iter().map(|claim| {
            let mut seen = seen("resp_1", *claim);
            counted.settle("api.example", &mut seen);
            !seen.usage.is_empty()
        });
        settled.collect()
    }

    #[test]
    fn each_response_is_counted_once() {
        use Claim::{Collected, Deferred, First, Repeat, Sole};
        assert_eq!(counted(&[First, Repeat, Collected]), [true, false, false]);
        assert_eq!(counted(&[Deferred, Repeat, Repeat]), [true, true, false]);
        assert_eq!(counted(&[Collected, Collected]), [true, false]);
        assert_eq!(counted(&[Collected, Deferred, Repeat]), [true, true, false]);
        // Begun where nobody looked, and counted there.
        assert_eq!(counted(&[Repeat]), [false]);
        assert_eq!(counted(&[Sole, Sole]), [true, true]);
    }

    #[test]
    fn hosts_and_names_are_told_apart() {
        let mut counted = Counted::default();
        for (host, id) in [("a", "1"), ("a", "2"), ("b", "1")] {
            let mut seen = seen(id, Claim::Collected);
            counted.settle(host, &mut seen);
            assert!(!seen.usage.is_empty(), "{host} {id}");
        }
        let mut nameless = seen("", Claim::Collected);
        nameless.response_id = None;
        counted.settle("a", &mut nameless);
        assert!(nameless.usage.is_empty());
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut counted = Counted::default();
        for id in 0..REMEMBERED_MAX {
            let room = counted.settle("a", &mut seen(&id.to_string(), Claim::First));
            assert_eq!(room, Room::Enough);
        }
        assert_eq!(
            counted.settle("a", &mut seen("one more", Claim::First)),
            Room::Made
        );
        assert_eq!(counted.states.len(), REMEMBERED_MAX);
        let mut again = seen("1", Claim::Collected);
        counted.settle("a", &mut again);
        assert!(again.usage.is_empty());
        let mut forgotten = seen("0", Claim::Collected);
        counted.settle("a", &mut forgotten);
        assert!(!forgotten.usage.is_empty());
    }
}
