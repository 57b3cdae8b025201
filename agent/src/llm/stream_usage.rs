//! Asks for usage in chat streams that would carry none, and takes the answer
//! out again. First cut: asks for nothing.

use super::classify::Api;

/// What to do with a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Forward it as it is.
    Unchanged,
    /// Forward this instead, and filter the response.
    Edited(Vec<u8>),
}

/// Decides whether usage is to be asked for.
#[must_use]
pub fn ask(_api: Api, _body: &[u8]) -> Ask {
    Ask::Unchanged
}

/// Removes from an event stream what [`ask`] added to it.
#[derive(Debug, Default)]
pub struct UsageFilter {}

impl UsageFilter {
    /// A filter at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` what may leave.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(chunk);
    }

    /// Appends to `out` what is still held.
    pub fn finish(&mut self, _out: &mut Vec<u8>) {}
}
