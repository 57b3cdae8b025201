//! Records of a run, their totals, and how both are shown.
//!
//! Totals are exact however many records there were; of the records themselves
//! the latest are kept.

use std::collections::VecDeque;

use serde::Serialize;

use super::record::Record;

mod amounts;
mod columns;
mod line;
mod table;
mod totals;

pub use line::live_line;
pub use totals::{Connections, ModelTotals, Totals};

/// Records kept, about a kilobyte each: enough for a long afternoon of an agent
/// at work. Older ones are left out, and counted.
pub const RECORDS_KEPT_MAX: usize = 10_000;

/// Records of a run and their totals.
#[derive(Debug, Default)]
pub struct Report {
    records: VecDeque<Record>,
    totals: Totals,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) {
        self.totals.add(&record);
        if self.records.len() == RECORDS_KEPT_MAX {
            self.records.pop_front();
            self.totals.exchanges_omitted += 1;
        }
        self.records.push_back(record);
    }

    /// What the kernel counted, by its reasons' names. Zeros are left out.
    pub fn set_flows(&mut self, flows: Vec<(String, u64)>) {
        self.totals.flows = flows.into_iter().filter(|(_, count)| *count > 0).collect();
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The records kept, in the order they were added.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> + ExactSizeIterator {
        self.records.iter()
    }

    /// One JSON object: `{"exchanges":[record…],"totals":{…}}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Shape<'a> {
            exchanges: &'a VecDeque<Record>,
            totals: &'a Totals,
        }
        let shape = Shape {
            exchanges: &self.records,
            totals: &self.totals,
        };
        serde_json::to_string(&shape).expect("records have string keys and finite numbers only")
    }

    /// A table for a terminal of `width` columns. It may be wider if the terminal
    /// is too narrow for the least of it.
    #[must_use]
    pub fn to_table(&self, width: usize) -> String {
        table::render(self, width)
    }
}

#[cfg(test)]
mod tests;
