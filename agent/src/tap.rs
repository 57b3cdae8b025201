//! What happens to messages on their way through: bodies are shown to the
//! exchange, and anything is changed only by a rule that says so.
//!
//! There are two such rules so far. `stream_usage`: streams of OpenAI's chats and
//! completions report no usage unless asked, so weir asks, and removes from the
//! stream what asking added. `trace_context`, only if it is configured: requests
//! carry the exchange's span as their trace context.

use crate::{
    bounds::Bound,
    llm::{
        classify::Api,
        stream_usage::{Asking, UsageFilter, is_silent},
    },
    meter::exchange::Exchange,
};

/// The name of the rule about usage in records.
pub const STREAM_USAGE: &str = "stream_usage";
/// The name of the rule about the trace context in records.
pub const TRACE_CONTEXT: &str = "trace_context";
/// The field that the rule about the trace context sets.
pub const TRACEPARENT: &str = "traceparent";
/// Fields that say which others a signature of the request covers: of AWS'
/// signatures, whose query may say so, too, and of RFC 9421.
pub const SIGNATURES: [&str; 2] = ["authorization", "signature-input"];
/// Largest request body that is held for the rule. Above it the request passes
/// as it is and its tokens are estimated: chats of this size are mostly images.
pub const HELD_BODY_MAX: usize = 8 * 1024 * 1024;
/// By how much more the rule can make a body than it was.
const GROWTH_MAX: usize = 64;

/// Whether the rule needs to see the whole body of this request.
///
/// Not for encoded bodies, which would have to be encoded again, nor for those
/// that wait for `100 Continue`, which only upstream may answer.
#[must_use]
pub fn holds_request(enabled: bool, api: Api, encoded: bool, expects_continue: bool) -> bool {
    enabled && is_silent(api) && !encoded && !expects_continue
}

/// A request body that the rule needs whole.
#[derive(Debug)]
pub struct Held {
    body: Vec<u8>,
    asking: Asking,
}

impl Held {
    /// With room for a body of this length, if it is stated. None if one of that
    /// length is not held, which is counted.
    #[must_use]
    pub fn begin(length: Option<u64>) -> Option<Self> {
        let length = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
        if length > HELD_BODY_MAX {
            Bound::HeldRequest.hit();
            return None;
        }
        let room = match length {
            0 => 0,
            length => length.saturating_add(GROWTH_MAX),
        };
        Some(Self {
            body: Vec::with_capacity(room),
            asking: Asking::default(),
        })
    }

    /// Takes more of the body. Whether it may still be held.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> bool {
        self.asking.push(piece);
        self.body.extend_from_slice(piece);
        self.body.len() <= HELD_BODY_MAX
    }

    /// The body that has ended, and whether the rule has changed it.
    #[must_use]
    pub fn end(self) -> (Vec<u8>, bool) {
        let mut body = self.body;
        match self.asking.end() {
            None => (body, false),
            Some(edit) => {
                edit.apply(&mut body);
                (body, true)
            }
        }
    }

    /// What there is of a body that is too long, which is counted.
    #[must_use]
    pub fn give_up(self) -> Vec<u8> {
        Bound::HeldRequest.hit();
        self.body
    }
}

/// Whether the rule, once it changed the request, can undo its effect on this
/// response. It cannot on an encoded body, which it asked not to get.
#[must_use]
pub fn filters_response(content_type: Option<&str>, content_encoding: Option<&str>) -> bool {
    let stream = content_type.is_some_and(|value| {
        value
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    });
    stream && content_encoding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity"))
}

/// A response body under the rule.
#[derive(Debug)]
pub struct Filtered(UsageFilter);

impl Filtered {
    /// Begins; the exchange's record will name the rule.
    #[must_use]
    pub fn begin() -> Self {
        Self(UsageFilter::new())
    }

    /// What the application gets for `chunk`: possibly nothing yet.
    #[must_use]
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        self.0.push(chunk, &mut out);
        out
    }

    /// What is left at the end.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.finish(&mut out);
        out
    }
}

/// The trace context for a request, once the record names the rule. None where
/// one of `signatures`, which are the target and the values of [`SIGNATURES`],
/// mentions the field: to set it would break the signature.
#[must_use]
pub fn trace_context<'a>(
    exchange: &mut Exchange,
    mut signatures: impl Iterator<Item = &'a [u8]>,
) -> Option<String> {
    let is_mentioned = |text: &[u8]| {
        memchr::memmem::find(&text.to_ascii_lowercase(), TRACEPARENT.as_bytes()).is_some()
    };
    if signatures.any(is_mentioned) {
        return None;
    }
    let context = exchange.context()?;
    exchange.rule_applied(TRACE_CONTEXT);
    Some(context)
}

/// Notes in the record that the request was changed.
pub fn note_rule(exchange: &mut Exchange) {
    exchange.rule_applied(STREAM_USAGE);
}
