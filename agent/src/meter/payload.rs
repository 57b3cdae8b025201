//! Copies of the bodies of an exchange, for those that somebody chose to capture.
//!
//! Off unless configured: then a rule has said so of this very exchange before a
//! byte is kept. What is kept has a bound, and is shown to nobody here; whoever
//! takes it redacts it first.

use std::any::Any;
use std::fmt;

use super::record::Record;
use crate::llm::headers::Headers;

/// Chooses exchanges, and takes their bodies. Called from the tasks that forward
/// bytes: an implementation must not block or panic.
pub trait PayloadSink: Send + Sync {
    /// Room for the bodies of an exchange of this operation with this host, if
    /// they are to be captured. `random` is different for each exchange.
    fn room(&self, host: Option<&str>, operation: &str, random: u64) -> Option<Room>;

    /// Takes the bodies of an exchange that has ended.
    fn take(&self, payload: Payload, record: &Record);
}

/// Room for the bodies of one exchange.
pub struct Room {
    /// Most bytes of each body.
    pub body_bytes_max: usize,
    /// Given back when it is dropped.
    pub held: Box<dyn Any + Send>,
}

/// The bodies of one exchange.
pub struct Payload {
    /// The request's.
    pub request: Body,
    /// The response's.
    pub response: Body,
    /// Dropped once the bodies are: see [`Room::held`].
    pub held: Box<dyn Any + Send>,
}

impl Payload {
    /// Nothing has been kept.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            request: Body::new(room.body_bytes_max),
            response: Body::new(room.body_bytes_max),
            held: room.held,
        }
    }
}

/// The beginning of a body, as it was on the wire.
pub struct Body {
    /// What was kept.
    pub bytes: Vec<u8>,
    /// How long the body was in all.
    pub length: u64,
    /// Its media type, lower-case, without parameters.
    pub media_type: Option<String>,
    /// Its content coding.
    pub coding: Option<String>,
    most: usize,
}

impl Body {
    /// Of which so many bytes may be kept.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            length: 0,
            media_type: None,
            coding: None,
            most,
        }
    }

    /// Notes what the head says of the body.
    pub fn describe(&mut self, headers: &Headers) {
        self.media_type = headers.media_type();
        self.coding = headers.get("content-encoding").map(str::to_owned);
    }

    /// Keeps of the next bytes what there is room for.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = self.most.saturating_sub(self.bytes.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(kept);
    }

    /// Whether there was more than what was kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }
}

/// Never the content.
impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body")
            .field("length", &self.length)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_kept_up_to_its_bound_and_never_shown() {
        let mut body = Body::new(6);
        body.keep(b"secr");
        assert!(!body.is_cut());
        body.keep(b"et of mine");
        assert_eq!(body.bytes, b"secret");
        assert_eq!(body.length, 14);
        assert!(body.is_cut());
        assert!(!format!("{body:?}").contains("secret"));
    }
}
