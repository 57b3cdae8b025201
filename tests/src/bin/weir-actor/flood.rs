//! Connections that are begun and never finished: what an application does to a
//! server that answers nobody.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use socket2::{Domain, SockFilter, Socket, Type};

use crate::{errors, say_ready, until_told};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many to begin.
    #[arg(long)]
    count: usize,
    /// Do not hear the answer to the first packet, so that it stays the last one.
    #[arg(long)]
    deaf: bool,
    /// Where to, in turn.
    #[arg(required = true)]
    to: Vec<SocketAddr>,
}

/// Holds them until told; gives how many were begun.
pub(crate) fn run(args: &Args) -> Result<usize> {
    let mut begun = Vec::with_capacity(args.count);
    for to in args.to.iter().cycle().take(args.count) {
        let socket = begin(*to, args.deaf).map_err(|error| {
            anyhow::anyhow!("{to}, after {}: {}", begun.len(), errors::name(&error))
        })?;
        begun.push(socket);
    }
    say_ready().context("nobody listens")?;
    until_told();
    Ok(begun.len())
}

fn begin(to: SocketAddr, deaf: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if deaf {
        // BPF_RET | BPF_K of linux/filter.h: of every packet, keep nothing.
        socket.attach_filter(&[SockFilter::new(6, 0, 0, 0)])?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
        Ok(()) => Ok(socket),
    }
}
