//! One start of weir whose decisions are followed, until this is dropped.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use weir_common::{FlowEvent, FlowReason};

use crate::app::say;
use crate::capture::inspect::{Events, Following, InspectError, Set};
use crate::sys::cgroup::Cgroup;
use crate::sys::inventory::Attachment;

/// What is followed.
pub(super) struct Followed {
    set: Set,
    events: Events,
    /// Locked: two who take from one ring would each see half.
    cgroup: Cgroup,
    ring: Ring,
    /// Most decisions that can wait in the ring.
    waiting_max: u64,
    tally: Tally,
}

/// What the last attempt to take a decision found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Empty,
    /// There may be more.
    Taken,
}

impl Followed {
    pub(super) fn begin(set: Set, attachment: &Attachment) -> anyhow::Result<Self> {
        let path = &attachment.cgroup;
        let cgroup = Cgroup::at(path).with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&cgroup, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another `weir trace` follows {}: two would each see half of the decisions",
                path.display()
            );
        }
        let mut events = set.events()?;
        let waiting_max = set.events_max()?;
        // Left over from one that was killed.
        while events.take().is_some() {}
        set.follow(Following::Yes)?;
        Ok(Self {
            set,
            events,
            cgroup,
            ring: Ring::Empty,
            waiting_max,
            tally: Tally::default(),
        })
    }

    /// The directory of the cgroup it is attached to.
    pub(super) fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// The cgroup, and by it those below.
    pub(super) fn place(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Whether this is the one that is followed: an upgrade has new programs on
    /// the same maps.
    pub(super) fn is(&self, set: &Set) -> bool {
        self.set
            .maps()
            .any(|(id, _)| set.maps().any(|(other, _)| other == id))
    }

    /// Takes the next decision, if there is one.
    pub(super) fn take(&mut self) -> Option<FlowEvent> {
        let event = self.events.take();
        self.ring = if event.is_some() {
            self.tally.seen += 1;
            Ring::Taken
        } else {
            Ring::Empty
        };
        event
    }

    /// Turns it on again if `weir init` wrote its settings meanwhile, and counts.
    pub(super) fn look_after(&mut self) -> Result<(), InspectError> {
        self.set.follow(Following::Yes)?;
        // What waits there is not lost. It is never found empty while decisions are
        // made faster than they are shown, which is when some are.
        let waiting = match self.ring {
            Ring::Empty => 0,
            Ring::Taken => self.waiting_max,
        };
        let decisions = self
            .set
            .counters()?
            .into_iter()
            .filter(|(reason, _)| is_followed(*reason))
            .map(|(_, count)| count)
            .sum();
        self.tally.look(decisions, waiting);
        Ok(())
    }

    /// How many decisions are known to be lost, if there are more than were told.
    pub(super) fn newly_lost(&self) -> Option<u64> {
        self.tally.newly_lost()
    }
}

impl AsFd for Followed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Err(error) = self.set.follow(Following::No) {
            say(&format!(
                "cannot turn it off again for {}: {error}",
                self.cgroup.path().display()
            ));
        }
    }
}

/// Whether each count of this reason is one decision in the ring. What is no
/// flow is not written; failing to store is also counted for other reasons.
fn is_followed(reason: FlowReason) -> bool {
    reason.outcome().is_some() && reason != FlowReason::StorageFailed
}

/// How many decisions were made and how many were seen.
///
/// The counters cannot be read at the same moment as the ring, nor at the moment
/// when it was turned on. So what is counted lies within what is seen: counting
/// begins a look after it was turned on, and what was made up to one look is
/// compared with what was seen up to the next, and with what may still wait to
/// be. The difference is lost for sure.
#[derive(Debug, Default)]
struct Tally {
    seen: u64,
    /// At the first look.
    before: Option<u64>,
    /// At the last look.
    made: u64,
    lost: u64,
    told: Cell<u64>,
}

impl Tally {
    /// `decisions` is how many were made so far, of which at most `waiting` are yet
    /// to be seen.
    fn look(&mut self, decisions: u64, waiting: u64) {
        let before = *self.before.get_or_insert(decisions);
        let made = self.made.saturating_sub(before);
        let found = self.seen.saturating_add(waiting);
        self.lost = self.lost.max(made.saturating_sub(found));
        self.made = decisions;
    }

    fn newly_lost(&self) -> Option<u64> {
        let more = self.lost - self.told.replace(self.lost);
        (more > 0).then_some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_have_been_seen_is_lost() {
        // 100 before anybody followed; 3 more until the first look.
        let mut tally = Tally {
            seen: 3,
            ..Tally::default()
        };
        tally.look(103, 0);
        assert_eq!(tally.newly_lost(), None);
        // The ring is behind the counters, which is no loss yet.
        tally.look(110, 0);
        assert_eq!(tally.newly_lost(), None);
        tally.seen = 10;
        tally.look(110, 0);
        assert_eq!(tally.newly_lost(), None);
    }

    #[test]
    fn what_is_lost_is_told_once() {
        let mut tally = Tally::default();
        tally.look(0, 0);
        tally.look(1_000, 0);
        tally.seen = 400;
        tally.look(1_000, 0);
        assert_eq!(tally.newly_lost(), Some(600));
        assert_eq!(tally.newly_lost(), None);
        tally.look(1_010, 0);
        tally.seen = 405;
        tally.look(1_010, 0);
        assert_eq!(tally.newly_lost(), Some(5));
    }

    #[test]
    fn what_is_lost_is_told_although_the_ring_is_never_found_empty() {
        let mut tally = Tally::default();
        tally.look(0, 800);
        tally.look(1_000, 800);
        tally.seen = 100;
        // 800 may be waiting.
        tally.look(5_000, 800);
        assert_eq!(tally.newly_lost(), Some(100));
        tally.seen = 200;
        tally.look(9_000, 800);
        assert_eq!(tally.newly_lost(), Some(3_900));
        tally.seen = 1_000;
        tally.look(9_000, 0);
        assert_eq!(tally.newly_lost(), Some(4_000));
    }

    #[test]
    fn what_is_never_in_the_ring_is_not_missed_there() {
        assert!(is_followed(FlowReason::Redirected));
        assert!(is_followed(FlowReason::Exempt));
        assert!(!is_followed(FlowReason::Claimed));
        assert!(!is_followed(FlowReason::StorageFailed));
    }
}
