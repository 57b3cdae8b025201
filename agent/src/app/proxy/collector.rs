//! Where records end up: the metrics, the report, the terminal while it runs, and
//! the exports that are configured.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use super::exports::Exports;
use crate::{
    bounds::Bound,
    cli::ReportFormat,
    export::prometheus::Metrics,
    meter::{
        record::{Record, RecordSink},
        report::{Report, live_line},
    },
};

/// Lines waiting for a terminal that does not take them. Beyond it lines are
/// left out: the stream they tell of must not wait for the terminal.
const LIVE_LINES_MAX: usize = 1024;
/// Used where the terminal does not say how wide it is.
const WIDTH_DEFAULT: usize = 120;

/// What is shown to whoever started the proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// A line for each record when it is made.
    pub(super) live: bool,
    /// All of them at the end.
    pub(super) report: bool,
}

/// Takes every record, once.
pub(super) struct Collector {
    metrics: Arc<Metrics>,
    /// None where nobody will read it: records would be kept for nothing.
    report: Option<Mutex<Report>>,
    live: Option<SyncSender<String>>,
    /// None once they were finished.
    exports: RwLock<Option<Exports>>,
}

impl Collector {
    pub(super) fn start(metrics: Arc<Metrics>, shown: Shown, exports: Exports) -> Arc<Self> {
        let live = shown.live.then(|| {
            let (sender, receiver) = sync_channel(LIVE_LINES_MAX);
            thread::spawn(move || show(&receiver));
            sender
        });
        Arc::new(Self {
            metrics,
            report: shown.report.then(Mutex::default),
            live,
            exports: RwLock::new(Some(exports)),
        })
    }

    /// What the kernel counted, for the end of the report.
    pub(super) fn set_flows(&self, flows: Vec<(String, u64)>) {
        if let Some(mut report) = self.lock() {
            report.set_flows(flows);
        }
    }

    /// Writes the report to `to`, or to standard error.
    pub(super) fn report(&self, format: ReportFormat, to: Option<OwnedFd>) -> io::Result<()> {
        let Some(report) = self.lock() else {
            return Ok(());
        };
        let text = match format {
            ReportFormat::None => return Ok(()),
            ReportFormat::Json => report.to_json() + "\n",
            ReportFormat::Table => {
                let width = if to.is_some() {
                    WIDTH_DEFAULT
                } else {
                    terminal_width()
                };
                report.to_table(width)
            }
        };
        match to {
            Some(file) => File::from(file).write_all(text.as_bytes()),
            None => io::stderr().write_all(text.as_bytes()),
        }
    }

    /// Lets the exports leave; later records are only counted and reported.
    pub(super) fn finish_exports(&self) {
        let exports = self
            .exports
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(exports) = exports {
            exports.finish();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Report>> {
        let report = self.report.as_ref()?;
        Some(report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RecordSink for Collector {
    fn record(&self, record: Record) {
        self.metrics.observe(&record);
        if let Some(live) = &self.live
            && live.try_send(live_line(&record)).is_err()
        {
            Bound::LiveLines.hit();
        }
        let exports = self.exports.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(exports) = &*exports {
            exports.offer(&record);
        }
        drop(exports);
        if let Some(mut report) = self.lock() {
            report.add(record);
        }
    }
}

fn show(lines: &Receiver<String>) {
    while let Ok(line) = lines.recv() {
        // Standard error may be closed; then nobody is looking.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0)
        .unwrap_or(WIDTH_DEFAULT)
}
