//! Responses kept for `GET /v1/responses/{id}`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::answer::{Event, Figures};

/// Responses kept; the oldest are forgotten first.
const RESPONSES_MAX: usize = 1024;

/// A finished response.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) document: Event,
    pub(crate) figures: Figures,
}

/// The responses kept.
#[derive(Default)]
pub(crate) struct ResponseStore(Mutex<VecDeque<Stored>>);

impl ResponseStore {
    /// Keeps a response, in place of an older one with the same id.
    pub(crate) fn keep(&self, stored: Stored) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.id != stored.id);
        if kept.len() == RESPONSES_MAX {
            kept.pop_front();
        }
        kept.push_back(stored);
    }

    /// The response with this id.
    pub(crate) fn get(&self, id: &str) -> Option<Stored> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|stored| stored.id == id).cloned()
    }
}
