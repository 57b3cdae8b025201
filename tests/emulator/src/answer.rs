//! What is said in answer to a request, before it is put on a wire.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::ledger::UsageTold;
use crate::wire::Head;
use crate::wire::fields::Fields;

/// An answer, complete but unsent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) content: Content,
    pub(crate) figures: Figures,
}

/// What the ledger is to know beyond what is counted while sending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) response_id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    pub(crate) input_tokens: u32,
    pub(crate) cache_read_tokens: u32,
    pub(crate) cache_write_tokens: u32,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// One document.
    Plain(Event),
    /// A stream of events.
    Stream {
        events: Vec<Event>,
        /// What this surface sends when it fails half-way.
        failure: Bytes,
    },
}

/// A part of a body that is written, and flushed, by itself.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    /// Tokens that this part carries, reasoning included.
    pub(crate) output_tokens: u32,
    /// Of these, reasoning.
    pub(crate) reasoning_tokens: u32,
    /// What of the usage figures the client knows after this part.
    pub(crate) usage: UsageTold,
}

impl Event {
    /// A part without tokens or usage.
    pub(crate) fn bare(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            output_tokens: 0,
            reasoning_tokens: 0,
            usage: UsageTold::No,
        }
    }

    /// An unnamed server-sent event with a JSON payload.
    pub(crate) fn data(payload: &impl Serialize) -> Self {
        Self::bare(format!("data: {}\n\n", json(payload)))
    }

    /// A named server-sent event with a JSON payload.
    pub(crate) fn named(name: &str, payload: &impl Serialize) -> Self {
        Self::named_text(name, &json(payload))
    }

    /// The same, of a payload that is written already.
    pub(crate) fn named_text(name: &str, payload: &str) -> Self {
        Self::bare(format!("event: {name}\ndata: {payload}\n\n"))
    }

    /// The same part in other bytes, made from those it has.
    pub(crate) fn reframed(self, frame: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        Self {
            bytes: frame(&self.bytes).into(),
            ..self
        }
    }

    /// A JSON document in a line of its own.
    pub(crate) fn line(payload: &impl Serialize) -> Self {
        Self::bare(json(payload) + "\n")
    }

    /// The same part, carrying `tokens` of text.
    pub(crate) fn carrying(mut self, tokens: u32) -> Self {
        self.output_tokens += tokens;
        self
    }

    /// The same part, which also stands for `tokens` of reasoning.
    pub(crate) fn reasoned(mut self, tokens: u32) -> Self {
        self.output_tokens += tokens;
        self.reasoning_tokens += tokens;
        self
    }

    /// The same part, which tells usage.
    pub(crate) fn telling(mut self, usage: UsageTold) -> Self {
        self.usage = usage;
        self
    }
}

impl Answer {
    /// An answer of one JSON document.
    pub(crate) fn json(status: StatusCode, fields: Fields, body: impl Into<Bytes>) -> Self {
        Self::plain(status, fields, "application/json", body)
    }

    /// An answer of one JSON document that carries tokens or usage.
    pub(crate) fn of_part(status: StatusCode, fields: Fields, part: Event) -> Self {
        let mut answer = Self::json(status, fields, Bytes::new());
        answer.content = Content::Plain(part);
        answer
    }

    /// An answer of one document.
    pub(crate) fn plain(
        status: StatusCode,
        fields: Fields,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut head = Fields::new().with("Content-Type", content_type);
        head.extend(fields);
        Self {
            head: Head {
                status,
                fields: head,
            },
            content: Content::Plain(Event::bare(body)),
            figures: Figures::default(),
        }
    }

    /// An answer of server-sent events.
    pub(crate) fn stream(fields: Fields, events: Vec<Event>, failure: Event) -> Self {
        let mut head = Fields::new().with("Cache-Control", "no-cache");
        head.extend(fields);
        Self::parts("text/event-stream; charset=utf-8", head, events, failure)
    }

    /// An answer of parts that are sent as they come.
    pub(crate) fn parts(
        content_type: &'static str,
        fields: Fields,
        events: Vec<Event>,
        failure: Event,
    ) -> Self {
        let mut head = Fields::new().with("Content-Type", content_type);
        head.extend(fields);
        Self {
            head: Head {
                status: StatusCode::OK,
                fields: head,
            },
            content: Content::Stream {
                events,
                failure: failure.bytes,
            },
            figures: Figures::default(),
        }
    }

    /// An answer of AWS' event stream messages.
    pub(crate) fn event_stream(fields: Fields, events: Vec<Event>, failure: Event) -> Self {
        Self::parts(
            "application/vnd.amazon.eventstream",
            fields,
            events,
            failure,
        )
    }

    /// The same answer with its figures.
    pub(crate) fn with_figures(mut self, figures: Figures) -> Self {
        self.figures = figures;
        self
    }
}

/// Compact JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the payloads have string keys and infallible members")
}
