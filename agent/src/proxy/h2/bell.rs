//! Tells which part of a task has something to do, so that only that is polled,
//! and the scheduler is not asked for what the task does next anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The task. While it is at work it has no waker: it looks at its bells before it
/// rests.
pub(super) type Sleeper = Arc<AtomicWaker>;

/// A part's.
#[derive(Debug)]
pub(super) struct Bell {
    is_rung: AtomicBool,
    sleeper: Sleeper,
}

impl Bell {
    /// One that has rung.
    pub(super) fn rung(sleeper: &Sleeper) -> Arc<Self> {
        Arc::new(Self {
            is_rung: AtomicBool::new(true),
            sleeper: Arc::clone(sleeper),
        })
    }

    /// Whether it has rung, and not since it was last answered.
    pub(super) fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Whether it had rung. It can ring again from now on.
    pub(super) fn answer(&self) -> bool {
        self.is_rung.swap(false, Ordering::AcqRel)
    }

    /// What rings it.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Rings it.
    pub(super) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.sleeper.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
