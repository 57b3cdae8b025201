//! Adds records up and shows them. First cut: keeps them.

use super::record::Record;

/// Records and their totals.
#[derive(Debug, Default)]
pub struct Report {
    records: Vec<Record>,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) {
        self.records.push(record);
    }

    /// `{"exchanges":[…],"totals":{…}}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        String::new()
    }

    /// A table for a terminal of that many columns.
    #[must_use]
    pub fn to_table(&self, _width: usize) -> String {
        String::new()
    }
}

/// One line for an exchange that has just ended.
#[must_use]
pub fn live_line(_record: &Record) -> String {
    String::new()
}
