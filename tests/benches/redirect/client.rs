//! The application: connects, and asks and waits for answers, as it is told.
//!
//! It knows of no proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::SERVER;
use weir_tests::bench::actor::{cpu_ns, serve};
use weir_tests::bench::delays::Delays;

/// What it is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Connects, exchanges a byte, resets; one connection after the other.
    Connect { count: usize },
    /// The same on some threads at once.
    Crowd { threads: usize, count: usize },
    /// Exchanges messages of this size over one connection.
    Exchange { bytes: usize, count: usize },
}

impl Task {
    /// How many connections or exchanges that is, over all threads.
    pub(crate) const fn total(self) -> usize {
        match self {
            Self::Connect { count } | Self::Exchange { count, .. } => count,
            Self::Crowd { threads, count } => threads * count,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// How long `connect` took, of each connection.
    pub(crate) connect: Delays,
    /// From `connect` until the byte was back, or from request to answer.
    pub(crate) answer: Delays,
    /// Of all of it, in nanoseconds.
    pub(crate) elapsed_ns: u64,
    pub(crate) cpu_ns: u64,
}

/// Does what it is told until its input ends.
pub(crate) fn run() -> Result<()> {
    serve(|task: Task| {
        let cpu = cpu_ns();
        let started = Instant::now();
        let done = match task {
            Task::Connect { count } => connect_often(count)?,
            Task::Crowd { threads, count } => crowd(threads, count)?,
            Task::Exchange { bytes, count } => exchange(bytes, count)?,
        };
        Ok(Done {
            elapsed_ns: nanoseconds(started)?,
            cpu_ns: cpu_ns() - cpu,
            ..done
        })
    })
}

fn crowd(threads: usize, count: usize) -> Result<Done> {
    let mut all = Done::default();
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| connect_often(count)))
            .collect();
        for one in crowd {
            let done = one.join().ok().context("a thread panicked")??;
            all.connect.extend(done.connect);
            all.answer.extend(done.answer);
        }
        Ok(all)
    })
}

fn connect_often(count: usize) -> Result<Done> {
    let mut done = Done::default();
    for _ in 0..count {
        let (mut stream, started, connected) = connect()?;
        stream.write_all(&[1])?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        done.connect.push(connected);
        done.answer.push(nanoseconds(started)?);
    }
    Ok(done)
}

/// A connection that will be reset when it is dropped, when it was begun, and how
/// long `connect` took.
fn connect() -> Result<(TcpStream, Instant, u64)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let started = Instant::now();
    socket
        .connect(&SERVER.into())
        .context("cannot connect to the server")?;
    let connected = nanoseconds(started)?;
    socket.set_tcp_nodelay(true)?;
    // Else the client's port would stay in TIME_WAIT: see the relay.
    socket.set_linger(Some(Duration::ZERO))?;
    Ok((socket.into(), started, connected))
}

fn exchange(bytes: usize, count: usize) -> Result<Done> {
    let (mut stream, ..) = connect()?;
    let request = vec![7; bytes];
    let mut answer = vec![0; bytes];
    let mut done = Done::default();
    for _ in 0..count {
        let started = Instant::now();
        stream.write_all(&request)?;
        stream.read_exact(&mut answer)?;
        done.answer.push(nanoseconds(started)?);
    }
    ensure!(answer == request, "the answer is not what was asked");
    Ok(done)
}

fn nanoseconds(since: Instant) -> Result<u64> {
    Ok(u64::try_from(since.elapsed().as_nanos())?)
}
