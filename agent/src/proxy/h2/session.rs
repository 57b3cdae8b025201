//! A connection upstream that speaks HTTP/2: for the streams of one connection of
//! the application, or of several.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::Shared};
use h2::client::SendRequest;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{
    super::leg::Leg, CONNECTION_WINDOW, HEADERS_LEN_MAX, STREAM_WINDOW, STREAMS_MAX, cork::cork,
    departures::Departures,
};

/// Done when a connection has ended, of itself or because nobody uses it.
pub(super) type Ended = Shared<oneshot::Receiver<()>>;

/// One that uses a connection. It closes when none is left.
#[derive(Clone, Debug)]
pub(crate) struct Session(Arc<InUse>);

/// A connection that is used.
#[derive(Debug)]
struct InUse {
    send_request: SendRequest<Bytes>,
    connection: Connection,
}

#[derive(Debug)]
struct Connection {
    /// The one task that moves its frames. It ends with the last user, unless it
    /// may say goodbye.
    task: AbortHandle,
    may_say_goodbye: AtomicBool,
    ended: Ended,
    /// When it has written some.
    departures: Departures,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.may_say_goodbye.load(Ordering::Relaxed) {
            self.task.abort();
        }
    }
}

impl Session {
    /// Sends the preface and settings.
    pub(crate) async fn begin(leg: Leg) -> Result<Self, h2::Error> {
        let (leg, cork) = cork(leg);
        let departures = cork.departures();
        let handshake = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADERS_LEN_MAX)
            .enable_push(false)
            .handshake::<_, Bytes>(leg);
        let (send_request, moving) = cork.around(handshake).await?;
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let result = cork.around(moving).await;
            tracing::debug!(?result, "an HTTP/2 connection upstream has ended");
            // Nobody may be left to hear it.
            let _ = end.send(());
        });
        let connection = Connection {
            task: task.abort_handle(),
            may_say_goodbye: AtomicBool::new(false),
            ended: ended.shared(),
            departures,
        };
        Ok(Self(Arc::new(InUse {
            send_request,
            connection,
        })))
    }

    /// Whether upstream has neither gone nor said that it will.
    pub(crate) fn is_alive(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        // With streams left, a GOAWAY does not end it, but no more may be opened.
        !self.0.connection.task.is_finished()
            && !matches!(
                self.0.send_request.clone().poll_ready(&mut context),
                Poll::Ready(Err(_))
            )
    }

    /// Whether it is used for anything else: another connection of the
    /// application, or a stream.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// What finds it again for as long as it is used.
    pub(crate) fn lend(&self) -> Lent {
        Lent(Arc::downgrade(&self.0))
    }

    /// Says GOAWAY and closes, without being waited for.
    pub(crate) fn close(self) {
        let may_say_goodbye = &self.0.connection.may_say_goodbye;
        may_say_goodbye.store(true, Ordering::Relaxed);
    }

    /// Waits until all is written that was to be, if nobody else has use for it.
    pub(super) async fn end(self) {
        if let Some(last) = Arc::into_inner(self.0) {
            drop(last.send_request);
            // Whether it said so or was dropped, it is over.
            let _ = last.connection.ended.clone().await;
        }
    }

    pub(super) fn ended(&self) -> Ended {
        self.0.connection.ended.clone()
    }

    pub(super) fn departures(&self) -> &Departures {
        &self.0.connection.departures
    }

    /// Waits until a stream may be opened.
    pub(super) async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.0.send_request.clone().ready().await
    }
}

/// A connection that others use. It does not keep it open.
#[derive(Debug)]
pub(crate) struct Lent(Weak<InUse>);

impl Lent {
    /// Whether anybody still uses it.
    pub(crate) fn is_used(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, session: &Session) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&session.0))
    }

    /// For another connection of the application: if it is alive, and those who
    /// use it leave half of the streams that upstream allows.
    pub(crate) fn join(&self) -> Option<Session> {
        let session = Session(self.0.upgrade()?);
        let allowed = session.0.send_request.current_max_send_streams();
        // Each connection of the application is one, and each of its streams.
        let users = Arc::strong_count(&session.0);
        let has_room = users <= allowed.min(STREAMS_MAX as usize) / 2;
        (has_room && session.is_alive()).then_some(session)
    }
}
