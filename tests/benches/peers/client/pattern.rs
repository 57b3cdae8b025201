//! How calls follow one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use weir_tests::bench::clock::now_ns;
use weir_tests::curl::Http;

use super::connection::{Connection, Dialler};
use super::events::Got;
use super::request::Request;
use super::timer::Timer;
use crate::load::Done;

/// Connects, then makes a short call on all connections at once, so that a proxy
/// has as many connections upstream as it will need.
pub(super) async fn connect(
    dialler: &Dialler,
    request: &Request,
    at_once: usize,
) -> Result<Vec<Connection>> {
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..at_once {
        connections.push(match (request.http(), connections.first()) {
            (Http::H2, Some(Connection::H2(first))) => Connection::H2(first.clone()),
            _ => dialler.dial().await?,
        });
    }
    let mut calls = JoinSet::new();
    let first = Arc::new(request.first());
    for mut connection in connections {
        let first = Arc::clone(&first);
        calls.spawn(async move { connection.call(&first).await.map(|_| connection) });
    }
    calls.join_all().await.into_iter().collect()
}

/// What a call came to.
fn record(done: &mut Done, request: &Request, got: Got, since_ns: u64) {
    done.calls += 1;
    done.bytes += got.bytes + request.body().len() as u64;
    done.events += got.events;
    done.latency.push(now_ns() - since_ns);
    if let Some(first) = got.first_ns {
        done.first.push(first.saturating_sub(since_ns));
    }
    done.delay.extend(got.delays_ns.into());
}

/// Each after the other, on all connections; those that come later begin by `stagger` / all later.
pub(super) async fn closed(
    connections: &mut Vec<Connection>,
    request: &Arc<Request>,
    time: Duration,
    stagger: Duration,
) -> Result<Done> {
    let deadline = Instant::now() + time;
    let count = u32::try_from(connections.len())?.max(1);
    let mut workers = JoinSet::new();
    for (number, mut connection) in (0..).zip(connections.drain(..)) {
        let (request, wait) = (Arc::clone(request), stagger * number / count);
        workers.spawn(async move {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            let mut done = Done::default();
            loop {
                let since = now_ns();
                match connection.call(&request).await {
                    Ok(got) => record(&mut done, &request, got, since),
                    Err(error) => {
                        done.fail(&error);
                        return (None, done);
                    }
                }
                if Instant::now() >= deadline {
                    return (Some(connection), done);
                }
            }
        });
    }
    gather(workers, connections).await
}

/// When they are due. Nobody waits for a slow answer before the next call: what is
/// due while all connections are taken is late, and is timed from when it was due.
pub(super) async fn open(
    connections: &mut Vec<Connection>,
    request: &Arc<Request>,
    per_second: u64,
    time: Duration,
) -> Result<Done> {
    const SECOND_NS: u64 = 1_000_000_000;
    let start = now_ns();
    let end = start + u64::try_from(time.as_nanos())?;
    let gap = SECOND_NS / per_second.max(1);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for mut connection in connections.drain(..) {
        let (request, next) = (Arc::clone(request), Arc::clone(&next));
        let timer = Timer::new()?;
        workers.spawn(async move {
            let mut done = Done::default();
            loop {
                let due = start + gap * next.fetch_add(1, Ordering::Relaxed);
                if due >= end {
                    return (Some(connection), done);
                }
                let called = async {
                    if due > now_ns() {
                        timer.until(due).await?;
                    }
                    connection.call(&request).await
                };
                match called.await {
                    Ok(got) => record(&mut done, &request, got, due),
                    Err(error) => {
                        done.fail(&error);
                        return (None, done);
                    }
                }
            }
        });
    }
    gather(workers, connections).await
}

/// Each on a connection of its own.
pub(super) async fn dial(
    dialler: &Arc<Dialler>,
    request: &Arc<Request>,
    at_once: usize,
    time: Duration,
) -> Result<Done> {
    let deadline = Instant::now() + time;
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (dialler, request) = (Arc::clone(dialler), Arc::clone(request));
        workers.spawn(async move {
            let mut done = Done::default();
            loop {
                let since = now_ns();
                match dial_once(&dialler, &request).await {
                    Ok((connection, got)) => {
                        record(&mut done, &request, got, since);
                        connection.close().await;
                    }
                    Err(error) => done.fail(&error),
                }
                if Instant::now() >= deadline {
                    return (None, done);
                }
            }
        });
    }
    gather(workers, &mut Vec::new()).await
}

async fn dial_once(dialler: &Dialler, request: &Request) -> Result<(Connection, Got)> {
    let mut connection = dialler.dial().await?;
    let got = connection.call(request).await?;
    Ok((connection, got))
}

async fn gather(
    mut workers: JoinSet<(Option<Connection>, Done)>,
    connections: &mut Vec<Connection>,
) -> Result<Done> {
    let mut all = Done::default();
    while let Some(worker) = workers.join_next().await {
        let (connection, done) = worker?;
        connections.extend(connection);
        all.add(done);
    }
    Ok(all)
}
