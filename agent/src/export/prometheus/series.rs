//! The series that an exchange counts in, kept for the next one that is like it.
//!
//! To find a series by its labels takes a lock, a hash and a walk, nine times for a
//! call; traffic is a few kinds of calls, each over and over.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::{Counter, Histogram, IntCounter};

use crate::bounds::Bound;
use crate::llm::usage::Provenance;
use crate::meter::record::{OutcomeKind, Record};

/// Kinds of calls that are kept. More are found by their labels each time.
const KINDS_MAX: usize = 32;

/// What the labels of an exchange depend on, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind<'a> {
    operation: Cow<'a, str>,
    status_class: &'static str,
    outcome: OutcomeKind,
    provenance: Provenance,
    pub(super) request_model: Option<Cow<'a, str>>,
    pub(super) response_model: Option<Cow<'a, str>>,
    pub(super) provider: Option<Cow<'a, str>>,
    pub(super) error_type: Option<Cow<'a, str>>,
}

impl<'a> Kind<'a> {
    /// That of a record of an exchange.
    pub(super) fn of(
        record: &'a Record,
        operation: &'a str,
        status_class: &'static str,
        error_type: Option<&'a str>,
    ) -> Self {
        let borrowed = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            operation: Cow::Borrowed(operation),
            status_class,
            outcome: record.outcome,
            provenance: record.tokens_provenance,
            request_model: borrowed(&record.request_model),
            response_model: borrowed(&record.response_model),
            provider: borrowed(&record.provider),
            error_type: error_type.map(Cow::Borrowed),
        }
    }

    fn into_owned(self) -> Kind<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|it| Cow::Owned(it.into_owned()));
        Kind {
            operation: Cow::Owned(self.operation.into_owned()),
            status_class: self.status_class,
            outcome: self.outcome,
            provenance: self.provenance,
            request_model: owned(self.request_model),
            response_model: owned(self.response_model),
            provider: owned(self.provider),
            error_type: owned(self.error_type),
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

/// Kinds that were met; those that come often gather at the front.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<(Kind<'static>, Arc<Series>)>>);

impl Kept {
    /// The series of this kind, if they are kept.
    pub(super) fn get(&self, kind: &Kind<'_>) -> Option<Arc<Series>> {
        // Whole after any panic, as nothing in between can.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == kind)?;
        let found = Arc::clone(&kept.get(at)?.1);
        kept.swap(at, at.saturating_sub(1));
        Some(found)
    }

    /// Keeps them, in the place of the last if need be.
    pub(super) fn keep(&self, kind: Kind<'_>, series: Arc<Series>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KINDS_MAX {
            kept.pop_back();
            Bound::KeptSeries.hit();
        }
        kept.push_front((kind.into_owned(), series));
    }
}
