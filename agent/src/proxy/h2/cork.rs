//! Holds back what is written until its writer pauses, so that many small pieces
//! leave as one: in one system call, one TLS record, and packets that are full.
//!
//! Frames of HTTP/2 need it: the `h2` crate writes each frame of data by itself,
//! also when the next is ready. Whoever drives a connection knows when that has
//! done all it can, and lets go of what is held then.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::departures::Departures;

/// How much is held: two TLS records. More is written while the writer goes on.
const HELD_MAX: usize = 32 * 1024;
/// Pieces from this size on are not copied, but written together with what is held.
const PIECE_MAX: usize = 8 * 1024;
/// What a connection that pauses may keep of its buffer.
const KEPT_MAX: usize = 1024;

/// A stream whose writes are held.
#[derive(Debug)]
pub(super) struct Corked<S>(Arc<Mutex<Holding<S>>>);

/// What lets go of them, and says so.
#[derive(Debug)]
pub(super) struct Cork<S> {
    holding: Arc<Mutex<Holding<S>>>,
    departures: Departures,
}

#[derive(Debug)]
struct Holding<S> {
    stream: S,
    held: Vec<u8>,
    /// Of what is held, how much was written: less than all.
    gone: usize,
    /// Something was written, and the stream has not confirmed that it left.
    is_unflushed: bool,
    /// Why letting go failed. The writer is told next time.
    failed: Option<io::Error>,
}

/// Holds back what is written to a stream from now on.
pub(super) fn cork<S>(stream: S) -> (Corked<S>, Cork<S>) {
    let holding = Arc::new(Mutex::new(Holding {
        stream,
        held: Vec::new(),
        gone: 0,
        is_unflushed: false,
        failed: None,
    }));
    let corked = Corked(Arc::clone(&holding));
    let departures = Departures::default();
    let cork = Cork {
        holding,
        departures,
    };
    (corked, cork)
}

impl<S> Cork<S> {
    /// When it lets go.
    pub(super) fn departures(&self) -> Departures {
        self.departures.clone()
    }
}

impl<S> Drop for Cork<S> {
    fn drop(&mut self) {
        self.departures.end();
    }
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Drives the writer, and lets go whenever it has to wait.
    pub(super) async fn around<F: Future>(&self, writer: F) -> F::Output {
        let mut writer = pin!(writer);
        poll_fn(|context| {
            let polled = writer.as_mut().poll(context);
            self.let_go(context);
            polled
        })
        .await
    }

    /// Lets go of what is held, as far as the stream takes it. The waker is woken
    /// when it takes more, or if it broke: the writer is to be driven then, and
    /// this called again.
    pub(super) fn let_go(&self, context: &mut Context<'_>) {
        let mut holding = lock(&self.holding);
        if let Poll::Ready(Err(error)) = holding.poll_flush(context) {
            holding.failed = Some(error);
            context.waker().wake_by_ref();
        }
        drop(holding);
        self.departures.note();
    }
}

fn lock<S>(holding: &Mutex<Holding<S>>) -> MutexGuard<'_, Holding<S>> {
    holding.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncWrite + Unpin> Holding<S> {
    /// Writes what is held and then `piece`. How much of that, once all that is
    /// held is gone.
    fn poll_write_through(
        &mut self,
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        while self.gone < self.held.len() {
            let rest = &self.held[self.gone..];
            let slices = [IoSlice::new(rest), IoSlice::new(piece)];
            let stream = Pin::new(&mut self.stream);
            let count = ready!(stream.poll_write_vectored(context, &slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_unflushed = true;
            if let Some(of_piece) = count.checked_sub(rest.len()) {
                self.clear();
                if of_piece > 0 {
                    return Poll::Ready(Ok(of_piece));
                }
            } else {
                self.gone += count;
            }
        }
        if piece.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.is_unflushed = true;
        Pin::new(&mut self.stream).poll_write(context, piece)
    }

    fn clear(&mut self) {
        self.gone = 0;
        self.held.clear();
        if self.held.capacity() > KEPT_MAX {
            self.held = Vec::new();
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_through(context, &[]))?;
        if self.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut holding = lock(&self.0);
        holding.check()?;
        if piece.len() >= PIECE_MAX {
            return holding.poll_write_through(context, piece);
        }
        if holding.held.len() + piece.len() > HELD_MAX {
            ready!(holding.poll_write_through(context, &[]))?;
        }
        holding.held.extend_from_slice(piece);
        Poll::Ready(Ok(piece.len()))
    }

    /// Does not let go: that is the cork's part.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.0).check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut holding = lock(&self.0);
        holding.check()?;
        ready!(holding.poll_flush(context))?;
        Pin::new(&mut holding.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes at once, and has to be asked twice for each time.
    struct Narrow {
        width: usize,
        is_ready: bool,
        taken: Vec<Vec<u8>>,
    }

    impl Narrow {
        fn new(width: usize) -> Self {
            Self {
                width,
                is_ready: true,
                taken: Vec::new(),
            }
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            piece: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(piece)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if !std::mem::replace(&mut self.is_ready, false) {
                self.is_ready = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            all.truncate(self.width);
            let count = all.len();
            self.taken.push(all);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(piece_lens: &[usize], width: usize) -> Vec<Vec<u8>> {
        let (mut corked, cork) = cork(Narrow::new(width));
        let mut context = Context::from_waker(Waker::noop());
        let mut next = 0_u8;
        for &length in piece_lens {
            let mut piece = vec![0; length];
            for byte in &mut piece {
                *byte = next;
                next = next.wrapping_add(1) % 251;
            }
            let mut left = &piece[..];
            while !left.is_empty() {
                if let Poll::Ready(count) = Pin::new(&mut corked).poll_write(&mut context, left) {
                    left = &left[count.unwrap()..];
                }
            }
            assert!(Pin::new(&mut corked).poll_flush(&mut context).is_ready());
        }
        // More often than the narrowest needs.
        for _ in 0..1000 {
            cork.let_go(&mut context);
        }
        std::mem::take(&mut lock(&cork.holding).stream.taken)
    }

    #[test]
    fn small_pieces_leave_as_one() {
        assert_eq!(written(&[9, 300, 9, 1000], usize::MAX).len(), 1);
    }

    #[test]
    fn a_large_piece_leaves_with_what_was_held_before_it() {
        let taken = written(&[9, PIECE_MAX, 9], usize::MAX);
        let lengths: Vec<_> = taken.iter().map(Vec::len).collect();
        assert_eq!(lengths, [9 + PIECE_MAX, 9]);
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let taken = written(&[1000; 100], usize::MAX);
        assert!(taken.iter().all(|taken| taken.len() <= HELD_MAX));
        assert!(taken.len() > 1);
    }

    #[test]
    fn every_byte_arrives_in_its_place_however_little_is_taken_at_once() {
        for width in [1000, 1009, 4096, 8201, 20_000, usize::MAX] {
            for pieces in [
                &[9, 300, 9, 1000][..],
                &[9, PIECE_MAX, 9, 3 * HELD_MAX],
                &[1000; 100],
            ] {
                let taken = written(pieces, width).concat();
                assert_eq!(taken.len(), pieces.iter().sum::<usize>(), "{width}");
                let is_in_place = |(index, byte): (usize, &u8)| index % 251 == usize::from(*byte);
                assert!(taken.iter().enumerate().all(is_in_place), "{width}");
            }
        }
    }

    #[test]
    fn a_writer_is_told_that_what_it_wrote_did_not_leave() {
        let (mut corked, cork) = cork(Broken);
        let mut context = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut corked).poll_write(&mut context, b"frame");
        assert!(matches!(written, Poll::Ready(Ok(5))));
        cork.let_go(&mut context);
        let flushed = Pin::new(&mut corked).poll_flush(&mut context);
        let Poll::Ready(Err(error)) = flushed else {
            panic!("{flushed:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_waits_for_a_departure_waits_until_all_is_let_go_of_or_the_connection_over() {
        for is_over in [false, true] {
            let (mut corked, cork) = cork(Narrow::new(usize::MAX));
            let departures = cork.departures();
            let mut context = Context::from_waker(Waker::noop());
            let mut departure = pin!(departures.next());
            let written = Pin::new(&mut corked).poll_write(&mut context, b"frame");
            assert!(written.is_ready());
            assert!(departure.as_mut().poll(&mut context).is_pending());
            assert!(departure.as_mut().poll(&mut context).is_pending());
            if is_over {
                drop(cork);
            } else {
                cork.let_go(&mut context);
            }
            assert!(departure.as_mut().poll(&mut context).is_ready());
            let never = pin!(departures.next()).poll(&mut context);
            assert_eq!(never.is_ready(), is_over);
        }
    }

    #[test]
    fn a_departure_that_nobody_waited_for_yet_has_been_all_the_same() {
        let (mut corked, cork) = cork(Narrow::new(usize::MAX));
        let departures = cork.departures();
        let mut context = Context::from_waker(Waker::noop());
        let departure = pin!(departures.next());
        let written = Pin::new(&mut corked).poll_write(&mut context, b"frame");
        assert!(written.is_ready());
        cork.let_go(&mut context);
        assert!(departure.poll(&mut context).is_ready());
    }

    /// Takes nothing.
    struct Broken;

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
