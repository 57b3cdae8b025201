//! What the application is told to do: which call, how many at once, how often.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_tests::bench::delays::Delays;
use weir_tests::curl::Http;

use crate::answer::Answer;

/// A name that is in weir's catalogue of model providers.
pub(crate) const API: &str = "api.openai.com";
/// One that is in no catalogue.
pub(crate) const OTHER: &str = "files.example.org";

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Host {
    /// A model provider.
    Api,
    /// Somebody whose connections are none of weir's business.
    Other,
}

impl Host {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Api => API,
            Self::Other => OTHER,
        }
    }
}

/// A call, always the same one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) host: Host,
    pub(crate) http: Http,
    pub(crate) answer: Answer,
    /// Of the request's body, in bytes, roughly.
    pub(crate) request: usize,
}

/// How calls follow one another.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Pattern {
    /// On so many connections, or streams of one of HTTP/2, each after the other.
    Closed { at_once: usize },
    /// When they are due, whether those before are done or not, at most so many at
    /// once; late ones are timed from when they were due.
    Open { at_once: usize, per_second: u64 },
    /// Each on a connection of its own, so many at once.
    Dial { at_once: usize, resumed: bool },
    /// As closed, begun at different times.
    Streams { at_once: usize },
    /// So many streams that never end.
    Held { at_once: usize },
}

/// A load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Where the client connects to.
    pub(crate) to: SocketAddr,
    pub(crate) call: Call,
    pub(crate) pattern: Pattern,
    /// For so long, and one call of each at least.
    pub(crate) time: Duration,
}

/// What is said to the client, in this order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Connect, and call once.
    Prepare(Load),
    /// Do it. The connections stay.
    Run,
    /// Close the connections.
    End,
}

/// What came of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Calls that were answered in full.
    pub(crate) calls: u64,
    /// Of bodies, in both directions, in bytes.
    pub(crate) bytes: u64,
    /// Events that arrived.
    pub(crate) events: u64,
    pub(crate) elapsed_ns: u64,
    /// From when a call was made, or was due, to the end of its answer; the
    /// connection included where each has its own.
    pub(crate) latency: Delays,
    /// From the request to the first event.
    pub(crate) first: Delays,
    /// From the writing of an event to its arrival, the first of a stream left out.
    pub(crate) delay: Delays,
    /// Calls that failed, and why the first did.
    pub(crate) failures: u64,
    pub(crate) failure: Option<String>,
}

impl Done {
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.events += other.events;
        self.latency.extend(other.latency);
        self.first.extend(other.first);
        self.delay.extend(other.delay);
        self.failures += other.failures;
        if self.failure.is_none() {
            self.failure = other.failure;
        }
    }

    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.failures += 1;
        self.failure.get_or_insert_with(|| format!("{error:#}"));
    }
}
