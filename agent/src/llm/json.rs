//! Finds a few values in a JSON document of any size, fed in pieces.
//!
//! A request may be 30 MB with `model` as its last member, so documents are
//! neither held nor built: the scanner walks the structure, remembers where it
//! is, and hands out the values somebody asked for. Memory is bounded by the
//! nesting depth and the size of one captured value.
//!
//! It is lenient where nothing depends on it: scalars and the inside of strings
//! are not validated, and whoever receives a value parses it. It is strict about
//! structure, so that a position it reports is where a parser would see it.
//! Members repeated under one key are all reported, in order: the last one wins
//! with a receiver that overwrites.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::ops::Range;

use memchr::memchr2;
use thiserror::Error;

/// Deepest nesting followed. Parsers of the providers stop at or before this;
/// a level costs 16 bytes.
const DEPTH_MAX: usize = 256;

/// Longest key, in encoded bytes, that is compared with a path: six times
/// (`\u0061`) the longest name that any path has.
const KEY_LEN_MAX: usize = 256;

/// Largest value handed out, in bytes. A usage object is below 2 KB.
const VALUE_LEN_MAX: usize = 64 * 1024;

/// A place in a document: member names from the root; [`EACH`] is every element
/// of an array.
pub type Path = &'static [&'static str];

/// The step of a [`Path`] into every element of an array.
pub const EACH: &str = "*";

/// What is wanted of the value at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its bytes. A wanted value within another wanted value is not reported.
    Value,
    /// Its bytes, if it is no object or array.
    Scalar,
    /// The length of a string, in bytes of UTF-8 after decoding its escapes;
    /// nothing of any other value.
    Text,
    /// The length of its encoded bytes. Does not nest.
    Size,
    /// Only that it is there and does not begin like `null`.
    Mark,
}

/// Asks for the values at a path. `slot` is handed back with them.
#[derive(Debug, Clone, Copy)]
pub struct Interest<S: 'static> {
    /// Where.
    pub path: Path,
    /// What.
    pub want: Want,
    /// Under which name.
    pub slot: S,
}

/// Most interests in one table: one bit each.
const INTERESTS_MAX: usize = u64::BITS as usize;

/// A value that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a, S> {
    /// For [`Want::Value`] and [`Want::Scalar`].
    Value {
        /// Of the interest.
        slot: S,
        /// The value as encoded.
        raw: &'a [u8],
        /// Where the opening quote of the member's key is; for an element of an
        /// array, where some earlier key is.
        key_at: usize,
        /// Where the value is, in bytes from the beginning of the document.
        span: Range<usize>,
    },
    /// For [`Want::Text`] and [`Want::Size`].
    Length {
        /// Of the interest.
        slot: S,
        /// In bytes.
        bytes: u64,
    },
    /// For [`Want::Mark`].
    Mark {
        /// Of the interest.
        slot: S,
    },
}

/// A whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The position of the closing brace or bracket; the end, for a scalar.
    pub close_at: usize,
}

/// Why there is no whole document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Nothing but white space.
    #[error("no document")]
    Empty,
    /// It ended within the document.
    #[error("the document is cut short")]
    Truncated,
    /// The structure is not that of JSON.
    #[error("not JSON")]
    Malformed,
    /// Nested deeper than is followed.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    /// Interests whose path leads into this container.
    live: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    /// After `[`.
    ValueOrClose,
    /// After `{`.
    KeyOrClose,
    Key,
    Colon,
    CommaOrClose,
    String(Escape),
    KeyString(Escape),
    Scalar,
    Done,
    Broken(JsonError),
}

/// Where in an escape sequence a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    /// After the backslash.
    Begun,
    /// After `\u` and some digits, which make `code`.
    Hex {
        digits: u8,
        code: u16,
    },
}

/// A value being copied out.
#[derive(Debug)]
struct Capture {
    interests: u64,
    /// Length of the stack when the value began.
    depth: usize,
    key_at: usize,
    start: usize,
    /// Index into the current piece from which bytes are not yet in the buffer.
    pending_from: usize,
    oversized: bool,
}

/// A value being measured.
#[derive(Debug)]
struct Measure {
    interest: usize,
    depth: usize,
    start: usize,
}

/// Walks one document after another.
#[derive(Debug)]
pub struct Scanner<S: 'static> {
    interests: &'static [Interest<S>],
    state: State,
    stack: Vec<Frame>,
    /// Bytes of the document in earlier pieces.
    base: usize,
    /// The encoded key being read, as far as it fits; with its quotes.
    key: Vec<u8>,
    key_at: usize,
    /// Interests that the last key leads to.
    key_live: u64,
    text: Option<(usize, u64)>,
    measure: Option<Measure>,
    capture: Option<Capture>,
    /// Bytes of the captured value in earlier pieces.
    captured: Vec<u8>,
    close_at: usize,
    oversized: bool,
}

impl<S: Copy> Scanner<S> {
    /// A scanner at the beginning of a document. Interests past the 64th are
    /// not looked for.
    #[must_use]
    pub fn new(interests: &'static [Interest<S>]) -> Self {
        debug_assert!(
            interests.len() <= INTERESTS_MAX,
            "a table has more than 64 interests"
        );
        Self {
            interests,
            state: State::Value,
            stack: Vec::new(),
            base: 0,
            key: Vec::new(),
            key_at: 0,
            key_live: 0,
            text: None,
            measure: None,
            capture: None,
            captured: Vec::new(),
            close_at: 0,
            oversized: false,
        }
    }

    /// Begins a new document, keeping what memory there is.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.stack.clear();
        self.base = 0;
        self.text = None;
        self.measure = None;
        self.capture = None;
        self.captured.clear();
    }

    /// Whether a wanted value was ever too large to be handed out.
    #[must_use]
    pub fn has_met_oversized(&self) -> bool {
        self.oversized
    }

    /// Reads the next piece of the document.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Found<'_, S>)) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at = match self.state {
                State::String(escape) => self.string(escape, bytes, at, &mut found),
                State::KeyString(escape) => self.key_string(escape, bytes, at),
                State::Scalar => self.scalar(bytes, at, &mut found),
                State::Broken(_) => break,
                State::Value
                | State::ValueOrClose
                | State::KeyOrClose
                | State::Key
                | State::Colon
                | State::CommaOrClose
                | State::Done => {
                    if !byte.is_ascii_whitespace() && !self.is_byte_order_mark(byte) {
                        self.structure(byte, bytes, at, &mut found);
                    }
                    at.saturating_add(1)
                }
            };
        }
        if let Some(capture) = &mut self.capture {
            let pending = bytes.get(capture.pending_from..).unwrap_or_default();
            if self.captured.len().saturating_add(pending.len()) > VALUE_LEN_MAX {
                capture.oversized = true;
                self.captured.clear();
            }
            if !capture.oversized {
                self.captured.extend_from_slice(pending);
            }
            capture.pending_from = 0;
        }
        self.base = self.base.saturating_add(bytes.len());
    }

    /// Says whether what was read is a whole document. To be called at its end:
    /// a number at the root has no other.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn end(&self) -> Result<Document, JsonError> {
        match self.state {
            State::Done => Ok(Document {
                close_at: self.close_at,
            }),
            State::Scalar if self.stack.is_empty() => Ok(Document {
                close_at: self.base,
            }),
            State::Value if self.stack.is_empty() => Err(JsonError::Empty),
            State::Broken(error) => Err(error),
            State::Value
            | State::ValueOrClose
            | State::KeyOrClose
            | State::Key
            | State::Colon
            | State::CommaOrClose
            | State::String(_)
            | State::KeyString(_)
            | State::Scalar => Err(JsonError::Truncated),
        }
    }

    /// A byte order mark before the document is not JSON, and common.
    fn is_byte_order_mark(&self, byte: u8) -> bool {
        matches!(byte, 0xef | 0xbb | 0xbf) && self.state == State::Value && self.stack.is_empty()
    }

    fn structure(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) {
        let top = self.stack.last().map(|frame| frame.kind);
        match (self.state, byte) {
            (State::ValueOrClose, b']')
            | (State::KeyOrClose, b'}')
            | (State::CommaOrClose, b']' | b'}') => {
                let closes = if byte == b'}' {
                    Kind::Object
                } else {
                    Kind::Array
                };
                if top == Some(closes) {
                    self.stack.pop();
                    self.end_value(bytes, at.saturating_add(1), found);
                } else {
                    self.state = State::Broken(JsonError::Malformed);
                }
            }
            (State::Value | State::ValueOrClose, _) => self.begin_value(byte, at, found),
            (State::KeyOrClose | State::Key, b'"') => {
                self.key_at = self.base.saturating_add(at);
                self.key.clear();
                self.key.push(byte);
                self.state = State::KeyString(Escape::No);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrClose, b',') => {
                self.state = if top == Some(Kind::Object) {
                    State::Key
                } else {
                    State::Value
                };
            }
            _ => self.state = State::Broken(JsonError::Malformed),
        }
    }

    fn begin_value(&mut self, byte: u8, at: usize, found: &mut impl FnMut(Found<'_, S>)) {
        let depth = self.stack.len();
        let live = match self.stack.last() {
            None => u64::MAX,
            Some(Frame { live: 0, .. }) => 0,
            Some(Frame {
                kind: Kind::Object, ..
            }) => self.key_live,
            Some(Frame {
                kind: Kind::Array,
                live,
            }) => self.lead_by(EACH, *live),
        };
        let mut deeper = 0;
        for (interest, wanted) in bits(live, self.interests) {
            if wanted.path.len() > depth {
                deeper |= bit(interest);
            } else if wanted.path.len() == depth {
                self.hit(interest, *wanted, byte, at, found);
            }
        }
        match byte {
            b'"' => self.state = State::String(Escape::No),
            b'{' | b'[' if depth >= DEPTH_MAX => self.state = State::Broken(JsonError::TooDeep),
            b'{' => {
                self.stack.push(Frame {
                    kind: Kind::Object,
                    live: deeper,
                });
                self.state = State::KeyOrClose;
            }
            b'[' => {
                self.stack.push(Frame {
                    kind: Kind::Array,
                    live: deeper,
                });
                self.state = State::ValueOrClose;
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.state = State::Scalar,
            _ => self.state = State::Broken(JsonError::Malformed),
        }
    }

    /// A value that was asked for begins at `at`.
    fn hit(
        &mut self,
        interest: usize,
        wanted: Interest<S>,
        byte: u8,
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) {
        let depth = self.stack.len();
        let start = self.base.saturating_add(at);
        match wanted.want {
            Want::Mark if byte != b'n' => found(Found::Mark { slot: wanted.slot }),
            Want::Text if byte == b'"' => self.text = Some((interest, 0)),
            Want::Scalar if !matches!(byte, b'{' | b'[') => self.capture(interest, at),
            Want::Value => self.capture(interest, at),
            Want::Mark | Want::Text | Want::Scalar => {}
            Want::Size => {
                self.measure.get_or_insert(Measure {
                    interest,
                    depth,
                    start,
                });
            }
        }
    }

    /// Copies out the value that begins at `at`, unless it is within one that is.
    fn capture(&mut self, interest: usize, at: usize) {
        let start = self.base.saturating_add(at);
        match &mut self.capture {
            Some(capture) if capture.start == start => capture.interests |= bit(interest),
            Some(_) => {}
            None => {
                self.captured.clear();
                self.capture = Some(Capture {
                    interests: bit(interest),
                    depth: self.stack.len(),
                    key_at: self.key_at,
                    start,
                    pending_from: at,
                    oversized: false,
                });
            }
        }
    }

    /// A value ended before index `end` of this piece.
    fn end_value(&mut self, bytes: &[u8], end: usize, found: &mut impl FnMut(Found<'_, S>)) {
        let depth = self.stack.len();
        let end_at = self.base.saturating_add(end);
        self.close_at = end_at.saturating_sub(1);
        self.state = if depth == 0 {
            State::Done
        } else {
            State::CommaOrClose
        };
        if let Some((interest, length)) = self.text.take()
            && let Some(wanted) = self.interests.get(interest)
        {
            found(Found::Length {
                slot: wanted.slot,
                bytes: length,
            });
        }
        if let Some(measure) = self.measure.take_if(|measure| measure.depth == depth)
            && let Some(wanted) = self.interests.get(measure.interest)
        {
            let length = end_at.saturating_sub(measure.start);
            found(Found::Length {
                slot: wanted.slot,
                bytes: length as u64,
            });
        }
        if let Some(capture) = self.capture.take_if(|capture| capture.depth == depth) {
            let pending = bytes.get(capture.pending_from..end).unwrap_or_default();
            let length = self.captured.len().saturating_add(pending.len());
            if capture.oversized || length > VALUE_LEN_MAX {
                self.oversized = true;
                return;
            }
            let raw = if self.captured.is_empty() {
                pending
            } else {
                self.captured.extend_from_slice(pending);
                &self.captured
            };
            for (_, wanted) in bits(capture.interests, self.interests) {
                let (slot, key_at) = (wanted.slot, capture.key_at);
                found(Found::Value {
                    slot,
                    raw,
                    key_at,
                    span: capture.start..end_at,
                });
            }
        }
    }

    /// Reads on in a string that is a value; returns where to go on.
    fn string(
        &mut self,
        escape: Escape,
        bytes: &[u8],
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) -> usize {
        let step = string_step(escape, bytes.get(at..).unwrap_or_default());
        if let Some((_, length)) = &mut self.text {
            *length = length.saturating_add(step.text_bytes);
        }
        let next = at.saturating_add(step.consumed);
        match step.escape {
            Some(escape) => self.state = State::String(escape),
            None => self.end_value(bytes, next, found),
        }
        next
    }

    fn key_string(&mut self, escape: Escape, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let step = string_step(escape, rest);
        let live = self.stack.last().map_or(0, |frame| frame.live);
        // Nobody asks for anything in most objects: their keys need no reading.
        if live != 0 && self.key.len() <= KEY_LEN_MAX {
            let read = rest.get(..step.consumed).unwrap_or_default();
            let room = KEY_LEN_MAX.saturating_add(1).saturating_sub(self.key.len());
            self.key.extend_from_slice(read.get(..room).unwrap_or(read));
        }
        match step.escape {
            Some(escape) => self.state = State::KeyString(escape),
            None => {
                self.key_live = self.lead_by_key(live);
                self.state = State::Colon;
            }
        }
        at.saturating_add(step.consumed)
    }

    /// Reads on in a number or a literal, up to what delimits it.
    fn scalar(&mut self, bytes: &[u8], at: usize, found: &mut impl FnMut(Found<'_, S>)) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let is_delimiter =
            |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        match rest.iter().position(is_delimiter) {
            None => bytes.len(),
            Some(length) => {
                let end = at.saturating_add(length);
                self.end_value(bytes, end, found);
                end
            }
        }
    }

    /// Those of `live` whose path goes on with the key just read.
    fn lead_by_key(&self, live: u64) -> u64 {
        if live == 0 || self.key.len() > KEY_LEN_MAX {
            return 0;
        }
        let inner = self
            .key
            .strip_prefix(b"\"")
            .and_then(|key| key.strip_suffix(b"\""))
            .unwrap_or(&[]);
        if inner.contains(&b'\\') {
            let decoded: String = serde_json::from_slice(&self.key).unwrap_or_default();
            self.lead_by(&decoded, live)
        } else {
            self.lead_by(std::str::from_utf8(inner).unwrap_or_default(), live)
        }
    }

    /// Those of `live` whose path goes on with `step` from the current container.
    fn lead_by(&self, step: &str, live: u64) -> u64 {
        let depth = self.stack.len().saturating_sub(1);
        bits(live, self.interests)
            .filter(|(_, wanted)| wanted.path.get(depth).is_some_and(|name| *name == step))
            .fold(0, |mask, (interest, _)| mask | bit(interest))
    }
}

/// Reads a whole document that is at hand.
///
/// # Errors
/// Says why it is not a document; what was found before that was reported.
pub fn scan<S: Copy>(
    document: &[u8],
    interests: &'static [Interest<S>],
    found: impl FnMut(Found<'_, S>),
) -> Result<Document, JsonError> {
    let mut scanner = Scanner::new(interests);
    scanner.push(document, found);
    scanner.end()
}

fn bit(interest: usize) -> u64 {
    u32::try_from(interest)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift))
        .unwrap_or(0)
}

fn bits<S>(
    mask: u64,
    interests: &'static [Interest<S>],
) -> impl Iterator<Item = (usize, &'static Interest<S>)> {
    interests
        .iter()
        .enumerate()
        .filter(move |(interest, _)| mask & bit(*interest) != 0)
}

/// How far a string was read.
struct StringStep {
    consumed: usize,
    /// Length of what was read, in UTF-8 after decoding.
    text_bytes: u64,
    /// Where in an escape the string goes on; `None` when its closing quote was
    /// consumed.
    escape: Option<Escape>,
}

/// Reads up to the end of the string, of an escape, or of `bytes`. `bytes` is
/// not empty.
fn string_step(escape: Escape, bytes: &[u8]) -> StringStep {
    let after_one = |text_bytes, escape| StringStep {
        consumed: 1,
        text_bytes,
        escape,
    };
    let first = bytes.first().copied().unwrap_or_default();
    match escape {
        Escape::No => match memchr2(b'"', b'\\', bytes) {
            None => StringStep {
                consumed: bytes.len(),
                text_bytes: bytes.len() as u64,
                escape: Some(Escape::No),
            },
            Some(length) => StringStep {
                consumed: length.saturating_add(1),
                text_bytes: length as u64,
                escape: (bytes.get(length) == Some(&b'\\')).then_some(Escape::Begun),
            },
        },
        Escape::Begun if first == b'u' => after_one(0, Some(Escape::Hex { digits: 0, code: 0 })),
        Escape::Begun => after_one(1, Some(Escape::No)),
        Escape::Hex { digits, code } => {
            let Some(digit) = char::from(first).to_digit(16) else {
                // Not an escape after all; whoever parses the string will say so.
                return StringStep {
                    consumed: 0,
                    text_bytes: 0,
                    escape: Some(Escape::No),
                };
            };
            let code = code.wrapping_shl(4) | u16::try_from(digit).unwrap_or(0);
            if digits < 3 {
                let digits = digits.saturating_add(1);
                return after_one(0, Some(Escape::Hex { digits, code }));
            }
            let length = match code {
                0..0x80 => 1,
                0x80..0x800 => 2,
                // Half of a pair that makes four bytes.
                0xd800..0xe000 => 2,
                0x800.. => 3,
            };
            after_one(length, Some(Escape::No))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Slot {
        Model,
        Usage,
        Input,
        Finish,
        Content,
        Tools,
        Choice,
    }

    const TABLE: &[Interest<Slot>] = &[
        Interest {
            path: &["model"],
            want: Want::Value,
            slot: Slot::Model,
        },
        Interest {
            path: &["usage"],
            want: Want::Value,
            slot: Slot::Usage,
        },
        Interest {
            path: &["response", "usage", "input"],
            want: Want::Value,
            slot: Slot::Input,
        },
        Interest {
            path: &["choices", EACH, "finish_reason"],
            want: Want::Value,
            slot: Slot::Finish,
        },
        Interest {
            path: &["choices", EACH],
            want: Want::Mark,
            slot: Slot::Choice,
        },
        Interest {
            path: &["choices", EACH, "delta", "content"],
            want: Want::Text,
            slot: Slot::Content,
        },
        Interest {
            path: &["tools"],
            want: Want::Size,
            slot: Slot::Tools,
        },
    ];

    /// What was found, in words, and how the document ended.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Result<Document, JsonError>) {
        let mut all = Vec::new();
        let mut scanner = Scanner::new(TABLE);
        let document = pieces.concat();
        for piece in pieces {
            scanner.push(piece, |found| {
                all.push(match found {
                    Found::Value {
                        slot, raw, span, ..
                    } => {
                        assert_eq!(&document[span], raw);
                        format!("{slot:?}={}", String::from_utf8_lossy(raw))
                    }
                    Found::Length { slot, bytes } => format!("{slot:?}:{bytes}"),
                    Found::Mark { slot } => format!("{slot:?}!"),
                });
            });
        }
        (all, scanner.end())
    }

    fn check(document: &str, expected: &[&str]) {
        let whole = read(&[document.as_bytes()]);
        assert_eq!(whole.0, expected, "{document}");
        assert!(whole.1.is_ok(), "{document}: {whole:?}");
        assert!(
            serde_json::from_str::<serde_json::Value>(document).is_ok(),
            "{document}"
        );
        for at in 0..=document.len() {
            let (head, tail) = document.as_bytes().split_at(at);
            assert_eq!(read(&[head, tail]), whole, "{document} split at {at}");
        }
        let bytes: Vec<&[u8]> = document.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), whole, "{document} byte by byte");
        for at in 0..document.trim_end().len() {
            let (found, end) = read(&[&document.as_bytes()[..at]]);
            assert!(
                whole.0.starts_with(&found),
                "{document} cut at {at}: {found:?}"
            );
            assert!(end.is_err(), "{document} cut at {at}");
        }
    }

    #[test]
    fn values_are_found_wherever_they_stand() {
        check(
            r#"{"model":"m","usage":{"a":[1,{"b":"}"}]}}"#,
            &[r#"Model="m""#, r#"Usage={"a":[1,{"b":"}"}]}"#],
        );
        check(
            "\n { \"x\" : [ { \"model\" : 1 } ] , \"model\" : \"last\" } \n",
            &[r#"Model="last""#],
        );
        check(
            r#"{"response":{"usage":{"input":12}},"input":1,"usage":null}"#,
            &["Input=12", "Usage=null"],
        );
        check(
            r#"{"choices":[{"delta":{"content":"hi"},"finish_reason":null},{"finish_reason":"stop"}]}"#,
            &[
                "Choice!",
                "Content:2",
                "Finish=null",
                "Choice!",
                r#"Finish="stop""#,
            ],
        );
        check(
            r#"{"choices":[],"response":[],"usage":{},"tools":[ {"a":1} ]}"#,
            &["Usage={}", "Tools:11"],
        );
    }

    #[test]
    fn every_value_of_a_repeated_key_is_found_in_order() {
        check(
            r#"{"model":"a","model":"b"}"#,
            &[r#"Model="a""#, r#"Model="b""#],
        );
    }

    #[test]
    fn escaped_keys_are_decoded() {
        check(
            r#"{"\u006dod\u0065l":"m","mode\\l":1,"\"model":2}"#,
            &[r#"Model="m""#],
        );
    }

    #[test]
    fn text_is_measured_as_utf8_after_decoding() {
        let cases = [
            (r#""""#, 0),
            (r#""a\nb\"\\""#, 5),
            ("\"\u{e9}\u{20ac}\"", 5),
            (r#""\u0041\u00e9\u20ac""#, 6),
            (r#""\ud83d\ude00""#, 4),
        ];
        for (string, length) in cases {
            check(
                &format!(r#"{{"choices":[{{"delta":{{"content":{string}}}}}]}}"#),
                &["Choice!", &format!("Content:{length}")],
            );
        }
        check(r#"{"choices":[{"delta":{"content":["x"]}}]}"#, &["Choice!"]);
    }

    #[test]
    fn marks_are_not_set_by_null() {
        check(r#"{"choices":[null]}"#, &[]);
    }

    #[test]
    fn malformed_structure_ends_the_reading() {
        let cases = [
            (r#"{"model" "m"}"#, JsonError::Malformed),
            (r#"{"model":"m"]"#, JsonError::Malformed),
            (r#"{model:1}"#, JsonError::Malformed),
            (r#"[1,]"#, JsonError::Malformed),
            (r#"{"a":1,}"#, JsonError::Malformed),
            (r#"{} {}"#, JsonError::Malformed),
            ("<html>", JsonError::Malformed),
            ("", JsonError::Empty),
            (" \n", JsonError::Empty),
        ];
        for (document, error) in cases {
            assert_eq!(read(&[document.as_bytes()]).1, Err(error), "{document}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(read(&[deep.as_bytes()]).1, Err(JsonError::TooDeep));
        let fits = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(read(&[fits.as_bytes()]).1.is_ok());

        let large = format!(r#"{{"model":"{}","usage":1}}"#, "x".repeat(VALUE_LEN_MAX));
        for piece in [large.len(), 1000, 7] {
            let mut scanner = Scanner::new(TABLE);
            let mut slots = Vec::new();
            for bytes in large.as_bytes().chunks(piece) {
                scanner.push(bytes, |found| {
                    if let Found::Value { slot, .. } = found {
                        slots.push(slot);
                    }
                });
            }
            assert_eq!(slots, [Slot::Usage]);
            assert!(scanner.has_met_oversized() && scanner.end().is_ok());
            assert!(scanner.captured.capacity() <= 2 * VALUE_LEN_MAX);
        }
    }

    #[test]
    fn a_key_of_any_length_costs_no_memory() {
        let document = format!(r#"{{"{}":1,"model":2}}"#, "k".repeat(100_000));
        for piece in [document.len(), 11] {
            let pieces: Vec<&[u8]> = document.as_bytes().chunks(piece).collect();
            assert_eq!(read(&pieces).0, ["Model=2"]);
        }
        let mut scanner = Scanner::new(TABLE);
        scanner.push(document.as_bytes(), |_| {});
        assert!(scanner.key.capacity() <= 2 * KEY_LEN_MAX + 2);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(read(&[b"\xef\xbb\xbf{\"model\":1}"]).0, ["Model=1"]);
    }

    #[test]
    fn a_scanner_reads_one_document_after_another() {
        let mut scanner = Scanner::new(TABLE);
        scanner.push(br#"{"model":"cut"#, |_| {});
        scanner.reset();
        let mut count = 0;
        scanner.push(br#"{"model":1}"#, |_| count += 1);
        assert_eq!((count, scanner.end()), (1, Ok(Document { close_at: 10 })));
    }
}
