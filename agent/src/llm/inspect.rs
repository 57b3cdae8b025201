//! Follows one exchange and says what it used. First cut: remembers nothing.

use super::classify::Api;
use super::observation::{Ending, Observation};

/// One per exchange.
#[derive(Debug)]
pub struct Inspector {
    _api: Api,
}

impl Inspector {
    /// Begins to follow an exchange.
    #[must_use]
    pub fn new(api: Api, _request_encoding: Option<&str>) -> Self {
        Self { _api: api }
    }

    /// Bytes of the request body as sent.
    pub fn request_body(&mut self, _wire_bytes: &[u8]) {}

    /// The request body has ended.
    pub fn request_end(&mut self) {}

    /// The head of the response.
    pub fn response_head(
        &mut self,
        _status: u16,
        _content_type: Option<&str>,
        _content_encoding: Option<&str>,
    ) {
    }

    /// Bytes of the response body as received.
    pub fn response_body(&mut self, _wire_bytes: &[u8]) {}

    /// Whether an event or a document of the response has begun.
    #[must_use]
    pub fn has_seen_content(&self) -> bool {
        false
    }

    /// What was seen.
    #[must_use]
    pub fn finish(self, _ending: Ending) -> Observation {
        Observation::default()
    }
}
