//! The exchange log: each record as one line of JSON.
//!
//! A record holds no text of a prompt or a completion, no key and no cookie, and
//! neither does its line. Lines are written by a thread of their own: a disk or a
//! reader that does not keep up costs lines, which are counted, and never delays
//! an exchange.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{bounds::Bound, meter::record::Record};

/// Records waiting to be written: a second of a busy machine. Beyond it they are
/// left out.
const WAITING_MAX: usize = 4096;

/// Opens a file of lines to append to. Only its owner may read it.
///
/// # Errors
/// It cannot be opened for writing.
pub fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Writes lines as they come. Dropped without [`finish`](Self::finish), it
/// leaves what is waiting to the end of the process.
#[derive(Debug)]
pub struct JsonLines {
    waiting: SyncSender<Arc<Record>>,
    /// Disconnected once everything is written. Behind a lock only because it is
    /// shared.
    finished: Mutex<Receiver<()>>,
}

impl JsonLines {
    /// Begins to write to `out`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (waiting, records) = sync_channel(WAITING_MAX);
        let (finish, finished) = sync_channel(0);
        thread::Builder::new()
            .name("exchange-log".to_owned())
            .spawn(move || {
                write(&records, BufWriter::new(out));
                drop(finish);
            })?;
        Ok(Self {
            waiting,
            finished: Mutex::new(finished),
        })
    }

    /// Takes the record of an exchange that has ended.
    pub fn offer(&self, record: &Arc<Record>) {
        if self.waiting.try_send(Arc::clone(record)).is_err() {
            Bound::ExchangeLog.hit();
        }
    }

    /// Waits until everything is written, though not for ever: whoever reads the
    /// lines may have stopped.
    pub fn finish(self, wait: Duration) {
        drop(self.waiting);
        let finished = self.finished.into_inner();
        let finished = finished.unwrap_or_else(PoisonError::into_inner);
        if finished.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the exchange log was not written to its end");
        }
    }
}

/// Writes until the last sender is gone; flushes whenever nothing is waiting, so
/// that a line can be read as soon as its exchange has ended.
fn write(records: &Receiver<Arc<Record>>, mut out: impl Write) {
    while let Ok(first) = records.recv() {
        let mut next = Some(first);
        let mut written = Ok(());
        while let Some(record) = next {
            written = written.and_then(|()| line(&mut out, &record));
            next = records.try_recv().ok();
        }
        if let Err(error) = written.and_then(|()| out.flush()) {
            Bound::ExchangeLog.hit();
            tracing::error!(%error, "cannot write the exchange log");
        }
    }
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    out.write_all(&line)
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;
    use crate::meter::record::tests::golden;

    /// A file that can be closed to writers.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Written>, Condvar)>);

    #[derive(Default)]
    struct Written {
        is_open: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn set_open(&self, open: bool) {
            self.0
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_open = open;
            self.0.1.notify_all();
        }

        fn lines(&self) -> Vec<String> {
            let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let text = String::from_utf8(state.bytes.clone()).expect("lines are text");
            text.lines().map(str::to_owned).collect()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = self
                .0
                .1
                .wait_while(state, |state| !state.is_open)
                .unwrap_or_else(PoisonError::into_inner);
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_a_record_and_a_reader_that_stalls_costs_lines_that_are_counted() {
        let gate = Gate::default();
        let log = JsonLines::start(Box::new(gate.clone())).expect("a thread");
        let record = Arc::new(golden());
        let before = Bound::ExchangeLog.hits();
        // One may be on its way already, and a buffer's worth written.
        let offered = WAITING_MAX * 2;
        for _ in 0..offered {
            log.offer(&record);
        }
        let dropped = usize::try_from(Bound::ExchangeLog.hits() - before).expect("a few");
        assert!(dropped > 0, "the queue has a bound");
        gate.set_open(true);
        log.finish(Duration::from_secs(30));
        let lines = gate.lines();
        assert_eq!(lines.len() + dropped, offered, "written or counted");
        let read: Record = serde_json::from_str(&lines[0]).expect("a record");
        assert_eq!(read, golden());
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_never_reads() {
        let gate = Gate::default();
        let log = JsonLines::start(Box::new(gate.clone())).expect("a thread");
        log.offer(&Arc::new(golden()));
        log.finish(Duration::from_millis(1));
        assert_eq!(gate.lines().len(), 0);
        gate.set_open(true);
    }
}
