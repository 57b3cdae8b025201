//! The log that the programs themselves write, for whoever works on them.
//!
//! They write only what the level allows with which they were loaded, to a ring
//! that anybody with the right to look at programs can read; when nobody does it
//! fills up, and later records are left out.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};

use super::{CaptureError, inspect::Set};

/// Takes one record: its level, and what it says.
pub type Sink = Box<dyn Fn(Level, String) + Send + Sync>;

/// The log of one set of programs.
pub struct KernelLogReader {
    logger: EbpfLogger<Printer>,
    program: u32,
}

impl KernelLogReader {
    /// Begins to read, from the oldest record that nobody has read.
    ///
    /// # Errors
    ///
    /// The programs are gone, or may not be looked at.
    pub fn open(set: &Set, sink: Sink) -> Result<Self, CaptureError> {
        // Not each of the programs logs; those that do share one ring.
        let sink = Arc::new(sink);
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        // The newest first: those they replaced may not be unloaded yet.
        for program in set.programs.iter().rev() {
            match EbpfLogger::init_from_id_with_logger(program.id, Printer(Arc::clone(&sink))) {
                Ok(logger) => {
                    return Ok(Self {
                        logger,
                        program: program.id,
                    });
                }
                Err(error) => failure = io::Error::other(error),
            }
        }
        Err(CaptureError::Inspect(failure))
    }

    /// Whether the programs whose log it is are among these.
    #[must_use]
    pub fn is_of(&self, set: &Set) -> bool {
        set.programs.iter().any(|one| one.id == self.program)
    }

    /// Hands on what there is.
    pub fn read(&mut self) {
        self.logger.flush();
    }
}

/// Readable while there are records.
impl AsFd for KernelLogReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.logger.as_fd()
    }
}

struct Printer(Arc<Sink>);

impl Log for Printer {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.0)(record.level(), record.args().to_string());
    }

    fn flush(&self) {}
}
