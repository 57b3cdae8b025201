//! The series that an exchange counts in, kept for the next one that is like it.
//!
//! To find a series by its labels takes a lock, a hash and a walk, nine times for a
//! call; traffic is a few kinds of calls, each over and over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::{Counter, Histogram, IntCounter};

use crate::llm::usage::Provenance;
use crate::meter::record::{OutcomeKind, Record};

/// Kinds of calls that are kept. More are found by their labels each time.
const KINDS_MAX: usize = 32;

/// What the labels of an exchange depend on, as its record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind<'a> {
    pub(super) operation: &'a str,
    pub(super) status_class: &'static str,
    pub(super) outcome: OutcomeKind,
    pub(super) provenance: Provenance,
    pub(super) request_model: Option<&'a str>,
    pub(super) response_model: Option<&'a str>,
    pub(super) provider: Option<&'a str>,
    pub(super) error_type: Option<&'a str>,
}

/// The same, kept.
#[derive(Debug)]
struct Known {
    operation: String,
    status_class: &'static str,
    outcome: OutcomeKind,
    provenance: Provenance,
    request_model: Option<String>,
    response_model: Option<String>,
    provider: Option<String>,
    error_type: Option<String>,
}

impl Known {
    fn of(kind: Kind<'_>) -> Self {
        let Kind {
            operation,
            status_class,
            outcome,
            provenance,
            ..
        } = kind;
        Self {
            operation: operation.to_owned(),
            status_class,
            outcome,
            provenance,
            request_model: kind.request_model.map(str::to_owned),
            response_model: kind.response_model.map(str::to_owned),
            provider: kind.provider.map(str::to_owned),
            error_type: kind.error_type.map(str::to_owned),
        }
    }

    fn kind(&self) -> Kind<'_> {
        Kind {
            operation: &self.operation,
            status_class: self.status_class,
            outcome: self.outcome,
            provenance: self.provenance,
            request_model: self.request_model.as_deref(),
            response_model: self.response_model.as_deref(),
            provider: self.provider.as_deref(),
            error_type: self.error_type.as_deref(),
        }
    }
}

/// Labels, each admitted by its `Bounded` set.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) provider: String,
    pub(super) request_model: String,
    pub(super) response_model: String,
    pub(super) error_type: String,
    /// The model that answered, or else the one asked for.
    pub(super) model: String,
}

/// Series of one kind of exchanges. One is made by the first that counts in it, so
/// that none is exported which has counted nothing.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) exchanges: OnceLock<IntCounter>,
    pub(super) duration: OnceLock<Histogram>,
    pub(super) first_chunk: OnceLock<Histogram>,
    /// Of input and output.
    pub(super) usage: [OnceLock<Histogram>; 2],
    pub(super) tokens: [OnceLock<IntCounter>; TOKENS],
    pub(super) cost: OnceLock<Counter>,
}

/// Types of tokens that are counted.
pub(super) const TOKENS: usize = 5;

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            labels,
            exchanges: OnceLock::new(),
            duration: OnceLock::new(),
            first_chunk: OnceLock::new(),
            usage: Default::default(),
            tokens: Default::default(),
            cost: OnceLock::new(),
        }
    }
}

/// Kinds that were met, the latest first.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<(Known, Arc<Series>)>>);

impl Kept {
    /// The series of this kind, if they are kept.
    pub(super) fn get(&self, kind: Kind<'_>) -> Option<Arc<Series>> {
        // Whole after any panic, as nothing in between can.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known.kind() == kind)?;
        let found = Arc::clone(&kept.get(at)?.1);
        // Towards the front, where the most frequent gather.
        kept.swap(at, at.saturating_sub(1));
        Some(found)
    }

    /// Keeps them, in the place of the rarest if need be.
    pub(super) fn keep(&self, kind: Kind<'_>, series: Arc<Series>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KINDS_MAX - 1);
        kept.push_front((Known::of(kind), series));
    }
}

impl<'a> Kind<'a> {
    /// That of a record of an exchange.
    pub(super) fn of(
        record: &'a Record,
        operation: &'a str,
        status_class: &'static str,
        error_type: Option<&'a str>,
    ) -> Self {
        Self {
            operation,
            status_class,
            outcome: record.outcome,
            provenance: record.tokens_provenance,
            request_model: record.request_model.as_deref(),
            response_model: record.response_model.as_deref(),
            provider: record.provider.as_deref(),
            error_type,
        }
    }
}
