//! What happens while the demo runs, in one queue: lines that its programs print, and signals.
//!
//! Ctrl-C must not end the demo before it has ended what it started, so signals are events too.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

/// Whose output a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The emulator's standard output.
    Provider,
    /// The clients' standard output.
    Clients,
    /// Standard error of weir and of the clients.
    Weir,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A line was printed.
    Line(Source, String),
    /// An output was closed: nothing more comes from it.
    Closed(Source),
    /// A signal of that name arrived, which ends the demo.
    Signal(&'static str),
}

/// The queue.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// Makes the queue and takes the signals that end the demo. By handlers and not by blocking
    /// them: children would inherit that.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn listen() -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).context("cannot take signals")?;
        let to_queue = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let name = signal_name(signal).unwrap_or("a signal");
                if to_queue.send(Event::Signal(name)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { sender, receiver })
    }

    /// Puts the lines of `output` into the queue as they come.
    pub(crate) fn follow(&self, source: Source, output: impl Read + Send + 'static) {
        let to_queue = self.sender.clone();
        thread::spawn(move || {
            // Output that cannot be read any more is output that is closed.
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if to_queue.send(Event::Line(source, line)).is_err() {
                    return;
                }
            }
            // Nobody waits for it any more: the demo is ending.
            to_queue.send(Event::Closed(source)).unwrap_or_default();
        });
    }

    /// The next event.
    ///
    /// # Errors
    /// When none comes until `deadline`; `awaited` says what was waited for.
    pub(crate) fn next(&mut self, deadline: Instant, awaited: &str) -> Result<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.receiver.recv_timeout(left) {
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => bail!("{awaited} did not come in time"),
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the queue holds a sender of its own")
            }
        }
    }
}
