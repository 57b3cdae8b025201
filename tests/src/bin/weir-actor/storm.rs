//! Very many short connections from many threads, each to a destination of its
//! own, each answer checked: what mixes up two connections shows here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use weir_tests::pod::addresses::{POD4, POD6, mapped, world4, world6};
use weir_tests::pod::ask;
use weir_tests::pod::said::{Attempt, NOWHERE, Storm, now_us};

use crate::{errors, options, say_ready, until_told};

/// Reached only by what hangs, which is an error of the test.
const PATIENCE: Duration = Duration::from_secs(10);
/// Examples of wrong answers that are shown.
const EXAMPLES_MAX: usize = 5;
/// Attempts that a timeline holds at most.
const TIMELINE_MAX: usize = 200_000;

#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// Connections in all; 0 means until told.
    #[arg(long, default_value_t = 0)]
    count: u64,
    #[arg(long, default_value_t = 8)]
    threads: u64,
    /// Destination ports.
    #[arg(long, value_delimiter = ',', default_value = "443,80")]
    ports: Vec<u16>,
    /// Percentage of connections that are begun and given up at once.
    #[arg(long, default_value_t = 0)]
    aborts: u64,
    /// Percentage of connections that are bound to the pod's address first.
    #[arg(long, default_value_t = 0)]
    binds: u64,
    /// Microseconds between two connections of a thread.
    #[arg(long, default_value_t = 0)]
    pause_us: u64,
    /// Close after the answer, instead of waiting until the other side does.
    #[arg(long)]
    leave: bool,
    /// Keep every attempt with its time.
    #[arg(long)]
    timeline: bool,
}

/// Storms, and says what came of it.
pub(crate) fn run(args: Args) -> Result<Storm> {
    let args = Arc::new(args);
    let told = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..args.threads)
        .map(|seed| {
            let (args, told, next) = (Arc::clone(&args), Arc::clone(&told), Arc::clone(&next));
            thread::spawn(move || client(&args, seed, &next, &told))
        })
        .collect();
    if args.count == 0 {
        say_ready()?;
        until_told();
        told.store(true, Ordering::Relaxed);
    }
    let mut storm = Storm::default();
    let mut source_ports = BTreeSet::new();
    for thread in threads {
        let (part, ports) = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        source_ports.extend(ports);
        storm.wrong += part.wrong;
        storm.lost += part.lost;
        storm.examples.extend(part.examples);
        storm.aborted += part.aborted;
        storm.slowest_us = storm.slowest_us.max(part.slowest_us);
        storm.timeline.extend(part.timeline);
        add(&mut storm.answered, part.answered);
        add(&mut storm.errors, part.errors);
    }
    storm.examples.truncate(EXAMPLES_MAX);
    storm.source_ports = u64::try_from(source_ports.len()).context("ports have 16 bits")?;
    Ok(storm)
}

fn add(to: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

fn client(args: &Args, seed: u64, next: &AtomicU64, told: &AtomicBool) -> (Storm, BTreeSet<u16>) {
    let mut storm = Storm::default();
    let mut ports = BTreeSet::new();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    while !told.load(Ordering::Relaxed) {
        if args.count > 0 && next.fetch_add(1, Ordering::Relaxed) >= args.count {
            break;
        }
        let to = random.destination(args);
        let bind = random.below(100) < args.binds;
        if random.below(100) < args.aborts {
            let begun = begin(to, bind, true);
            storm.aborted += 1;
            drop(begun);
            continue;
        }
        let started_us = now_us();
        let connected = begin(to, bind, false);
        let connect_us = now_us() - started_us;
        storm.slowest_us = storm.slowest_us.max(connect_us);
        let outcome = match finish(connected, args.leave, &mut ports) {
            Err(failure) => {
                *storm.errors.entry(failure.clone()).or_default() += 1;
                failure
            }
            Ok(answer) => {
                let asked = canonical(to).to_string();
                match answer.split_once(' ') {
                    Some((who, destination)) if destination == asked => {
                        *storm.answered.entry(who.to_owned()).or_default() += 1;
                        who.to_owned()
                    }
                    Some((_, NOWHERE)) => {
                        storm.lost += 1;
                        answer
                    }
                    _ => {
                        storm.wrong += 1;
                        if storm.examples.len() < EXAMPLES_MAX {
                            storm.examples.push((asked, answer.clone()));
                        }
                        format!("wrong: {answer}")
                    }
                }
            }
        };
        if args.timeline && storm.timeline.len() < TIMELINE_MAX {
            storm.timeline.push(Attempt {
                started_us,
                connect_us,
                ended_us: now_us(),
                outcome,
            });
        }
        if args.pause_us > 0 {
            thread::sleep(Duration::from_micros(args.pause_us));
        }
    }
    (storm, ports)
}

/// Connects, or begins to.
fn begin(to: SocketAddr, bind: bool, nonblocking: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if bind {
        // The port is chosen at connect, where it can be shared between
        // destinations.
        options::set_int(&socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        let own = match to.ip() {
            IpAddr::V4(_) => POD4,
            IpAddr::V6(to) if to.to_ipv4_mapped().is_some() => mapped(POD4),
            IpAddr::V6(_) => POD6,
        };
        socket.bind(&SocketAddr::new(own, 0).into())?;
    }
    if nonblocking {
        socket.set_nonblocking(true)?;
        socket.set_linger(Some(Duration::ZERO))?;
    }
    socket.connect(&to.into())?;
    Ok(socket)
}

/// Asks over a connection. The side that closes first keeps its port for a minute,
/// so that the source port is free again at once for who waits for the end.
fn finish(
    connected: io::Result<Socket>,
    leave: bool,
    ports: &mut BTreeSet<u16>,
) -> Result<String, String> {
    let at = |stage: &'static str| move |error| format!("{stage} {}", errors::name(&error));
    let stream: TcpStream = connected.map_err(at("connect"))?.into();
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(at("option"))?;
    ports.insert(stream.local_addr().map_err(at("name"))?.port());
    let answer = ask(&stream).map_err(at("read"))?;
    if leave {
        return Ok(answer);
    }
    match (&stream).read(&mut [0]) {
        Ok(0) => Ok(answer),
        Ok(_) => Ok(format!("{answer} and more")),
        Err(error) => Err(at("end")(error)),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `SplitMix64`: the same storm each time, as far as threads allow.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_ne_bytes()[0]
    }

    fn destination(&mut self, args: &Args) -> SocketAddr {
        let host = self.byte();
        let four = world4(host.clamp(1, 254));
        let six = world6(u16::from_ne_bytes([host, self.byte()]).max(1));
        let ip = match self.below(5) {
            0 | 1 => four,
            2 | 3 => six,
            _ => mapped(four),
        };
        let last = u64::try_from(args.ports.len()).unwrap_or(1);
        let which = usize::try_from(self.below(last)).unwrap_or(0);
        SocketAddr::new(ip, args.ports.get(which).copied().unwrap_or(443))
    }
}
