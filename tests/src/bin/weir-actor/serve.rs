//! Servers at the destinations: each answers with the address it was reached by.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use weir_tests::pod::read_line;
use weir_tests::pod::said::BY_SERVER;

use crate::{say_ready, until_told};

/// Stacks of threads that serve a connection each.
const STACK: usize = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to serve TCP.
    tcp: Vec<SocketAddr>,
    /// Where to serve UDP.
    #[arg(long)]
    udp: Vec<SocketAddr>,
    /// Close each connection after the answer, instead of waiting for the client.
    #[arg(long)]
    close: bool,
    /// Send back what the client says after the answer.
    #[arg(long, conflicts_with = "close")]
    echo: bool,
}

/// What becomes of a connection after the answer.
#[derive(Clone, Copy)]
enum After {
    Close,
    Echo,
    Wait,
}

/// Serves until told; gives the number of connections and datagrams.
pub(crate) fn run(args: &Args) -> Result<u64> {
    let served = Arc::new(AtomicU64::new(0));
    for address in &args.tcp {
        let socket = bound(*address, Type::STREAM)?;
        socket.listen(BACKLOG)?;
        let (listener, served) = (TcpListener::from(socket), Arc::clone(&served));
        let after = match (args.close, args.echo) {
            (true, _) => After::Close,
            (_, true) => After::Echo,
            _ => After::Wait,
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                served.fetch_add(1, Ordering::Relaxed);
                let started = thread::Builder::new()
                    .stack_size(STACK)
                    .spawn(move || answer(stream, after));
                drop(started);
            }
        });
    }
    for address in &args.udp {
        let socket = UdpSocket::from(bound(*address, Type::DGRAM)?);
        let (served, answer) = (Arc::clone(&served), format!("{BY_SERVER} {address}\n"));
        thread::spawn(move || {
            let mut question = [0; 64];
            while let Ok((_length, from)) = socket.recv_from(&mut question) {
                served.fetch_add(1, Ordering::Relaxed);
                let _left = socket.send_to(answer.as_bytes(), from);
            }
        });
    }
    say_ready()?;
    until_told();
    Ok(served.load(Ordering::Relaxed))
}

/// A socket with an address of the world: none of an interface.
fn bound(address: SocketAddr, kind: Type) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket
        .bind(&address.into())
        .with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}

/// Answers, then stays for as long as the client does.
fn answer(mut stream: TcpStream, after: After) -> Result<()> {
    stream.set_nodelay(true)?;
    read_line(&stream)?;
    let address = stream.local_addr()?;
    stream.write_all(format!("{BY_SERVER} {address}\n").as_bytes())?;
    match after {
        After::Close => {}
        After::Echo => {
            std::io::copy(&mut stream.try_clone()?, &mut stream)?;
        }
        After::Wait => {
            stream.read_to_end(&mut Vec::new())?;
        }
    }
    Ok(())
}
