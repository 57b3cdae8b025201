//! What a program writes, read while it runs, with a limit on patience.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything a test waits for may take. Reached only by failing tests,
/// so it is long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A stream that is read by a thread of its own, so that waiting for a part of
/// it can end.
#[derive(Debug)]
pub struct Output {
    chunks: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    matched: usize,
}

impl Output {
    /// Begins to read.
    pub fn of(mut stream: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            // A terminal whose last user is gone fails instead of ending.
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                let Some(read) = chunk.get(..count) else {
                    return;
                };
                if sender.send(read.to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            chunks,
            seen: Vec::new(),
            matched: 0,
        }
    }

    /// Waits until `text` has been written, after what was waited for before.
    ///
    /// # Errors
    /// The stream ended first, or it took too long.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        self.wait_within(PATIENCE, text)
    }

    fn wait_within(&mut self, patience: Duration, text: &str) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let fresh = self.seen.get(self.matched..).unwrap_or_default();
            let found = fresh
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                self.matched += at + text.len();
                return Ok(());
            }
            match self.chunks.recv_timeout(deadline - Instant::now()) {
                Ok(chunk) => self.seen.extend(chunk),
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{text:?} was not written within {patience:?}, only {:?}",
                    self.text()
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{text:?} was never written, only {:?}", self.text())
                }
            }
        }
    }

    /// Waits for the rest of a line, after what was waited for before.
    ///
    /// # Errors
    /// The stream ended first, or it took too long.
    pub fn line(&mut self) -> Result<String> {
        self.line_within(PATIENCE)
    }

    /// The same with another limit on patience.
    ///
    /// # Errors
    /// The stream ended first, or it took too long.
    pub fn line_within(&mut self, patience: Duration) -> Result<String> {
        let from = self.matched;
        self.wait_within(patience, "\n")?;
        let line = self.seen.get(from..self.matched).unwrap_or_default();
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits for the end and gives everything, what was waited for included.
    ///
    /// # Errors
    /// It took too long.
    pub fn everything(&mut self) -> Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.chunks.recv_timeout(deadline - Instant::now()) {
                Ok(chunk) => self.seen.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => return Ok(self.seen.clone()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "the stream did not end within {PATIENCE:?}: {:?}",
                        self.text()
                    )
                }
            }
        }
    }

    /// Everything that has been written so far.
    #[must_use]
    pub fn so_far(&mut self) -> String {
        while let Ok(chunk) = self.chunks.try_recv() {
            self.seen.extend(chunk);
        }
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

/// Waits until `condition` holds, looking again and again: for state of the
/// kernel that cannot be waited on.
///
/// # Errors
/// It took too long; says what did not become true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            bail!("not within {PATIENCE:?}: {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
