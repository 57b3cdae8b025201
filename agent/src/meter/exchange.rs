//! One value per exchange, alive as long as it, consumed into one record.
//!
//! Nothing here can stall or fail the exchange: every call returns nothing, and
//! a panic of the inspector costs the inspection only. Whoever carries the
//! exchange ends it with [`Exchange::finish`]; if that never happens, dropping
//! the value records it as aborted, so there is exactly one record either way.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::awaiting::{Awaiting, Held};
use super::pace::Pace;
use super::payload::{Payload, PayloadSink};
use super::prices::PriceTable;
use super::reason::{Decision, Reason};
use super::record::{CostProvenance, OutcomeKind, Process, Protocol, Record, RecordSink};
use super::timestamp::Timestamp;
use super::trace::{Parent, Trace};
use crate::bounds::Bound;
use crate::llm::catalogue::Provider;
use crate::llm::classify::{Api, Target};
use crate::llm::counted::{Counted, Room};
use crate::llm::headers::Headers;
use crate::llm::inspect::Inspector;
use crate::llm::observation::{Claim, Ending, Observation, Problem};
use crate::llm::rpc_session::News;

/// Longest error text kept in a record, in bytes: it is for a line of a report.
const ERROR_LEN_MAX: usize = 256;

/// Digits of an identifier, in base 16: twelve of the milliseconds, and of a number.
const ID_DIGITS: usize = 12 + 16;

/// Those of base 16.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The operation of a connection whose calls have records of their own.
const SESSION: &str = "session";

/// What every exchange needs and none owns. Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    clock: fn() -> Instant,
    prices: Arc<PriceTable>,
    ids: Arc<AtomicU64>,
    counted: Arc<Mutex<Counted>>,
    awaiting: Arc<Awaiting>,
    /// Its keys are random: what it makes of a number nobody can tell.
    bits: RandomState,
    payloads: Option<Arc<dyn PayloadSink>>,
}

impl Meter {
    /// `clock` is read when something worth timing happens, `sink` gets the records.
    #[must_use]
    pub fn new(clock: fn() -> Instant, sink: Arc<dyn RecordSink>, prices: Arc<PriceTable>) -> Self {
        // Ids count up from a random number, so that those of two processes
        // that begin in the same millisecond differ.
        let ids = Arc::new(AtomicU64::new(RandomState::new().build_hasher().finish()));
        Self {
            clock,
            prices,
            ids,
            counted: Arc::default(),
            awaiting: Arc::new(Awaiting::new(sink, clock)),
            bits: RandomState::new(),
            payloads: None,
        }
    }

    /// Hands the bodies of exchanges that it chooses to `payloads`.
    #[must_use]
    pub fn capturing(mut self, payloads: Option<Arc<dyn PayloadSink>>) -> Self {
        self.payloads = payloads;
        self
    }

    /// Room for the bodies of an exchange, if they are to be captured.
    fn payload(&self, opening: &Opening, trace: Option<&Trace>) -> Option<Payload> {
        let sink = self.payloads.as_ref()?;
        let operation = opening.target.as_ref()?.api.operation();
        let random = u64::from_be_bytes(*trace?.span_id.bytes());
        let room = sink.room(opening.host.as_deref(), operation, random)?;
        let mut payload = Payload::new(room);
        payload.request.describe(&opening.request_headers);
        Some(payload)
    }

    /// The span of an exchange whose request has these headers.
    fn trace(&self, headers: &Headers) -> Trace {
        let parent = headers
            .get("traceparent")
            .and_then(|context| Parent::parse(context, headers.get("tracestate")));
        Trace::continuing(parent, || {
            self.bits.hash_one(self.ids.fetch_add(1, Ordering::Relaxed))
        })
    }

    /// Leaves out of an observation what others have counted, or will count.
    fn settle(&self, host: Option<&str>, seen: &mut Observation) {
        if seen.claim == Claim::Sole {
            return;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.settle(host.unwrap_or_default(), seen) == Room::Made {
            Bound::CountedResponses.hit();
        }
    }

    fn id(&self, started: Timestamp) -> String {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let both = u128::from(started.unix_ms()) << 64 | u128::from(number);
        // Digit by digit: every exchange has one, and `format` takes its time.
        let mut id = String::with_capacity(ID_DIGITS);
        for at in (0..ID_DIGITS).rev() {
            let digit = (both >> (4 * at)) & 0xf;
            id.push(char::from(DIGITS[digit as usize]));
        }
        id
    }
}

/// What is known when an exchange begins.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The verified host name, or what is known of it.
    pub host: Option<Arc<str>>,
    /// Who bills for the host.
    pub provider: Option<Provider>,
    /// The port that is called.
    pub port: u16,
    /// The API addressed; `None` for a connection that was not read.
    pub target: Option<Target>,
    /// Of the request, those that metering reads.
    pub request_headers: Headers,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// What carries the exchange.
    pub protocol: Protocol,
    /// Who made the call.
    pub process: Option<Process>,
}

impl Opening {
    /// Whether bodies are read, if there are any.
    fn is_read(&self) -> bool {
        self.reason != Reason::BodiesNotRead
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both directions ended as they should.
    Complete,
    /// The application left first.
    ClientGone,
    /// Upstream left first; the text says how.
    UpstreamGone(String),
    /// weir refused to go on.
    Refused {
        /// Replaces the reason given at the opening.
        reason: Reason,
        /// One line for a person.
        error: String,
    },
}

/// One exchange in progress.
pub struct Exchange {
    meter: Meter,
    opening: Opening,
    started: SystemTime,
    opened_at: Instant,
    head_forwarded_at: Option<Instant>,
    first_chunk_at: Option<Instant>,
    trace: Option<Trace>,
    /// Boxed, as few exchanges have them and every task has room for them.
    pace: Option<Box<Pace>>,
    payload: Option<Box<Payload>>,
    overhead: Option<Duration>,
    /// On the heap: it is large, and the exchange moves with its task.
    inspector: Option<Box<Inspector>>,
    /// In the place of the inspector's, where others looked.
    observation: Option<Box<Observation>>,
    /// It is a connection whose calls have exchanges of their own.
    is_session: bool,
    problems: Vec<Problem>,
    status: Option<u16>,
    rules: Vec<&'static str>,
    bytes_sent: u64,
    bytes_received: u64,
    recorded: bool,
}

impl Exchange {
    /// Begins an exchange that started at `started`.
    #[must_use]
    pub fn open(mut opening: Opening, started: SystemTime, meter: &Meter) -> Self {
        let opened_at = (meter.clock)();
        if let Some(target) = &mut opening.target {
            let host = opening.host.as_deref().unwrap_or_default();
            meter.awaiting.address(host, target);
        }
        let inspector = opening
            .target
            .clone()
            .filter(|_| opening.is_read())
            .map(|target| Box::new(Inspector::new(target, &opening.request_headers)));
        let trace = opening
            .target
            .is_some()
            .then(|| meter.trace(&opening.request_headers));
        let payload = meter.payload(&opening, trace.as_ref()).map(Box::new);
        Self {
            meter: meter.clone(),
            opening,
            started,
            opened_at,
            head_forwarded_at: None,
            first_chunk_at: None,
            trace,
            pace: None,
            payload,
            overhead: None,
            inspector,
            observation: None,
            is_session: false,
            problems: Vec::new(),
            status: None,
            rules: Vec::new(),
            bytes_sent: 0,
            bytes_received: 0,
            recorded: false,
        }
    }

    /// The head of the request has left for upstream.
    pub fn request_head_forwarded(&mut self) {
        self.head_forwarded_at = Some((self.meter.clock)());
    }

    /// Bytes of the request body, as they came from the application.
    pub fn request_body(&mut self, wire_bytes: &[u8]) {
        self.bytes_sent = self.bytes_sent.saturating_add(wire_bytes.len() as u64);
        if let Some(payload) = &mut self.payload {
            payload.request.keep(wire_bytes);
        }
        self.inspect(|inspector| inspector.request_body(wire_bytes));
    }

    /// The request body has ended.
    pub fn request_end(&mut self) {
        self.inspect(Inspector::request_end);
    }

    /// weir itself answers, in upstream's place.
    pub fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// The final head of the response (no 1xx) has arrived.
    pub fn response_head(&mut self, status: u16, headers: &Headers) {
        self.status = Some(status);
        if let Some(payload) = &mut self.payload {
            payload.response.describe(headers);
        }
        self.inspect(|inspector| inspector.response_head(status, headers));
    }

    /// The trailers behind the response body.
    pub fn response_trailers(&mut self, headers: &Headers) {
        self.inspect(|inspector| inspector.response_trailers(headers));
    }

    /// Bytes of the response body, as they came from upstream.
    pub fn response_body(&mut self, wire_bytes: &[u8]) {
        self.bytes_received = self.bytes_received.saturating_add(wire_bytes.len() as u64);
        if let Some(payload) = &mut self.payload {
            payload.response.keep(wire_bytes);
        }
        self.inspect(|inspector| inspector.response_body(wire_bytes));
        self.pass_on();
        let has_begun = self.first_chunk_at.is_some()
            || self
                .inspector
                .as_deref()
                .is_none_or(Inspector::has_seen_content);
        if has_begun {
            self.heard();
        }
    }

    /// Passes on what the response has brought for other exchanges.
    fn pass_on(&mut self) {
        if !self.target().is_some_and(|target| target.api == Api::Mcp) {
            return;
        }
        let mut brought = None;
        self.inspect(|inspector| {
            let news = inspector.take_news();
            if news != News::default() {
                brought = Some((inspector.session().cloned(), news));
            }
        });
        if let Some((session, news)) = brought {
            let host = self.opening.host.as_deref().unwrap_or_default();
            self.meter.awaiting.bring(host, session.as_ref(), news);
        }
    }

    /// Bytes forwarded without being read, in each direction.
    pub fn spliced(&mut self, sent: u64, received: u64) {
        self.bytes_sent = self.bytes_sent.saturating_add(sent);
        self.bytes_received = self.bytes_received.saturating_add(received);
    }

    /// A rule of that name changed a body.
    pub fn rule_applied(&mut self, rule: &'static str) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// The trace context for upstream, if the exchange has a span.
    #[must_use]
    pub fn context(&self) -> Option<String> {
        self.trace.as_ref().map(Trace::context)
    }

    /// What was addressed, if what is said to it is read.
    pub(super) fn target(&self) -> Option<&Target> {
        let target = self.opening.target.as_ref();
        target.filter(|_| self.opening.is_read())
    }

    /// From now on its calls have exchanges of their own.
    pub(super) fn becomes_session(&mut self) {
        self.is_session = true;
        self.inspector = None;
    }

    /// Begins the exchange of a call on this connection.
    pub(super) fn call(&self, api: Api) -> Self {
        let opening = Opening {
            target: Some(api.into()),
            protocol: Protocol::WebSocket,
            ..self.opening.clone()
        };
        let mut call = Self::open(opening, SystemTime::now(), &self.meter);
        call.inspector = None;
        call.payload = None;
        call
    }

    /// Upstream said something.
    pub(super) fn heard(&mut self) {
        let now = (self.meter.clock)();
        match self.first_chunk_at {
            // Most answers are one piece, and have no pace.
            None => self.first_chunk_at = Some(now),
            Some(first) => {
                let pace = self.pace.get_or_insert_with(|| Box::new(Pace::from(first)));
                pace.arrived(now);
            }
        }
    }

    /// Takes what others have seen of it.
    pub(super) fn observed(&mut self, seen: Observation) {
        self.observation = Some(Box::new(seen));
    }

    /// Adds time that weir itself took.
    pub fn overhead(&mut self, spent: Duration) {
        self.overhead = Some(self.overhead.unwrap_or_default().saturating_add(spent));
    }

    /// Ends the exchange and hands its record to the sink.
    pub fn finish(mut self, outcome: Outcome) {
        let ended = match outcome {
            Outcome::Complete => OutcomeKind::Complete,
            Outcome::ClientGone => OutcomeKind::ClientGone,
            Outcome::UpstreamGone(_) => OutcomeKind::UpstreamGone,
            Outcome::Refused { .. } => OutcomeKind::Refused,
        };
        let (kind, error) = match outcome {
            Outcome::Complete => (OutcomeKind::Complete, None),
            // It had all it wanted.
            Outcome::ClientGone
                if self
                    .inspector
                    .as_deref()
                    .is_some_and(Inspector::has_seen_end) =>
            {
                (OutcomeKind::Complete, None)
            }
            Outcome::ClientGone => (OutcomeKind::ClientGone, Some("client disconnected".into())),
            Outcome::UpstreamGone(error) => (OutcomeKind::UpstreamGone, Some(error)),
            Outcome::Refused { reason, error } => {
                self.opening.decision = Decision::Refuse;
                self.opening.reason = reason;
                (OutcomeKind::Refused, Some(error))
            }
        };
        self.record(ended, kind, error);
    }

    /// Runs the inspector, and goes on without it should it panic.
    fn inspect(&mut self, call: impl FnOnce(&mut Inspector)) {
        let Some(inspector) = &mut self.inspector else {
            return;
        };
        // A panic leaves the inspector in no state to be asked again: it is dropped.
        if catch_unwind(AssertUnwindSafe(|| call(inspector))).is_err() {
            self.disable_inspector();
        }
    }

    fn disable_inspector(&mut self) {
        self.inspector = None;
        self.problems.push(Problem::Panicked);
    }

    fn observe(&mut self, ending: Ending) -> Observation {
        if let Some(seen) = self.observation.take() {
            return *seen;
        }
        let Some(inspector) = self.inspector.take() else {
            return Observation::default();
        };
        catch_unwind(AssertUnwindSafe(|| inspector.finish(ending))).unwrap_or_else(|_| {
            self.disable_inspector();
            Observation::default()
        })
    }

    /// Records `outcome`; `ended` is the same, but for a client that had all it
    /// wanted when it left.
    fn record(&mut self, ended: OutcomeKind, outcome: OutcomeKind, error: Option<String>) {
        self.recorded = true;
        let now = (self.meter.clock)();
        let mut seen = self.observe(match outcome {
            OutcomeKind::Complete => Ending::Complete,
            OutcomeKind::ClientGone
            | OutcomeKind::UpstreamGone
            | OutcomeKind::Refused
            | OutcomeKind::Aborted => Ending::Cut,
        });
        self.meter.settle(self.opening.host.as_deref(), &mut seen);
        self.problems.append(&mut seen.problems);
        let opening = &mut self.opening;
        let provider = opening.provider.as_ref().map(Provider::as_str);
        let cost = self.meter.prices.cost_of_seen(
            provider.unwrap_or_default(),
            opening.host.as_deref(),
            &seen,
        );
        let since_head = |at: Instant| {
            at.saturating_duration_since(self.head_forwarded_at.unwrap_or(self.opened_at))
        };
        let started = Timestamp::from(self.started);
        let mut record = Record {
            id: self.meter.id(started),
            ts: started,
            decision: opening.decision,
            reason: opening.reason,
            host: opening.host.as_deref().map(str::to_owned),
            provider: provider.map(str::to_owned),
            operation: opening
                .target
                .as_ref()
                .map(|target| Cow::Borrowed(seen.operation(target.api))),
            request_model: seen.request_model,
            response_model: seen.response_model,
            response_id: seen.response_id,
            stream: seen.stream,
            status: self.status,
            finish_reason: seen.finish_reason,
            input_tokens: seen.usage.input,
            output_tokens: seen.usage.output,
            cache_read_tokens: seen.usage.cache_read,
            cache_write_tokens: seen.usage.cache_write,
            reasoning_tokens: seen.usage.reasoning,
            tokens_provenance: seen.provenance,
            tokens_method: seen.method,
            cost_usd: cost.usd,
            cost_provenance: cost.provenance,
            price_table: (cost.provenance == CostProvenance::Priced)
                .then(|| Arc::clone(self.meter.prices.version())),
            time_to_first_chunk_ms: self
                .first_chunk_at
                .filter(|_| seen.stream == Some(true))
                .map(|at| since_head(at).into()),
            duration_ms: now.saturating_duration_since(self.opened_at).into(),
            weir_overhead_us: self
                .overhead
                .map(|spent| u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)),
            process: opening.process.take(),
            error: error.or(seen.provider_error).map(shortened),
            protocol: opening.protocol,
            retry: retry(&opening.request_headers),
            rules: self.rules.iter().copied().map(Cow::Borrowed).collect(),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            outcome,
            service_tier: seen.service_tier,
            rpc: seen.rpc,
            problems: std::mem::take(&mut self.problems),
            port: self.trace.is_some().then_some(opening.port),
            trace: self.trace.take(),
            pace: self
                .pace
                .take()
                .filter(|_| seen.stream == Some(true))
                .map(|pace| *pace),
        };
        if self.is_session {
            record.operation = Some(Cow::Borrowed(SESSION));
        }
        let payload = self.payload.take().zip(self.meter.payloads.clone());
        let held = Held {
            record: Box::new(record),
            payload,
            since: self.opened_at,
        };
        let host = opening.host.as_deref().unwrap_or_default();
        self.meter.awaiting.ended(host, seen.part, held, ended);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.recorded {
            let aborted = OutcomeKind::Aborted;
            self.record(aborted, aborted, Some("aborted".into()));
        }
    }
}

/// How many attempts the client says it made before. Those of SDKs generated by
/// Stainless (OpenAI's, Anthropic's, Groq's and others) do, from zero.
fn retry(headers: &Headers) -> Option<u32> {
    let count = headers.get("x-stainless-retry-count")?.parse().ok();
    count.filter(|count| *count > 0)
}

/// Cuts an error to what a line can hold, at a character.
fn shortened(mut error: String) -> String {
    if error.len() > ERROR_LEN_MAX {
        error.truncate(error.floor_char_boundary(ERROR_LEN_MAX));
    }
    error
}

#[cfg(test)]
mod tests;
