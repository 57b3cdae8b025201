//! An application's connection and its streams, as parts of one task.
//!
//! As tasks of their own each stream would wake that of the connection, which
//! would write what this stream alone has to say. Here all streams are heard that
//! have something to say, and then it is written, together.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered, task::AtomicWaker};
use h2::{
    RecvStream,
    server::{Connection, SendResponse},
};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    bell::{Bell, Sleeper},
    cork::{Cork, Corked},
    session::Ended,
};

/// How often parts that make work for one another are polled before other tasks
/// get their turn.
const ROUNDS_MAX: usize = 4;

/// A connection that is served.
pub(super) struct Served<C, S> {
    client: Connection<Corked<C>, Bytes>,
    cork: Cork<C>,
    streams: FuturesUnordered<S>,
    /// Until that is known.
    upstream: Option<Ended>,
    sleeper: Sleeper,
    /// Rung if the connection has something to read or to write.
    of_client: Arc<Bell>,
    client_waker: Waker,
    /// Rung by streams, and at the end of the connection upstream.
    of_streams: Arc<Bell>,
    streams_waker: Waker,
}

/// What became of one of them.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and most are of the large kind"
)]
pub(super) enum Event<T> {
    /// The application opened a stream.
    Asked(Request<RecvStream>, SendResponse<Bytes>),
    /// The application has ended the connection, perhaps for a reason.
    Gone(Option<h2::Error>),
    /// Upstream has.
    UpstreamGone,
    /// A stream is over.
    Done(T),
}

impl<C, S> Served<C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: Future,
{
    /// One without streams.
    pub(super) fn new(
        client: Connection<Corked<C>, Bytes>,
        cork: Cork<C>,
        upstream: Ended,
    ) -> Self {
        let sleeper = Arc::new(AtomicWaker::new());
        let (of_client, of_streams) = (Bell::rung(&sleeper), Bell::rung(&sleeper));
        Self {
            client,
            cork,
            streams: FuturesUnordered::new(),
            upstream: Some(upstream),
            sleeper,
            client_waker: of_client.waker(),
            of_client,
            streams_waker: of_streams.waker(),
            of_streams,
        }
    }

    /// Takes in what a stream does.
    pub(super) fn add(&mut self, stream: S) {
        self.streams.push(stream);
        self.of_streams.ring();
    }

    /// Says GOAWAY: those that are open go on.
    pub(super) fn shut_down(&mut self) {
        self.client.graceful_shutdown();
        self.of_client.ring();
    }

    /// The next thing that happens.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event<S::Output>> {
        self.sleeper.take();
        for _ in 0..ROUNDS_MAX {
            // All of them, before anything of theirs is written: they pause after
            // two that have yet more to say.
            for _ in 0..=self.streams.len() {
                if let Poll::Ready(event) = self.poll_streams() {
                    return Poll::Ready(event);
                }
                if !self.of_streams.is_rung() {
                    break;
                }
            }
            if let Poll::Ready(event) = self.poll_client() {
                return Poll::Ready(event);
            }
            self.sleeper.register(context.waker());
            if !self.of_streams.is_rung() && !self.of_client.is_rung() {
                return Poll::Pending;
            }
            self.sleeper.take();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_streams(&mut self) -> Poll<Event<S::Output>> {
        if !self.of_streams.answer() {
            return Poll::Pending;
        }
        let mut context = Context::from_waker(&self.streams_waker);
        let event = match self.streams.poll_next_unpin(&mut context) {
            Poll::Ready(Some(done)) => Event::Done(done),
            Poll::Ready(None) | Poll::Pending => {
                let upstream = self.upstream.as_mut();
                if upstream.is_none_or(|ended| ended.poll_unpin(&mut context).is_pending()) {
                    return Poll::Pending;
                }
                self.upstream = None;
                Event::UpstreamGone
            }
        };
        // There may be more.
        self.of_streams.ring();
        Poll::Ready(event)
    }

    fn poll_client(&mut self) -> Poll<Event<S::Output>> {
        if !self.of_client.answer() {
            return Poll::Pending;
        }
        let mut context = Context::from_waker(&self.client_waker);
        let event = match pin!(self.client.accept()).poll(&mut context) {
            Poll::Pending => {
                self.cork.let_go(&mut context);
                return Poll::Pending;
            }
            Poll::Ready(None) => Event::Gone(None),
            Poll::Ready(Some(Err(error))) => Event::Gone(Some(error)),
            Poll::Ready(Some(Ok((request, respond)))) => Event::Asked(request, respond),
        };
        // There may be more, of which it tells one at a time.
        self.of_client.ring();
        Poll::Ready(event)
    }

    /// The streams that are left. The connection is closed.
    pub(super) fn into_streams(self) -> FuturesUnordered<S> {
        self.streams
    }
}
