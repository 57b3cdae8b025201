//! What the actor program says: one JSON value a run, as types of both sides.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What an actor that stays says first, once it can be used.
pub const READY: &str = "ready";

/// Who answered, at the beginning of an answer: the thin proxy.
pub const BY_PROXY: &str = "proxy";
/// Who answered, at the beginning of an answer: the server itself.
pub const BY_SERVER: &str = "server";

/// Microseconds of `CLOCK_MONOTONIC`, which all processes share.
#[must_use]
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds * 1_000_000 + nanoseconds / 1_000
}

/// The thin proxy's answer where it knows no destination.
pub const NOWHERE: &str = "nowhere";

/// What the thin proxy saw until it was ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThinProxy {
    /// Connections accepted.
    pub connections: u64,
    /// Those for which the kernel knows no flow.
    pub without_flow: u64,
    /// Those whose `SO_ORIGINAL_DST` is not the flow's destination, or which
    /// answer to that of the other family.
    pub disagreeing: u64,
    /// One of those.
    pub example: Option<String>,
}

/// What came of a storm of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storm {
    /// Connections that were answered rightly, by whom.
    pub answered: BTreeMap<String, u64>,
    /// Connections that were answered with another destination.
    pub wrong: u64,
    /// Connections of which the proxy did not know the destination.
    pub lost: u64,
    /// Some of those: what was asked for, and the answer.
    pub examples: Vec<(String, String)>,
    /// Connections begun and given up at once.
    pub aborted: u64,
    /// Attempts that failed, by where and why, such as `connect ECONNREFUSED`.
    pub errors: BTreeMap<String, u64>,
    /// How many different source ports were used.
    pub source_ports: u64,
    /// The slowest `connect`, in microseconds.
    pub slowest_us: u64,
    /// Every attempt, if that was asked for.
    pub timeline: Vec<Attempt>,
}

impl Storm {
    /// Fails unless all of `count` connections, but those that were given up, were
    /// answered by this one, each with its own destination.
    ///
    /// # Errors
    /// Says what else there was.
    pub fn all_answered(&self, by: &str, count: u64) -> Result<()> {
        let right = BTreeMap::from([(by.to_owned(), count - self.aborted)]);
        ensure!(self.answered == right && self.nothing_else(), "{self:?}");
        Ok(())
    }

    /// Whether there was no failure and no wrong answer.
    #[must_use]
    pub fn nothing_else(&self) -> bool {
        self.wrong == 0 && self.lost == 0 && self.errors.is_empty()
    }
}

/// One connection of a storm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in [`now_us`].
    pub started_us: u64,
    /// How long `connect` took.
    pub connect_us: u64,
    /// When all was over.
    pub ended_us: u64,
    /// The error and its stage, or by whom it was answered.
    pub outcome: String,
}

/// One connection, or datagram, of `dial`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    /// The error and its stage, such as `connect EPERM`, or the answer.
    pub outcome: String,
    /// How long `connect` took, in microseconds.
    pub connect_us: u64,
}

/// What came of streams that were held open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many were opened.
    pub streams: u64,
    /// How often bytes went over each of them and back.
    pub rounds: u64,
    /// What went wrong, by stream.
    pub failures: Vec<String>,
}

/// What one case of the contract saw, by field.
pub type Observed = BTreeMap<String, String>;
/// All cases of the contract by name.
pub type Contract = BTreeMap<String, Observed>;
