//! When what was written has left: what can wait until then does, as does reading
//! a copy of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// A connection's.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    departed: Notify,
    /// Nothing ever departs again.
    is_over: AtomicBool,
}

impl Departures {
    /// Done when the connection next wrote all that it had, or as much as was
    /// taken. Made before something is sent, it is not done before that was
    /// written; or it was lost with its connection.
    pub(super) fn next(&self) -> impl Future<Output = ()> {
        let departed = self.0.departed.notified();
        async move {
            if !self.0.is_over.load(Ordering::Acquire) {
                departed.await;
            }
        }
    }

    /// Something did.
    pub(super) fn note(&self) {
        self.0.departed.notify_waiters();
    }

    /// Nothing ever will.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.departed.notify_waiters();
    }
}
