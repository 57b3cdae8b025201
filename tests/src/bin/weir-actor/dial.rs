//! One connection, or datagram, to each address in turn, and what came of it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir_tests::pod::ask;
use weir_tests::pod::said::{Dialled, now_us};

use crate::errors;

/// Reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to.
    #[arg(required = true)]
    to: Vec<SocketAddr>,
    /// Datagrams of unconnected sockets instead of connections.
    #[arg(long)]
    udp: bool,
    /// Bind to loopback, the device by which the world answers.
    #[arg(long)]
    bind_loopback: bool,
    /// Keep each connection open until all are made.
    #[arg(long)]
    together: bool,
    /// Connect without asking for an answer.
    #[arg(long)]
    silent: bool,
    /// Ask as an HTTP client of this host would.
    #[arg(long)]
    http: Option<String>,
}

/// Dials each.
pub(crate) fn run(args: &Args) -> Vec<Dialled> {
    let mut open = Vec::new();
    let mut dialled = Vec::new();
    for to in &args.to {
        let started = now_us();
        let connected = start(args, *to);
        let connect_us = now_us() - started;
        let outcome = match connected {
            Err(error) => format!("connect {}", errors::name(&error)),
            Ok(socket) if args.udp => answer(&socket),
            Ok(socket) if args.silent => {
                open.push(socket);
                "0".to_owned()
            }
            Ok(socket) => {
                let outcome = match socket.try_clone() {
                    Ok(same) => question(args, same.into())
                        .unwrap_or_else(|error| format!("read {}", errors::name(&error))),
                    Err(error) => format!("clone {}", errors::name(&error)),
                };
                if args.together {
                    open.push(socket);
                }
                outcome
            }
        };
        dialled.push(Dialled {
            outcome,
            connect_us,
        });
    }
    dialled
}

fn question(args: &Args, mut stream: TcpStream) -> io::Result<String> {
    let Some(host) = &args.http else {
        return ask(stream);
    };
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn start(args: &Args, to: SocketAddr) -> io::Result<Socket> {
    let kind = if args.udp { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    if args.bind_loopback {
        socket.bind_device(Some(b"lo"))?;
        // Answers to the pod's address would come by the pod's device.
        socket.bind(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into())?;
    }
    if args.udp {
        socket.send_to(b"?\n", &to.into())?;
    } else {
        socket.connect(&to.into())?;
    }
    Ok(socket)
}

fn answer(socket: &Socket) -> String {
    let mut bytes = [0; 128];
    match (&mut &*socket).read(&mut bytes) {
        Ok(length) => String::from_utf8_lossy(bytes.get(..length).unwrap_or_default())
            .trim_end()
            .to_owned(),
        Err(error) => format!("read {}", errors::name(&error)),
    }
}
