//! Calls of the Model Context Protocol whose answers other exchanges bring.
//!
//! A call waits here from the end of its own exchange to its answer, or to the
//! end of the session. It may also find its answer waiting: on two connections
//! nothing says which is first. What is remembered of either is a hash of host,
//! session and identifier. Answers that no call waits for, such as those of a
//! stream that is replayed, come to nothing.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::rpc_session::{Answer, RpcId, RpcSession};

/// Most calls that wait, answers that do, and streams that may bring some: far
/// more than an application has under way at once. They are looked through one
/// by one.
const WAITING_MAX: usize = 1_024;

/// Longest time that a call waits. It is looked at when something happens.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// Calls that wait, each with a value of its owner's.
#[derive(Debug)]
pub struct Unanswered<T> {
    /// The longest waiting first.
    calls: VecDeque<Call<T>>,
    /// The oldest first.
    early: VecDeque<Early>,
    /// Sessions whose streams are open.
    open: VecDeque<u64>,
    /// Sessions that a client has ended while it still had calls.
    ended: VecDeque<u64>,
    /// How often one of the above had to make room.
    displaced: u64,
    hasher: RandomState,
}

#[derive(Debug)]
struct Call<T> {
    key: u64,
    session: u64,
    since: Instant,
    value: T,
}

#[derive(Debug)]
struct Early {
    key: u64,
    session: u64,
    at: Instant,
    /// None if the call was taken back.
    answer: Option<Answer>,
}

/// Why a call waits no longer.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// It was answered.
    Answered(Answer),
    /// Nothing is known that would bring its answer.
    Unfollowed,
    /// There were too many, or it took too long.
    GivenUp,
    /// The client took it back.
    Cancelled,
    /// The client had ended the session.
    Ended,
}

/// Calls that wait no longer.
pub type Released<T> = Vec<(T, Over)>;

impl<T> Default for Unanswered<T> {
    fn default() -> Self {
        Self {
            calls: VecDeque::new(),
            early: VecDeque::new(),
            open: VecDeque::new(),
            ended: VecDeque::new(),
            displaced: 0,
            hasher: RandomState::new(),
        }
    }
}

impl<T> Unanswered<T> {
    /// A stream names the session whose answers it will bring. If it names no more
    /// than an address that another has named, nobody can say whose the calls are
    /// that wait.
    pub fn open(&mut self, host: &str, session: &RpcSession) -> Released<T> {
        let of_session = self.session(host, session);
        let is_shared = is_address(session) && self.open.contains(&of_session);
        self.displaced = self
            .displaced
            .saturating_add(push(&mut self.open, of_session));
        if !is_shared {
            return Released::new();
        }
        self.early.retain(|early| early.session != of_session);
        let left = self.take_all(of_session);
        self.displaced = self.displaced.saturating_add(left.len() as u64);
        left.into_iter()
            .map(|value| (value, Over::Unfollowed))
            .collect()
    }

    /// Whether a stream of the session is open, or several are.
    #[must_use]
    pub fn is_open(&self, host: &str, session: &RpcSession) -> bool {
        self.open.contains(&self.session(host, session))
    }

    /// The exchange of a call has ended without its answer. It began at `since`.
    pub fn wait(
        &mut self,
        host: &str,
        (session, id): (&RpcSession, &RpcId),
        since: Instant,
        value: T,
        now: Instant,
    ) -> Released<T> {
        let mut released = self.late(now);
        let key = self.key(host, session, id);
        let of_session = self.session(host, session);
        let is_answer = |early: &Early| early.key == key;
        if let Some(at) = self.early.iter().position(is_answer)
            && let Some(early) = self.early.remove(at)
            // An identifier that is used again has not been answered yet.
            && early.at >= since
        {
            released.push((value, early.answer.map_or(Over::Cancelled, Over::Answered)));
            return released;
        }
        if self.ended.contains(&of_session) {
            released.push((value, Over::Ended));
            return released;
        }
        let streams = self.streams(of_session);
        let is_followed = match session {
            RpcSession::OfStream(_) => streams > 0,
            RpcSession::OfAddress(_) => streams == 1,
            RpcSession::OfHeader(_) => true,
        };
        if is_address(session) && streams > 1 {
            self.displaced = self.displaced.saturating_add(1);
        }
        if !is_followed {
            released.push((value, Over::Unfollowed));
            return released;
        }
        let same = self.calls.iter().position(|call| call.key == key);
        let surplus = (self.calls.len() >= WAITING_MAX).then_some(0);
        if let Some(call) = same.or(surplus).and_then(|at| self.calls.remove(at)) {
            released.push((call.value, Over::GivenUp));
        }
        self.calls.push_back(Call {
            key,
            session: of_session,
            since,
            value,
        });
        released
    }

    /// A stream of the session has brought an answer.
    pub fn answer(
        &mut self,
        host: &str,
        session: &RpcSession,
        answer: Answer,
        now: Instant,
    ) -> Released<T> {
        let mut released = self.late(now);
        if is_address(session) && self.streams(self.session(host, session)) != 1 {
            return released;
        }
        let key = self.key(host, session, &answer.id);
        if let Some(value) = self.take(key) {
            released.push((value, Over::Answered(answer)));
            return released;
        }
        let early = Early {
            key,
            session: self.session(host, session),
            at: now,
            answer: Some(answer),
        };
        self.displaced = self.displaced.saturating_add(push(&mut self.early, early));
        released
    }

    /// The client takes a call back, which may still be under way.
    pub fn cancel(
        &mut self,
        host: &str,
        session: &RpcSession,
        id: &RpcId,
        now: Instant,
    ) -> Option<T> {
        let key = self.key(host, session, id);
        let call = self.take(key);
        if call.is_none() {
            let early = Early {
                key,
                session: self.session(host, session),
                at: now,
                answer: None,
            };
            self.displaced = self.displaced.saturating_add(push(&mut self.early, early));
        }
        call
    }

    /// The session is over, and with it its calls.
    pub fn close(&mut self, host: &str, session: &RpcSession) -> Vec<T> {
        let is_named = matches!(session, RpcSession::OfHeader(_));
        let is_address = is_address(session);
        let session = self.session(host, session);
        if is_named {
            // Not a loss: its calls are seldom still under way.
            push(&mut self.ended, session);
        }
        if is_address && self.streams(session) > 1 {
            // One of several, which no call waits for.
            let one = self.open.iter().position(|open| *open == session);
            one.and_then(|at| self.open.remove(at));
            return Vec::new();
        }
        self.open.retain(|open| *open != session);
        self.early.retain(|early| early.session != session);
        self.take_all(session)
    }

    /// How many streams of a session are open.
    fn streams(&self, session: u64) -> usize {
        self.open.iter().filter(|open| **open == session).count()
    }

    /// Takes all calls of a session out.
    fn take_all(&mut self, session: u64) -> Vec<T> {
        let (taken, left) = std::mem::take(&mut self.calls)
            .into_iter()
            .partition::<VecDeque<_>, _>(|call| call.session == session);
        self.calls = left;
        taken.into_iter().map(|call| call.value).collect()
    }

    /// Everything is over.
    pub fn close_all(&mut self) -> Vec<T> {
        self.calls.drain(..).map(|call| call.value).collect()
    }

    /// How often something had to make room since this was asked last, calls
    /// not among it.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }

    /// Those that have waited too long. The oldest may be behind a younger one,
    /// by as much as calls take to be acknowledged.
    fn late(&mut self, now: Instant) -> Released<T> {
        let is_late = |call: &mut Call<T>| now.saturating_duration_since(call.since) > WAIT_MAX;
        std::iter::from_fn(|| self.calls.pop_front_if(is_late))
            .map(|call| (call.value, Over::GivenUp))
            .collect()
    }

    fn take(&mut self, key: u64) -> Option<T> {
        let at = self.calls.iter().position(|call| call.key == key)?;
        self.calls.remove(at).map(|call| call.value)
    }

    fn key(&self, host: &str, session: &RpcSession, id: &RpcId) -> u64 {
        self.hasher.hash_one((host, session, id))
    }

    fn session(&self, host: &str, session: &RpcSession) -> u64 {
        self.hasher.hash_one((host, session))
    }
}

/// Whether nothing but an address tells the session from others.
fn is_address(session: &RpcSession) -> bool {
    matches!(session, RpcSession::OfAddress(_))
}

/// Adds the newest; returns how many had to make room.
fn push<T>(to: &mut VecDeque<T>, newest: T) -> u64 {
    let displaced = (to.len() >= WAITING_MAX).then(|| to.pop_front());
    to.push_back(newest);
    u64::from(displaced.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::observation::RpcOutcome;

    const HOST: &str = "mcp.example";

    fn stream(name: &str) -> RpcSession {
        RpcSession::OfStream(name.to_owned())
    }

    fn id(number: usize) -> RpcId {
        RpcId::Number(number.to_string())
    }

    fn answer(number: usize) -> Answer {
        Answer {
            id: id(number),
            outcome: RpcOutcome::Ok,
            error: None,
        }
    }

    /// A session of a stream that is open, and the time.
    fn opened(name: &str) -> (Unanswered<usize>, RpcSession, Instant) {
        let (mut calls, session) = (Unanswered::default(), stream(name));
        calls.open(HOST, &session);
        (calls, session, Instant::now())
    }

    #[test]
    fn streams_of_one_address_are_followed_while_there_is_only_one() {
        let mut calls = Unanswered::default();
        let session = RpcSession::OfAddress("/messages".to_owned());
        let now = Instant::now();
        let wait = |calls: &mut Unanswered<usize>, number| {
            calls.wait(HOST, (&session, &id(number)), now, number, now)
        };
        assert!(!calls.is_open(HOST, &session));
        assert_eq!(wait(&mut calls, 1), [(1, Over::Unfollowed)]);
        assert_eq!(calls.open(HOST, &session), []);
        assert_eq!(wait(&mut calls, 2), []);
        assert_eq!(wait(&mut calls, 3), []);
        let released = calls.answer(HOST, &session, answer(2), now);
        assert_eq!(released, [(2, Over::Answered(answer(2)))]);
        assert_eq!(calls.take_displaced(), 0);

        // Another one: whose call is it that waits, and whose the next?
        assert_eq!(calls.open(HOST, &session), [(3, Over::Unfollowed)]);
        assert_eq!(calls.answer(HOST, &session, answer(3), now), []);
        assert_eq!(wait(&mut calls, 4), [(4, Over::Unfollowed)]);
        assert_eq!(calls.take_displaced(), 2);

        // One is left.
        assert_eq!(calls.close(HOST, &session), Vec::<usize>::new());
        assert_eq!(wait(&mut calls, 5), []);
        assert_eq!(calls.close(HOST, &session), [5]);
        assert!(!calls.is_open(HOST, &session));
    }

    #[test]
    fn calls_are_answered_in_any_order() {
        let (mut calls, session, now) = opened("s");
        for number in [1, 2, 3] {
            let released = calls.wait(HOST, (&session, &id(number)), now, number, now);
            assert_eq!(released, []);
        }
        for number in [2, 3, 1] {
            let released = calls.answer(HOST, &session, answer(number), now);
            assert_eq!(released, [(number, Over::Answered(answer(number)))]);
        }
    }

    #[test]
    fn an_answer_may_come_before_the_end_of_its_call() {
        let (mut calls, session, now) = opened("s");
        let later = now + Duration::from_millis(1);
        assert_eq!(calls.answer(HOST, &session, answer(1), later), []);
        let released = calls.wait(HOST, (&session, &id(1)), now, 1, later);
        assert_eq!(released, [(1, Over::Answered(answer(1)))]);
    }

    #[test]
    fn an_answer_is_not_that_of_a_later_call_of_the_same_name() {
        let (mut calls, session, now) = opened("s");
        assert_eq!(calls.answer(HOST, &session, answer(1), now), []);
        let later = now + Duration::from_millis(1);
        assert_eq!(calls.wait(HOST, (&session, &id(1)), later, 1, later), []);
        assert_eq!(
            calls.answer(HOST, &session, answer(1), later),
            [(1, Over::Answered(answer(1)))]
        );
    }

    #[test]
    fn an_answer_that_is_replayed_answers_nothing() {
        let (mut calls, session, now) = opened("s");
        calls.wait(HOST, (&session, &id(1)), now, 1, now);
        assert_eq!(calls.answer(HOST, &session, answer(1), now).len(), 1);
        assert_eq!(calls.answer(HOST, &session, answer(1), now), []);
        assert!(calls.close(HOST, &session).is_empty());
    }

    #[test]
    fn hosts_and_sessions_are_told_apart() {
        let (mut calls, session, now) = opened("s");
        calls.wait(HOST, (&session, &id(1)), now, 1, now);
        let of_header = RpcSession::OfHeader("s".to_owned());
        for (host, other) in [
            ("other.example", &session),
            (HOST, &stream("t")),
            (HOST, &of_header),
        ] {
            assert_eq!(calls.answer(host, other, answer(1), now), []);
            assert!(calls.close(host, other).is_empty());
            assert_eq!(calls.cancel(host, other, &id(1), now), None);
        }
        assert_eq!(calls.cancel(HOST, &session, &id(1), now), Some(1));
    }

    #[test]
    fn a_call_of_a_stream_that_nobody_saw_does_not_wait() {
        let (mut calls, now) = (Unanswered::default(), Instant::now());
        let unseen = stream("unseen");
        let released = calls.wait(HOST, (&unseen, &id(1)), now, 1, now);
        assert_eq!(released, [(1, Over::Unfollowed)]);
        let of_header = RpcSession::OfHeader("s".to_owned());
        assert_eq!(calls.wait(HOST, (&of_header, &id(1)), now, 1, now), []);
    }

    #[test]
    fn the_end_of_a_session_is_that_of_its_calls() {
        let (mut calls, session, now) = opened("s");
        let other = stream("t");
        calls.open(HOST, &other);
        calls.wait(HOST, (&session, &id(1)), now, 1, now);
        calls.wait(HOST, (&other, &id(2)), now, 2, now);
        calls.wait(HOST, (&session, &id(3)), now, 3, now);
        assert_eq!(calls.close(HOST, &session), [1, 3]);
        let released = calls.wait(HOST, (&session, &id(4)), now, 4, now);
        assert_eq!(released, [(4, Over::Unfollowed)]);
        assert_eq!(calls.close_all(), [2]);
    }

    #[test]
    fn a_call_may_be_taken_back_before_its_exchange_has_ended() {
        let (mut calls, session, now) = opened("s");
        assert_eq!(calls.cancel(HOST, &session, &id(1), now), None);
        let released = calls.wait(HOST, (&session, &id(1)), now, 1, now);
        assert_eq!(released, [(1, Over::Cancelled)]);
        let of_header = RpcSession::OfHeader("s".to_owned());
        assert!(calls.close(HOST, &of_header).is_empty());
        let released = calls.wait(HOST, (&of_header, &id(2)), now, 2, now);
        assert_eq!(released, [(2, Over::Ended)]);
    }

    #[test]
    fn what_waits_has_bounds() {
        let (mut calls, session, now) = opened("s");
        for number in 0..WAITING_MAX {
            assert_eq!(
                calls.wait(HOST, (&session, &id(number)), now, number, now),
                []
            );
        }
        let one_more = calls.wait(HOST, (&session, &id(WAITING_MAX)), now, WAITING_MAX, now);
        assert_eq!(one_more, [(0, Over::GivenUp)]);
        let again = calls.wait(HOST, (&session, &id(WAITING_MAX)), now, 7, now);
        assert_eq!(again, [(WAITING_MAX, Over::GivenUp)]);
        let late = now + WAIT_MAX + Duration::from_millis(1);
        let released = calls.answer(HOST, &session, answer(0), late);
        assert_eq!(released.len(), WAITING_MAX);
        for number in 0..=WAITING_MAX {
            calls.answer(HOST, &session, answer(number), late);
            calls.open(HOST, &stream(&number.to_string()));
        }
        assert_eq!(
            (calls.early.len(), calls.open.len()),
            (WAITING_MAX, WAITING_MAX)
        );
        // Of both there was one more before.
        assert_eq!(calls.take_displaced(), 2 + 2);
        assert_eq!(calls.take_displaced(), 0);
    }
}
