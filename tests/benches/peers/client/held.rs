//! Many streams at once that never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::Dialler;
use super::events::Got;
use super::request::Request;
use crate::load::Done;

/// Streams that are being opened at once: more would only wait for each other.
const OPENING: usize = 16;

/// The streams. They end when this is dropped.
pub(super) struct Held {
    streams: JoinSet<Result<()>>,
    events: Arc<AtomicU64>,
    is_watched: Arc<AtomicBool>,
    delays: mpsc::UnboundedReceiver<u64>,
}

impl Held {
    /// Opens so many, and waits for the first event of each.
    pub(super) async fn open(
        dialler: &Arc<Dialler>,
        request: &Arc<Request>,
        count: usize,
    ) -> Result<Self> {
        let (sender, delays) = mpsc::unbounded_channel();
        let mut held = Self {
            streams: JoinSet::new(),
            events: Arc::default(),
            is_watched: Arc::default(),
            delays,
        };
        let opening = Arc::new(Semaphore::new(OPENING));
        for _ in 0..count {
            let (dialler, request) = (Arc::clone(dialler), Arc::clone(request));
            let (events, is_watched) = (Arc::clone(&held.events), Arc::clone(&held.is_watched));
            let permit = Arc::clone(&opening).acquire_owned().await?;
            let sender = sender.clone();
            held.streams.spawn(async move {
                let mut connection = dialler.dial().await?;
                let mut permit = Some(permit);
                let mut got = Got::new(request.has_events());
                let mut seen = 0;
                connection
                    .call_noticed(&request, &mut got, &mut |got| {
                        if got.first_ns.is_some() {
                            permit = None;
                        }
                        events.fetch_add(got.events - seen, Ordering::Relaxed);
                        seen = got.events;
                        for delay in got.delays_ns.drain(..) {
                            if is_watched.load(Ordering::Relaxed) {
                                let _nobody = sender.send(delay);
                            }
                        }
                    })
                    .await
            });
        }
        // Once all permits are back, each stream has had its first event, or has failed.
        let _all = opening.acquire_many(u32::try_from(OPENING)?).await?;
        held.check()?;
        Ok(held)
    }

    /// Fails if a stream has ended.
    fn check(&mut self) -> Result<()> {
        match self.streams.try_join_next() {
            None => Ok(()),
            Some(Ok(Ok(()))) => bail!("a stream ended"),
            Some(Ok(Err(error))) => Err(error).context("a stream broke"),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Closes all.
    pub(super) async fn close(mut self) {
        self.streams.shutdown().await;
    }

    /// Counts for so long.
    pub(super) async fn watch(&mut self, time: Duration) -> Result<Done> {
        let before = self.events.load(Ordering::Relaxed);
        self.is_watched.store(true, Ordering::Relaxed);
        sleep(time).await;
        self.is_watched.store(false, Ordering::Relaxed);
        self.check()?;
        let mut done = Done {
            events: self.events.load(Ordering::Relaxed) - before,
            ..Done::default()
        };
        while let Ok(delay) = self.delays.try_recv() {
            done.delay.push(delay);
        }
        Ok(done)
    }
}
