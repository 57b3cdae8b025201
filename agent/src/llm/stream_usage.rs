//! The rule `stream_usage`: asks for usage in streams of chats and completions
//! that would carry none, and takes the answer out again before the application
//! sees it.
//!
//! Such a stream states its usage only if the request says so. The
//! request is edited where it does not, by inserting bytes and nothing else. The
//! option adds two things to the stream: a last chunk with usage and no choices,
//! and `"usage":null` in every other chunk. [`UsageFilter`] removes both, byte
//! for byte, so that the application reads what it would have read. It needs the
//! stream without a content coding.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::ops::Range;

use memchr::memmem;

use super::catalogue::Provider;
use super::classify::Api;
use super::json::{EACH, Found, Interest, Scanner, Table, Want, scan};
use super::sse::{self, Boundaries};

/// Largest event that is held back to look into it. Chunks of a stream are a few
/// hundred bytes; one that is larger than this carries media, not usage, and
/// passes as it is.
const HELD_MAX: usize = 256 * 1024;

const OPTION: &[u8] = br#""include_usage":true"#;
const OPTIONS: &[u8] = br#""stream_options":{"include_usage":true}"#;

/// What to do with a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Forward it as it is, and the response, too.
    Unchanged,
    /// Forward this in its place, and send the response through a [`UsageFilter`].
    Edited(Vec<u8>),
}

/// Whether streams of a provider may lack usage unless it is asked for. The
/// others state it in any case, and what was not added must not be removed; or
/// their requests are signed, or do not know the option.
#[must_use]
pub fn is_asked_of(provider: &Provider) -> bool {
    !matches!(
        provider,
        Provider::Anthropic
            | Provider::Bedrock
            | Provider::Cohere
            | Provider::Fireworks
            | Provider::Gemini
            | Provider::Groq
            | Provider::Mistral
            | Provider::OpenRouter
            | Provider::Perplexity
            | Provider::SageMaker
            | Provider::Together
            | Provider::Vertex
            | Provider::XAi
    )
}

/// Whether streams of an API state their usage only if they are asked for it.
#[must_use]
pub fn is_silent(api: Api) -> bool {
    matches!(api, Api::OpenAiChat | Api::OpenAiCompletions)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestSlot {
    Stream,
    Options,
    IncludeUsage,
}

static REQUEST: Table<RequestSlot> = Table::new(&[
    Interest {
        path: &["stream"],
        want: Want::Value,
        slot: RequestSlot::Stream,
    },
    Interest {
        path: &["stream_options"],
        want: Want::Value,
        slot: RequestSlot::Options,
    },
]);

static STREAM_OPTIONS: Table<RequestSlot> = Table::new(&[Interest {
    path: &["include_usage"],
    want: Want::Value,
    slot: RequestSlot::IncludeUsage,
}]);

/// Edits a request for a chat stream that does not ask for usage, so that it
/// does. Anything that is not certainly such a request stays as it is.
#[must_use]
pub fn ask(api: Api, body: &[u8]) -> Ask {
    if !is_silent(api) {
        return Ask::Unchanged;
    }
    let mut asking = Asking::default();
    asking.push(body);
    match asking.end() {
        Some(edit) => {
            let mut edited = body.to_vec();
            edit.apply(&mut edited);
            Ask::Edited(edited)
        }
        None => Ask::Unchanged,
    }
}

/// Reads the body of a request in pieces, and finds what makes it ask.
#[derive(Debug)]
pub struct Asking {
    scanner: Scanner<RequestSlot>,
    is_stream: bool,
    /// Where the options are, and what to put there; nothing, if they are to stay
    /// as they are.
    options: Option<(Range<usize>, Option<Vec<u8>>)>,
}

/// What to change in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where, in bytes from the beginning.
    at: Range<usize>,
    /// What is to stand there.
    by: Vec<u8>,
}

impl Edit {
    /// Changes the body that was read.
    pub fn apply(self, body: &mut Vec<u8>) {
        if self.at.start <= self.at.end && self.at.end <= body.len() {
            body.splice(self.at, self.by);
        }
    }
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            scanner: Scanner::new(&REQUEST),
            is_stream: false,
            options: None,
        }
    }
}

impl Asking {
    /// Reads the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        let (is_stream, options) = (&mut self.is_stream, &mut self.options);
        // Of members repeated under one name the last counts, as it does for parsers.
        self.scanner.push(piece, |found| {
            if let Found::Value {
                slot, raw, span, ..
            } = found
            {
                match slot {
                    RequestSlot::Stream => *is_stream = raw == b"true",
                    RequestSlot::Options => *options = Some((span, edited_options(raw))),
                    RequestSlot::IncludeUsage => {}
                }
            }
        });
    }

    /// What to change, once the body has ended.
    #[must_use]
    pub fn end(self) -> Option<Edit> {
        let document = self.scanner.end().ok()?;
        if !self.is_stream || self.scanner.has_met_oversized() {
            return None;
        }
        match self.options {
            Some((at, edited)) => Some(Edit { at, by: edited? }),
            None => Some(Edit {
                at: document.close_at..document.close_at,
                by: [b",", OPTIONS].concat(),
            }),
        }
    }
}

/// What to put in the place of the value of `stream_options`.
fn edited_options(raw: &[u8]) -> Option<Vec<u8>> {
    match raw.first()? {
        b'n' => OPTIONS
            .strip_prefix(br#""stream_options":"#)
            .map(<[u8]>::to_vec),
        b'{' => edit_options(raw),
        // Not valid: for the provider to say so.
        _ => None,
    }
}

/// Edits the object `stream_options`.
fn edit_options(raw: &[u8]) -> Option<Vec<u8>> {
    let mut include_usage = None;
    let document = scan(raw, &STREAM_OPTIONS, |found| {
        if let Found::Value { span, .. } = found {
            include_usage = Some(span);
        }
    })
    .ok()?;
    match include_usage {
        Some(value) => match raw.get(value.clone())? {
            b"false" | b"null" => replace(raw, value, &[b"true"]),
            _ => None,
        },
        None => {
            let inner = raw.get(1..document.close_at)?;
            let comma: &[u8] = if inner.trim_ascii().is_empty() {
                b""
            } else {
                b","
            };
            replace(raw, document.close_at..document.close_at, &[comma, OPTION])
        }
    }
}

/// `bytes` with what is at `at` replaced.
fn replace(bytes: &[u8], at: Range<usize>, by: &[&[u8]]) -> Option<Vec<u8>> {
    Some(
        [&[bytes.get(..at.start)?], by, &[bytes.get(at.end..)?]]
            .concat()
            .concat(),
    )
}

/// Removes from a chat stream what [`ask`] made the provider add to it.
#[derive(Debug)]
pub struct UsageFilter {
    boundaries: Boundaries,
    /// Reads one event after another.
    scanner: Scanner<ChunkSlot>,
    /// The beginning of an event that is not yet complete.
    held: Vec<u8>,
    /// The current event was too large to be held, and leaves as it comes.
    is_passing: bool,
    /// The last event was removed, and so is the rest of its line ending.
    has_removed: bool,
}

impl Default for UsageFilter {
    fn default() -> Self {
        Self {
            boundaries: Boundaries::default(),
            scanner: Scanner::new(&CHUNK),
            held: Vec::new(),
            is_passing: false,
            has_removed: false,
        }
    }
}

impl UsageFilter {
    /// A filter at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` every event that `chunk` completes.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let (trailing, mut rest) = chunk
            .split_at_checked(self.boundaries.trailing(chunk))
            .unwrap_or((&[], chunk));
        if !self.has_removed {
            out.extend_from_slice(trailing);
        }
        while let Some((event, after)) = self
            .boundaries
            .next(rest)
            .and_then(|end| rest.split_at_checked(end))
        {
            rest = after;
            self.has_removed = false;
            if std::mem::take(&mut self.is_passing) {
                out.extend_from_slice(event);
            } else if self.held.is_empty() {
                self.has_removed = filter(event, &mut self.scanner, out) == Fate::Removed;
            } else {
                self.held.extend_from_slice(event);
                self.has_removed = filter(&self.held, &mut self.scanner, out) == Fate::Removed;
                self.held.clear();
            }
        }
        if self.is_passing {
            out.extend_from_slice(rest);
            return;
        }
        self.held.extend_from_slice(rest);
        if self.held.len() > HELD_MAX || is_only_comments(&self.held) {
            // A comment is no part of an event, and keeps the connection alive.
            self.is_passing = self.held.len() > HELD_MAX;
            out.append(&mut self.held);
        }
    }

    /// Appends to `out` what is still held at the end of the stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        filter(&self.held, &mut self.scanner, out);
        self.held.clear();
    }
}

/// Whether `bytes` are whole comment lines.
fn is_only_comments(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n") && comments_len(bytes) == bytes.len()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkSlot {
    Usage,
    Choices,
    Choice,
}

static CHUNK: Table<ChunkSlot> = Table::new(&[
    Interest {
        path: &["usage"],
        want: Want::Value,
        slot: ChunkSlot::Usage,
    },
    Interest {
        path: &["choices"],
        want: Want::Mark,
        slot: ChunkSlot::Choices,
    },
    Interest {
        path: &["choices", EACH],
        want: Want::Mark,
        slot: ChunkSlot::Choice,
    },
]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Forwarded,
    Removed,
}

/// How many of the first bytes are whole comment lines.
fn comments_len(bytes: &[u8]) -> usize {
    if !bytes.starts_with(b":") {
        return 0;
    }
    sse::lines(bytes)
        .find(|line| !line.content.starts_with(b":"))
        .map_or(bytes.len(), |line| line.start)
}

/// Appends an event to `out`, without what the option added to it. Comments before
/// it stay, as they do if they have left already.
fn filter(event: &[u8], scanner: &mut Scanner<ChunkSlot>, out: &mut Vec<u8>) -> Fate {
    let (comments, event) = event
        .split_at_checked(comments_len(event))
        .unwrap_or((&[], event));
    out.extend_from_slice(comments);
    // The bound holds however an event is cut into pieces.
    let is_candidate = event.len() <= HELD_MAX && memmem::find(event, br#""usage""#).is_some();
    let verdict = if is_candidate {
        judge(event, scanner)
    } else {
        None
    };
    match verdict {
        None => out.extend_from_slice(event),
        Some(Verdict::RemoveEvent) => return Fate::Removed,
        Some(Verdict::RemoveBytes(range)) => {
            out.extend_from_slice(event.get(..range.start).unwrap_or_default());
            out.extend_from_slice(event.get(range.end..).unwrap_or_default());
        }
    }
    Fate::Forwarded
}

enum Verdict {
    RemoveEvent,
    RemoveBytes(Range<usize>),
}

/// What the option added to an event. An event whose data is spread over
/// several lines, which no provider sends, is none of ours.
fn judge(event: &[u8], scanner: &mut Scanner<ChunkSlot>) -> Option<Verdict> {
    let mut all_data = sse::lines(event).filter_map(|line| line.data());
    let (data_at, data) = all_data.next()?;
    if all_data.next().is_some() {
        return None;
    }
    let (mut has_choices, mut has_choice) = (false, false);
    let mut usage = None;
    scanner.reset();
    scanner.push(data, |found| match found {
        Found::Mark {
            slot: ChunkSlot::Choices,
        } => has_choices = true,
        Found::Mark { .. } => has_choice = true,
        Found::Value {
            raw, key_at, span, ..
        } => usage = Some((raw == b"null", key_at..span.end)),
        Found::Begin { .. } | Found::Part { .. } => {}
    });
    scanner.end().ok()?;
    let (is_null, member) = usage?;
    if is_null {
        let range = with_comma(data, member)?;
        let in_event = |at: usize| data_at.checked_add(at);
        return Some(Verdict::RemoveBytes(
            in_event(range.start)?..in_event(range.end)?,
        ));
    }
    (has_choices && !has_choice).then_some(Verdict::RemoveEvent)
}

/// The bytes of a member with the comma, and the space around it, that joins it
/// to its neighbour: the one before, or for a first member the one after.
fn with_comma(data: &[u8], member: Range<usize>) -> Option<Range<usize>> {
    let before = data.get(..member.start)?.trim_ascii_end();
    if let Some(rest) = before.strip_suffix(b",") {
        return Some(rest.trim_ascii_end().len()..member.end);
    }
    let after = data.get(member.end..)?.trim_ascii_start();
    match after.strip_prefix(b",") {
        Some(rest) => {
            let end = data.len().checked_sub(rest.trim_ascii_start().len())?;
            Some(member.start..end)
        }
        None => Some(member),
    }
}

#[cfg(test)]
mod tests;
