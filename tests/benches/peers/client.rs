//! The application: makes calls as it is told, and times them.
//!
//! It runs as a process of its own, and knows of no proxy.

mod connection;
mod events;
mod held;
mod http1;
mod http2;
mod pattern;
mod request;
mod timer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::RootCertStore;
use tokio::runtime::Runtime;
use weir_tests::bench::actor::serve;
use weir_tests::bench::tls::roots;

use crate::load::{Done, Load, Order, Pattern};
use connection::{Connection, Dialler};
use held::Held;
use request::Request;

/// How long connections get to be closed.
const CLOSING_WAIT: Duration = Duration::from_millis(20);

/// What was prepared.
enum Prepared {
    Connected(Vec<Connection>),
    Dialled,
    Held(Held),
}

/// A load, and what is needed for it.
struct Turn {
    load: Load,
    request: Arc<Request>,
    dialler: Arc<Dialler>,
    prepared: Prepared,
}

/// Follows orders until its input ends.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let roots = roots()?;
    let mut turn = None;
    serve(|order: Order| {
        Ok(
            follow(&runtime, &roots, &mut turn, order).unwrap_or_else(|error| {
                let mut done = Done::default();
                done.fail(&error);
                done
            }),
        )
    })
}

fn follow(
    runtime: &Runtime,
    roots: &Arc<RootCertStore>,
    turn: &mut Option<Turn>,
    order: Order,
) -> Result<Done> {
    match order {
        Order::Prepare(load) => {
            *turn = Some(runtime.block_on(prepare(roots, load))?);
            Ok(Done::default())
        }
        Order::Run => {
            let turn = turn.as_mut().context("nothing was prepared")?;
            let started = Instant::now();
            let mut done = runtime.block_on(turn.run())?;
            done.elapsed_ns = u64::try_from(started.elapsed().as_nanos())?;
            Ok(done)
        }
        Order::End => {
            runtime.block_on(async {
                if let Some(Prepared::Held(held)) = turn.take().map(|turn| turn.prepared) {
                    held.close().await;
                }
                // Connections of HTTP/2 are closed by tasks, which run only as long as this.
                tokio::time::sleep(CLOSING_WAIT).await;
            });
            Ok(Done::default())
        }
    }
}

async fn prepare(roots: &Arc<RootCertStore>, load: Load) -> Result<Turn> {
    let request = Arc::new(Request::new(&load.call));
    let dialler = Arc::new(Dialler::new(roots, &load));
    let prepared = match load.pattern {
        Pattern::Closed { at_once }
        | Pattern::Open { at_once, .. }
        | Pattern::Streams { at_once } => {
            Prepared::Connected(pattern::connect(&dialler, &request, at_once).await?)
        }
        Pattern::Dial { .. } => {
            let mut first = dialler.dial().await?;
            first.call(&request).await?;
            Prepared::Dialled
        }
        Pattern::Held { at_once } => Prepared::Held(Held::open(&dialler, &request, at_once).await?),
    };
    Ok(Turn {
        load,
        request,
        dialler,
        prepared,
    })
}

impl Turn {
    async fn run(&mut self) -> Result<Done> {
        let (request, time) = (&self.request, self.load.time);
        match (&mut self.prepared, self.load.pattern) {
            (Prepared::Held(held), _) => held.watch(time).await,
            (Prepared::Dialled, Pattern::Dial { at_once, .. }) => {
                pattern::dial(&self.dialler, request, at_once, time).await
            }
            (Prepared::Connected(connections), Pattern::Open { per_second, .. }) => {
                pattern::open(connections, request, per_second, time).await
            }
            (Prepared::Connected(connections), Pattern::Streams { .. }) => {
                pattern::closed(connections, request, time, request.stagger()).await
            }
            (Prepared::Connected(connections), _) => {
                pattern::closed(connections, request, time, Duration::ZERO).await
            }
            (Prepared::Dialled, _) => anyhow::bail!("something else was prepared"),
        }
    }
}
