//! Which executable made a connection.
//!
//! The kernel gives the process id; the path behind it is for whoever may read
//! `/proc/<pid>/exe`, which an unprivileged proxy may not. So it asks.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::bounds::Bound;

/// Questions in flight; beyond it a record goes without the path.
const QUERIES_MAX: usize = 256;
/// The answer is one readlink away. A record is not worth waiting longer for.
const ANSWER_WAIT: Duration = Duration::from_millis(200);

/// A question for the executable of a process.
#[derive(Debug)]
pub struct ProcessQuery {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Takes the path, or `None` if the process is gone or not to be asked about.
    pub answer: oneshot::Sender<Option<String>>,
}

/// Asks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Processes(Option<mpsc::Sender<ProcessQuery>>);

impl Processes {
    /// Nobody to ask: every answer is `None`.
    #[must_use]
    pub fn unknown() -> Self {
        Self(None)
    }

    /// A way to ask, and the end where questions arrive.
    #[must_use]
    pub fn asking() -> (Self, mpsc::Receiver<ProcessQuery>) {
        let (sender, receiver) = mpsc::channel(QUERIES_MAX);
        (Self(Some(sender)), receiver)
    }

    /// The path of a process's executable, if it can be had in time.
    pub(crate) async fn executable(&self, pid: u32) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let queue = self.0.as_ref()?;
        if queue.try_send(ProcessQuery { pid, answer }).is_err() {
            Bound::ProcessQueries.hit();
            return None;
        }
        tokio::time::timeout(ANSWER_WAIT, answered)
            .await
            .ok()?
            .ok()?
    }
}
