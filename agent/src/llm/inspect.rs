//! Follows one exchange from a copy of its bytes, and says what it used.
//!
//! An [`Inspector`] holds no body: content codings are taken off as they stream
//! by, documents are scanned for a few values, events are read as they come. No
//! method can fail; what goes wrong ends in [`Observation::problems`].
//!
//! Where the provider states no usage, a response that succeeded is estimated
//! from the length of its text, by [`estimate`]; one that failed is not.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::classify::Api;
use super::decode::Decoder;
use super::json::{Interest, JsonError, Scanner};
use super::observation::{Ending, Observation, Problem};
use super::reading::{Counts, Draft, Reading, Slot};
use super::request::{RequestFacts, RequestSlot};
use super::usage::{Provenance, Usage, estimate};
use super::{anthropic, openai_chat, openai_responses, openai_usage, sse};

/// The data of the event that ends a stream of chat chunks. Decoders of the
/// SDKs look at its beginning only.
const SENTINEL: &[u8] = b"[DONE]";

/// Follows one exchange.
#[derive(Debug)]
pub struct Inspector {
    api: Api,
    request: Request,
    response: Option<Response>,
    problems: Problems,
}

impl Inspector {
    /// Begins to follow an exchange. `request_encoding` is the request's
    /// `Content-Encoding`.
    #[must_use]
    pub fn new(api: Api, request_encoding: Option<&str>) -> Self {
        let mut problems = Problems::default();
        let request = Request::new(api, request_encoding, &mut problems);
        Self {
            api,
            request,
            response: None,
            problems,
        }
    }

    /// Reads bytes of the request body, as sent.
    pub fn request_body(&mut self, wire_bytes: &[u8]) {
        self.request.push(wire_bytes, &mut self.problems);
    }

    /// Notes that the request body has ended.
    pub fn request_end(&mut self) {
        self.request.end(&mut self.problems);
    }

    /// Reads the final head of the response.
    pub fn response_head(
        &mut self,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) {
        let response = Response::new(
            self.api,
            status,
            content_type,
            content_encoding,
            &mut self.problems,
        );
        self.response = Some(response);
    }

    /// Reads bytes of the response body, as received.
    pub fn response_body(&mut self, wire_bytes: &[u8]) {
        if let Some(response) = &mut self.response {
            response.push(wire_bytes, &mut self.problems);
        }
    }

    /// Whether the response has begun to say something: data of an event, or a
    /// document. Comments that keep a connection alive say nothing.
    #[must_use]
    pub fn has_seen_content(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| response.has_content)
    }

    /// What was seen.
    #[must_use]
    pub fn finish(mut self, ending: Ending) -> Observation {
        let facts = self.request.facts;
        let Some(mut response) = self.response else {
            return Observation {
                request_model: facts.model,
                stream: facts.stream,
                problems: self.problems.0,
                ..Observation::default()
            };
        };
        response.end(&mut self.problems);
        let (usage, provenance) = match self.api {
            Api::OpenAiChat | Api::OpenAiResponses | Api::AnthropicMessages => {
                response.settle(&facts, ending)
            }
            // Free, spent by another exchange, or not understood.
            Api::AnthropicCountTokens | Api::OpenAiResponsesFetch | Api::Other => {
                (Usage::default(), Provenance::Unknown)
            }
        };
        let stream = if response.is_success {
            response.framing.is_stream()
        } else {
            None
        };
        let reading = response.reading;
        Observation {
            request_model: facts.model,
            response_model: reading.model,
            response_id: reading.id,
            stream: stream.or(facts.stream),
            finish_reason: reading.finish_reason,
            service_tier: reading.service_tier.or(reading.counts.service_tier),
            speed: reading.counts.speed,
            inference_geo: reading.counts.inference_geo,
            usage,
            provenance,
            provider_error: reading.error,
            // Of a stream that was cut, an interim figure.
            stated_cost: reading
                .counts
                .stated_cost
                .filter(|_| provenance == Provenance::Measured),
            problems: self.problems.0,
        }
    }
}

/// Problems met, each kind once, in order.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn note(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    fn note_json(&mut self, error: JsonError) {
        match error {
            JsonError::Empty => {}
            JsonError::Truncated => self.note(Problem::Truncated),
            JsonError::Malformed => self.note(Problem::BadJson),
            JsonError::TooDeep => self.note(Problem::TooDeep),
        }
    }

    /// A decoder, unless the coding is one that is not known.
    fn decoder(&mut self, encoding: Option<&str>) -> Option<Decoder> {
        Decoder::new(encoding)
            .map_err(|error| self.note(error.into()))
            .ok()
    }
}

/// The request body.
#[derive(Debug)]
struct Request {
    /// Absent when there is nothing (more) to read.
    reader: Option<(Decoder, Scanner<RequestSlot>)>,
    facts: RequestFacts,
}

impl Request {
    fn new(api: Api, encoding: Option<&str>, problems: &mut Problems) -> Self {
        let table = match api {
            Api::OpenAiChat => openai_chat::REQUEST,
            Api::OpenAiResponses => openai_responses::REQUEST,
            Api::AnthropicMessages | Api::AnthropicCountTokens => anthropic::REQUEST,
            Api::OpenAiResponsesFetch | Api::Other => {
                return Self {
                    reader: None,
                    facts: RequestFacts::default(),
                };
            }
        };
        let reader = problems
            .decoder(encoding)
            .map(|decoder| (decoder, Scanner::new(table)));
        Self {
            reader,
            facts: RequestFacts::default(),
        }
    }

    fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let Some((decoder, scanner)) = &mut self.reader else {
            return;
        };
        let facts = &mut self.facts;
        let decoded = decoder.push(wire_bytes, &mut |bytes| {
            scanner.push(bytes, |found| facts.take(found))
        });
        if let Err(error) = decoded {
            problems.note(error.into());
            self.reader = None;
        }
    }

    fn end(&mut self, problems: &mut Problems) {
        let Some((decoder, scanner)) = self.reader.take() else {
            return;
        };
        match scanner.end() {
            // No flag means no stream, in all three formats.
            Ok(_) => {
                self.facts.stream.get_or_insert(false);
            }
            Err(error) => problems.note_json(error),
        }
        if !decoder.is_at_end() {
            problems.note(Problem::Truncated);
        }
        if scanner.has_met_oversized() {
            problems.note(Problem::ValueTooLarge);
        }
    }
}

/// How documents lie in a response body.
#[derive(Debug)]
enum Framing {
    /// The content type does not say; the first byte will.
    Undecided,
    /// The body is one document.
    Json,
    /// The body is a stream of events with a document each.
    Sse {
        reader: sse::Reader,
        sentinel_matched: usize,
    },
    /// Something else.
    Opaque,
}

impl Framing {
    fn sse() -> Self {
        Self::Sse {
            reader: sse::Reader::default(),
            sentinel_matched: 0,
        }
    }

    fn of_content_type(content_type: Option<&str>) -> Self {
        let essence = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        if essence == "text/event-stream" {
            Self::sse()
        } else if essence == "application/json" || essence.ends_with("+json") {
            Self::Json
        } else {
            Self::Undecided
        }
    }

    /// Some servers send JSON or events under another type, or under none.
    fn of_first_byte(byte: u8) -> Self {
        match byte {
            b'{' | b'[' => Self::Json,
            b':' | b'd' | b'e' | b'i' | b'r' => Self::sse(),
            _ => Self::Opaque,
        }
    }

    fn is_stream(&self) -> Option<bool> {
        match self {
            Self::Undecided => None,
            Self::Json | Self::Opaque => Some(false),
            Self::Sse { .. } => Some(true),
        }
    }
}

/// A wire format of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
}

impl Format {
    fn of(api: Api) -> Option<Self> {
        match api {
            Api::OpenAiChat => Some(Self::OpenAiChat),
            Api::OpenAiResponses | Api::OpenAiResponsesFetch => Some(Self::OpenAiResponses),
            Api::AnthropicMessages | Api::AnthropicCountTokens => Some(Self::Anthropic),
            Api::Other => None,
        }
    }

    fn table(self, framing: &Framing) -> &'static [Interest<Slot>] {
        match (self, framing) {
            (Self::OpenAiChat, _) => openai_chat::RESPONSE,
            (Self::OpenAiResponses, Framing::Sse { .. }) => openai_responses::EVENT,
            (Self::OpenAiResponses, _) => openai_responses::BODY,
            (Self::Anthropic, Framing::Sse { .. }) => anthropic::EVENT,
            (Self::Anthropic, _) => anthropic::BODY,
        }
    }

    fn parse_usage(self) -> fn(&[u8]) -> Counts {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => openai_usage::parse,
            Self::Anthropic => anthropic::parse,
        }
    }

    fn commit_event(self, draft: Draft, reading: &mut Reading) {
        match self {
            Self::OpenAiChat => openai_chat::commit_event(draft, reading),
            Self::OpenAiResponses => openai_responses::commit_event(draft, reading),
            Self::Anthropic => anthropic::commit_event(draft, reading),
        }
    }

    fn commit_body(self, draft: Draft, whole: Result<(), JsonError>, reading: &mut Reading) {
        match self {
            Self::OpenAiResponses => openai_responses::commit_body(draft, reading),
            Self::OpenAiChat | Self::Anthropic => reading.commit(draft),
        }
        // In a body that was cut, another usage object could have followed; and
        // before any text it could have become an error.
        reading.has_ended = whole.is_ok();
        if whole.is_err() && reading.text_bytes == 0 {
            reading.documents = 0;
        }
    }
}

/// The response.
#[derive(Debug)]
struct Response {
    is_success: bool,
    /// Absent for an API that is not understood, or when reading has ended early.
    format: Option<Format>,
    decoder: Option<Decoder>,
    framing: Framing,
    scanner: Scanner<Slot>,
    draft: Draft,
    reading: Reading,
    has_content: bool,
}

impl Response {
    fn new(
        api: Api,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        problems: &mut Problems,
    ) -> Self {
        let format = Format::of(api);
        let framing = Framing::of_content_type(content_type);
        Self {
            is_success: (200..300).contains(&status),
            format,
            decoder: format.and_then(|_| problems.decoder(content_encoding)),
            scanner: Scanner::new(format.map_or(&[], |format| format.table(&framing))),
            framing,
            draft: Draft::default(),
            reading: Reading::default(),
            has_content: false,
        }
    }

    fn push(&mut self, wire_bytes: &[u8], problems: &mut Problems) {
        let (Some(mut decoder), Some(format)) = (self.decoder.take(), self.format) else {
            self.has_content |= !wire_bytes.is_empty();
            return;
        };
        match decoder.push(wire_bytes, &mut |bytes| self.read(format, bytes, problems)) {
            Ok(()) => self.decoder = Some(decoder),
            Err(error) => problems.note(error.into()),
        }
    }

    /// Reads decoded bytes.
    fn read(&mut self, format: Format, bytes: &[u8], problems: &mut Problems) {
        let mut bytes = bytes;
        if matches!(self.framing, Framing::Undecided | Framing::Json) && !self.has_content {
            // Blank lines before a document are a way to keep a connection alive.
            bytes = bytes.trim_ascii_start();
        }
        let Some(first) = bytes.first() else { return };
        if matches!(self.framing, Framing::Undecided) {
            self.framing = Framing::of_first_byte(*first);
            self.scanner = Scanner::new(format.table(&self.framing));
            if matches!(self.framing, Framing::Opaque) && self.is_success {
                problems.note(Problem::BadJson);
            }
        }
        let Self {
            framing,
            scanner,
            draft,
            reading,
            has_content,
            ..
        } = self;
        let parse = format.parse_usage();
        match framing {
            Framing::Undecided | Framing::Opaque => *has_content = true,
            Framing::Json => {
                *has_content = true;
                scanner.push(bytes, |found| draft.take(found, parse));
            }
            Framing::Sse {
                reader,
                sentinel_matched,
            } => reader.push(bytes, |piece| match piece {
                sse::Piece::Data(data) => {
                    *has_content |= !data.is_empty();
                    *sentinel_matched = match_on(SENTINEL, *sentinel_matched, data);
                    scanner.push(data, |found| draft.take(found, parse));
                }
                sse::Piece::End => {
                    let draft = std::mem::take(draft);
                    if *sentinel_matched == SENTINEL.len() {
                        reading.has_ended = true;
                    } else {
                        match scanner.end() {
                            Ok(_) => format.commit_event(draft, reading),
                            Err(error) => problems.note_json(error),
                        }
                    }
                    *sentinel_matched = 0;
                    scanner.reset();
                }
            }),
        }
    }

    /// Takes what the end of the body leaves behind.
    fn end(&mut self, problems: &mut Problems) {
        let Some(format) = self.format else { return };
        if self
            .decoder
            .as_ref()
            .is_some_and(|decoder| !decoder.is_at_end())
        {
            problems.note(Problem::Truncated);
        }
        if self.scanner.has_met_oversized() {
            problems.note(Problem::ValueTooLarge);
        }
        let draft = std::mem::take(&mut self.draft);
        match &self.framing {
            Framing::Undecided | Framing::Opaque => {}
            Framing::Json => {
                let whole = self.scanner.end().map(|_| ());
                if let Err(error) = whole {
                    problems.note_json(error);
                }
                if self.has_content {
                    format.commit_body(draft, whole, &mut self.reading);
                }
            }
            Framing::Sse {
                reader,
                sentinel_matched,
            } if reader.is_within_event() => {
                // The event did not end, but its document may have.
                if *sentinel_matched == SENTINEL.len() {
                    self.reading.has_ended = true;
                } else if self.scanner.end().is_ok() {
                    format.commit_event(draft, &mut self.reading);
                } else {
                    problems.note(Problem::Truncated);
                }
            }
            Framing::Sse { .. } => {}
        }
    }

    /// The token counts, and how far to trust them.
    fn settle(&self, facts: &RequestFacts, ending: Ending) -> (Usage, Provenance) {
        let reading = &self.reading;
        let stated = match self.format {
            Some(Format::Anthropic) => anthropic::totals(&reading.counts, facts),
            Some(Format::OpenAiChat | Format::OpenAiResponses) | None => reading.counts.usage,
        };
        // Running totals are the last word once the stream has ended in any way
        // that says so: its sentinel, or a reason to stop and a clean end.
        let is_whole =
            reading.has_ended || (ending == Ending::Complete && reading.finish_reason.is_some());
        if !stated.is_empty() && (reading.is_usage_final || is_whole || !self.is_success) {
            return (stated, Provenance::Measured);
        }
        let has_nothing = reading.documents == 0
            || (reading.error.is_some() && reading.text_bytes == 0 && stated.is_empty());
        if !self.is_success || reading.is_deferred || has_nothing {
            return (Usage::default(), Provenance::Unknown);
        }
        let usage = Usage {
            input: stated.input.or_else(|| facts.estimated_input()),
            output: self.estimated_output(stated.output),
            ..stated
        };
        let provenance = if usage.is_empty() {
            Provenance::Unknown
        } else {
            Provenance::Estimated
        };
        (usage, provenance)
    }

    /// What was generated, from the last count stated and the text seen. No text
    /// is no estimate: a model may have been reasoning out of sight.
    fn estimated_output(&self, stated: Option<u64>) -> Option<u64> {
        let of = |text_bytes| (text_bytes > 0).then(|| estimate(text_bytes));
        let reading = &self.reading;
        match (stated, self.format) {
            (None, _) => of(reading.text_bytes),
            // The first count is provisional, and not a count of anything.
            (Some(_), Some(Format::Anthropic)) => stated.max(of(reading.text_bytes)),
            (Some(count), _) => {
                Some(count.saturating_add(estimate(reading.text_bytes_since_usage)))
            }
        }
    }
}

/// Goes on comparing with `pattern`, of which `matched` bytes did match. Once
/// there is a mismatch it stays one.
fn match_on(pattern: &[u8], matched: usize, bytes: &[u8]) -> usize {
    const MISMATCH: usize = usize::MAX;
    let Some(left) = pattern.get(matched..) else {
        return MISMATCH;
    };
    let compared = left.len().min(bytes.len());
    if left.get(..compared) == bytes.get(..compared) {
        matched.saturating_add(compared)
    } else {
        MISMATCH
    }
}

#[cfg(test)]
mod tests;
