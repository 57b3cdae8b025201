//! A proxy that is only its kernel side: it claims, accepts, and answers with the
//! destination that the kernel recorded. Nothing between the kernel's word and
//! the test's eye.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use socket2::{Domain, Socket, Type};
use weir::sys::origin::destination;
use weir_common::Flow;
use weir_tests::pod::said::{BY_PROXY, NOWHERE, ThinProxy};
use weir_tests::pod::{CaptureState, read_line};

use crate::{errors, options, say_ready, until_told};

/// A client that says nothing must not keep a port from the others.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// Stacks of threads that hold a stream each.
const STACK: usize = 64 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory that `weir init` wrote.
    #[arg(long)]
    state: PathBuf,
    /// Whether to claim.
    #[arg(long, value_enum, default_value_t = Claim::Right)]
    claim: Claim,
    /// What to answer.
    #[arg(long, value_enum, default_value_t = Answer::Destination)]
    answer: Answer,
    /// What follows the answer.
    #[arg(long, value_enum, default_value_t = After::Close)]
    after: After,
    /// Connections that wait to be accepted.
    #[arg(long, default_value_t = 4096)]
    backlog: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Claim {
    Right,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// The recorded destination.
    Destination,
    /// The destination that was recorded first for this source port: the mistake
    /// that a map by source port makes which nobody clears.
    FirstOfPort,
    /// None: connections are not even accepted.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum After {
    Close,
    Echo,
}

/// The source of a connection and the port it came to.
type Ports = (IpAddr, u16, u16);

#[derive(Default)]
struct Seen {
    totals: ThinProxy,
    first: HashMap<Ports, SocketAddr>,
}

/// Serves until told.
pub(crate) fn run(args: &Args) -> Result<ThinProxy> {
    let state = fs::read(args.state.join("capture.json")).context("weir init has not run")?;
    let state: CaptureState = serde_json::from_slice(&state)?;
    let token = hexadecimal(&state.token)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut listeners = Vec::new();
    for offset in 0..state.listen_count {
        for host in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            let address = SocketAddr::new(host, state.listen_port + offset);
            listeners.push(listen(address, args, &token)?);
        }
    }
    if args.answer != Answer::Nothing {
        for listener in listeners {
            let (seen, answer, after) = (Arc::clone(&seen), args.answer, args.after);
            thread::spawn(move || serve(&listener, answer, after, &seen));
        }
    }
    say_ready()?;
    until_told();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen.totals.clone())
}

fn listen(address: SocketAddr, args: &Args, token: &[u8]) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket
        .bind(&address.into())
        .with_context(|| format!("cannot bind {address}"))?;
    if args.claim == Claim::Right {
        // Before listening, so that nobody ever meets an unclaimed listener.
        options::claim(&socket, token).context("the claim was refused")?;
    }
    socket.listen(args.backlog)?;
    Ok(socket.into())
}

fn serve(listener: &TcpListener, answer: Answer, after: After, seen: &Arc<Mutex<Seen>>) {
    for stream in listener.incoming().flatten() {
        match after {
            After::Close => {
                // A client that left is what storms do on purpose.
                let _left = reply(stream, answer, after, seen);
            }
            After::Echo => {
                let seen = Arc::clone(seen);
                let started = thread::Builder::new()
                    .stack_size(STACK)
                    .spawn(move || reply(stream, answer, after, &seen));
                drop(started);
            }
        }
    }
}

fn reply(mut stream: TcpStream, answer: Answer, after: After, seen: &Mutex<Seen>) -> Result<()> {
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_nodelay(true)?;
    let recorded = record(&stream, seen);
    read_line(&stream)?;
    let said = match (recorded, answer) {
        (None, _) => NOWHERE.to_owned(),
        (Some(flow), Answer::FirstOfPort) => {
            let (peer, own) = (stream.peer_addr()?, stream.local_addr()?);
            let ports = (peer.ip(), peer.port(), own.port());
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let first = seen.first.entry(ports).or_insert(destination(&flow));
            first.to_string()
        }
        (Some(flow), Answer::Destination | Answer::Nothing) => destination(&flow).to_string(),
    };
    stream.write_all(format!("{BY_PROXY} {said}\n").as_bytes())?;
    if after == After::Echo {
        stream.set_read_timeout(None)?;
        let mut bytes = [0; 4096];
        while let count @ 1.. = stream.read(&mut bytes)? {
            stream.write_all(bytes.get(..count).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// The flow of a connection, compared with what netfilter's options say.
fn record(stream: &TcpStream, seen: &Mutex<Seen>) -> Option<Flow> {
    let flow = options::flow(stream);
    let four = options::original_dst4(stream);
    let six = options::original_dst6(stream);
    let agree = match &flow {
        Ok(flow) => {
            let to = destination(flow);
            let (own, other) = if to.is_ipv4() {
                (&four, &six)
            } else {
                (&six, &four)
            };
            own.as_ref().is_ok_and(|dst| *dst == to) && other.is_err()
        }
        Err(_) => four.is_err() && six.is_err(),
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.totals.connections += 1;
    seen.totals.without_flow += u64::from(flow.is_err());
    if !agree {
        seen.totals.disagreeing += 1;
        seen.totals.example = Some(format!("{flow:?} {four:?} {six:?}"));
    }
    flow.ok()
}

#[derive(clap::Args)]
pub(crate) struct ClaimArgs {
    /// The token in hexadecimal.
    token: String,
    /// Listen there afterwards and stay.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

/// Presents a claim on a socket of its own and says what came of it.
pub(crate) fn claim(args: &ClaimArgs) -> Result<String> {
    let token = hexadecimal(&args.token)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if let Some(address) = args.listen {
        socket.bind(&address.into())?;
    }
    let outcome = errors::outcome(&options::claim(&socket, &token));
    if args.listen.is_some() {
        socket.listen(1)?;
        say_ready()?;
        until_told();
    }
    Ok(outcome)
}

/// weir's counters, or the error's name.
pub(crate) fn counters() -> Result<std::result::Result<Vec<u64>, String>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    Ok(options::counters(&socket).map_err(|error| errors::name(&error)))
}

fn hexadecimal(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len().is_multiple_of(2), "{text} is not hexadecimal");
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
