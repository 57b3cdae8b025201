//! Streams that stay open and are used again and again: what an upgrade of the
//! kernel half may not harm.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::pod::ask;
use weir_tests::pod::said::Held;

use crate::{say_ready, until_told};

/// Reached only by streams that are broken.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many to open.
    #[arg(long)]
    streams: usize,
    /// Where to, in turn.
    #[arg(required = true)]
    to: Vec<SocketAddr>,
}

/// Holds them until told, then uses each once more.
pub(crate) fn run(args: &Args) -> Result<Held> {
    let mut streams = Vec::with_capacity(args.streams);
    for (number, to) in args.to.iter().cycle().take(args.streams).enumerate() {
        let stream = TcpStream::connect(to).with_context(|| format!("{to}, stream {number}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let answer = ask(&stream).with_context(|| format!("{to}, stream {number}"))?;
        ensure!(
            answer
                .split_once(' ')
                .is_some_and(|(_, at)| at == to.to_string()),
            "{to}, stream {number}: {answer}"
        );
        streams.push((stream, *to));
    }
    say_ready()?;
    let told = Arc::new(AtomicBool::new(false));
    {
        let told = Arc::clone(&told);
        thread::spawn(move || {
            until_told();
            told.store(true, Ordering::Release);
        });
    }
    let mut held = Held {
        streams: u64::try_from(streams.len())?,
        ..Held::default()
    };
    let mut broken = BTreeSet::new();
    loop {
        // Looked at before, so that there is a whole round after being told.
        let last = told.load(Ordering::Acquire);
        for (number, (stream, to)) in streams.iter().enumerate() {
            if broken.contains(&number) {
                continue;
            }
            if let Err(error) = exchange(stream, *to, number, held.rounds) {
                held.failures
                    .push(format!("stream {number}, round {}: {error:#}", held.rounds));
                broken.insert(number);
            }
        }
        held.rounds += 1;
        if last {
            return Ok(held);
        }
    }
}

/// Says something that no other stream says in this round, and reads it back.
fn exchange(mut stream: &TcpStream, to: SocketAddr, number: usize, round: u64) -> Result<()> {
    let said = format!("{number} {round}");
    stream.write_all(said.as_bytes())?;
    let mut back = vec![0; said.len()];
    stream.read_exact(&mut back)?;
    ensure!(back == said.as_bytes(), "{said} came back as {back:?}");
    let peer = stream.peer_addr()?;
    ensure!(peer == to, "the peer is {peer} instead of {to}");
    Ok(())
}
