//! Captured payloads: what was said in exchanges that a rule chose.
//!
//! Off unless somebody wrote a rule. Header fields are never captured: keys and
//! cookies are there. Bodies are kept up to a bound while they pass, and worked
//! on by a thread of its own: decoded and put together (`body`), redacted
//! (`redact`), and only then written. What does not fit is left out and
//! counted; nothing here can delay an exchange.

mod body;
pub(super) mod invariant;
mod redact;

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use self::body::{Shown, shown};
use crate::{
    bounds::Bound,
    config::{CaptureRule, PayloadConfig},
    meter::{
        payload::{Payload, PayloadSink, Room},
        record::Record,
        timestamp::Timestamp,
        trace::{SpanId, TraceId},
    },
};

/// Bytes of all bodies that are kept at one time, of exchanges under way and of
/// those that wait to be written.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest file. Past it nothing is written: a capture that nobody looks after
/// must not fill the disk.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Where payloads go.
#[derive(Debug)]
pub enum Destination {
    /// Lines of JSON in a file.
    File(File),
    /// Log records for a collector.
    Otlp(mpsc::Sender<LogRecord>),
}

/// Captures payloads. Dropped without [`finish`](Self::finish), it leaves what is
/// waiting to the end of the process.
#[derive(Debug)]
pub struct Capture {
    rules: Vec<CaptureRule>,
    body_bytes_max: usize,
    room: Arc<Semaphore>,
    /// None once it was finished.
    waiting: Mutex<Option<SyncSender<Box<Item>>>>,
    finished: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Item {
    payload: HeldPayload,
    record: Record,
}

/// So that nothing can be seen of it.
struct HeldPayload(Payload);

impl std::fmt::Debug for HeldPayload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Payload")
    }
}

impl Capture {
    /// Begins to capture.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(config: &PayloadConfig, to: Destination) -> io::Result<Self> {
        let body_bytes_max = config.body_bytes_max.get();
        let exchanges = HELD_BYTES_MAX / body_bytes_max.saturating_mul(2).max(1);
        let exchanges = exchanges.clamp(1, Semaphore::MAX_PERMITS);
        // Whatever holds room has a place in the queue as well.
        let (waiting, items) = sync_channel(exchanges);
        let (finish, finished) = sync_channel(0);
        thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || {
                write(&items, to);
                drop(finish);
            })?;
        Ok(Self {
            rules: config.rules.clone(),
            body_bytes_max,
            room: Arc::new(Semaphore::new(exchanges)),
            waiting: Mutex::new(Some(waiting)),
            finished: Mutex::new(finished),
        })
    }

    /// The first rule that this may be an exchange of, as far as is known.
    fn rule(&self, host: Option<&str>, operation: &str) -> impl Iterator<Item = &CaptureRule> {
        self.rules
            .iter()
            .filter(move |rule| rule.host.matches(host) && rule.operation.matches(Some(operation)))
    }

    /// Waits until everything is written, though not for ever.
    pub fn finish(&self, wait: Duration) {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(waiting);
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("captured payloads were not written to the end");
        }
    }
}

impl PayloadSink for Capture {
    fn room(&self, host: Option<&str>, operation: &str, random: u64) -> Option<Room> {
        // The model is in the body, which is yet to come: any rule may decide.
        let may = self
            .rule(host, operation)
            .any(|rule| rule.sample.takes(random));
        if !may {
            return None;
        }
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(held) => Some(Room {
                body_bytes_max: self.body_bytes_max,
                held: Box::new(held),
            }),
            Err(_full) => {
                Bound::Capture.hit();
                None
            }
        }
    }

    fn take(&self, payload: Payload, record: &Record) {
        let (Some(operation), Some(trace)) = (record.operation.as_deref(), &record.trace) else {
            return;
        };
        let random = u64::from_be_bytes(*trace.span_id.bytes());
        let model = record.request_model.as_deref();
        let taken = self
            .rule(record.host.as_deref(), operation)
            .find(|rule| rule.model.matches(model))
            .is_some_and(|rule| rule.sample.takes(random));
        if !taken {
            return;
        }
        let item = Box::new(Item {
            payload: HeldPayload(payload),
            record: record.clone(),
        });
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = waiting.as_ref().map(|waiting| waiting.try_send(item));
        if !matches!(sent, Some(Ok(()))) {
            Bound::Capture.hit();
        }
    }
}

/// One exchange as it is written.
#[derive(Debug, Serialize)]
struct Line<'a> {
    ts: Timestamp,
    exchange_id: &'a str,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    host: Option<&'a str>,
    operation: Option<&'a str>,
    request_model: Option<&'a str>,
    status: Option<u16>,
    request: Shown,
    response: Shown,
}

fn write(items: &Receiver<Box<Item>>, mut to: Destination) {
    let mut written = match &to {
        Destination::File(file) => file.metadata().map_or(0, |file| file.len()),
        Destination::Otlp(_) => 0,
    };
    while let Ok(item) = items.recv() {
        let Item { payload, record } = *item;
        let HeldPayload(payload) = payload;
        let line = Line {
            ts: record.ts,
            exchange_id: &record.id,
            trace_id: record.trace.as_ref().map(|trace| trace.trace_id),
            span_id: record.trace.as_ref().map(|trace| trace.span_id),
            host: record.host.as_deref(),
            operation: record.operation.as_deref(),
            request_model: record.request_model.as_deref(),
            status: record.status,
            request: shown(&payload.request),
            response: shown(&payload.response),
        };
        let Ok(mut text) = serde_json::to_string(&line) else {
            Bound::Capture.hit();
            continue;
        };
        drop(payload);
        match &mut to {
            Destination::File(file) => {
                text.push('\n');
                written = written.saturating_add(text.len() as u64);
                if written > FILE_BYTES_MAX {
                    Bound::Capture.hit();
                } else if let Err(error) = file.write_all(text.as_bytes()) {
                    Bound::Capture.hit();
                    tracing::error!(%error, "cannot write captured payloads");
                }
            }
            Destination::Otlp(waiting) => {
                if waiting
                    .try_send(super::otlp::payload(&record, text))
                    .is_err()
                {
                    Bound::Capture.hit();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{record::tests::golden, trace::Trace};

    fn config(yaml: &str) -> PayloadConfig {
        let yaml = format!("telemetry:\n  capture:\n{yaml}");
        crate::config::Config::parse(&yaml)
            .expect("a good configuration")
            .telemetry
            .capture
    }

    /// What is written of exchanges with these models.
    fn captured(yaml: &str, models: &[&str]) -> Vec<serde_json::Value> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let to = Destination::File(file.reopen().expect("the same file"));
        let capture = Capture::start(&config(yaml), to).expect("a thread");
        for model in models {
            let record = Record {
                request_model: Some((*model).to_owned()),
                trace: Some(Trace::continuing(None, || 7)),
                ..golden()
            };
            let host = record.host.as_deref();
            let Some(room) = capture.room(host, "chat", 7) else {
                continue;
            };
            let mut payload = Payload::new(room);
            payload
                .request
                .keep(br#"{"prompt":"I am jane@example.com"}"#);
            capture.take(payload, &record);
        }
        capture.finish(Duration::from_secs(30));
        let text = std::fs::read_to_string(file.path()).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = "    rules:\n      - {model: 'gpt-4*', sample: 0}\n      - {host: '*.openai.com', sample: 1}\n";
        let lines = captured(rules, &["gpt-4o", "o3"]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["request_model"], "o3");
        assert_eq!(
            lines[0]["request"]["body"]["prompt"],
            "I am [redacted:email]"
        );
        assert_eq!(lines[0]["response"]["omitted"], "empty");
        for rules in [
            "    rules: []\n",
            "    rules:\n      - {host: other.example, sample: 1}\n",
            "    rules:\n      - {operation: embeddings, sample: 1}\n",
            "    rules:\n      - {sample: 0.0}\n",
        ] {
            assert!(captured(rules, &["gpt-4o"]).is_empty(), "{rules}");
        }
    }

    #[test]
    fn room_is_bounded_counted_and_given_back() {
        let file = tempfile::tempfile().expect("a file");
        let config = config("    rules:\n      - {sample: 1}\n    body_bytes_max: 1048576\n");
        let capture = Capture::start(&config, Destination::File(file)).expect("a thread");
        let before = Bound::Capture.hits();
        let mut held: Vec<_> = (0..100)
            .map_while(|_| capture.room(None, "chat", 1))
            .collect();
        assert_eq!(held.len(), 32);
        assert!(Bound::Capture.hits() > before);
        held.pop();
        assert!(capture.room(None, "chat", 1).is_some());
    }
}
