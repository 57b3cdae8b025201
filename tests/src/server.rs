//! Servers of a test's own, in a namespace: for what the emulator does not speak.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use nix::sys::socket::{self, Shutdown as Half};

use crate::namespace::Namespace;

/// A TCP server with a thread for each connection. It stops accepting when it
/// is dropped.
#[derive(Debug)]
pub struct Server {
    listener: Arc<TcpListener>,
    accepted: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address` in the namespace and calls `serve` with each
    /// connection. What it returns is the test's own business: a client that
    /// leaves is not an error here.
    ///
    /// # Errors
    /// The address is not to be had.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
    ) -> Result<Self> {
        let listener = namespace
            .inside(|| TcpListener::bind(address))?
            .with_context(|| format!("cannot listen on {address}"))?;
        let listener = Arc::new(listener);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (accepting, count) = (Arc::clone(&listener), Arc::clone(&accepted));
        let thread = thread::spawn(move || {
            while let Ok((stream, _peer)) = accepting.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self {
            listener,
            accepted,
            thread: Some(thread),
        })
    }

    /// How many connections it has had.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends the accept that is under way.
        let _not_listening = socket::shutdown(self.listener.as_raw_fd(), Half::Both);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Sends back every byte, then the end.
///
/// # Errors
/// The client is gone.
pub fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reading = stream.try_clone()?;
    std::io::copy(&mut reading, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}
