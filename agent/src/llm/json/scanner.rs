//! The walk over a document: one byte or one string at a time, with a stack of
//! containers, each of which knows where the paths of the table lead in it.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::string::{Escape, plain, step};
use super::table::{Place, Table, Tree};
use super::taker::{Begun, Taker};
use super::{Document, Found, JsonError};

/// Deepest nesting followed. Parsers of the providers stop at or before this;
/// a level costs 4 bytes.
pub(super) const DEPTH_MAX: usize = 256;

/// Containers for which there is room from the first on: most documents need no more.
const DEPTH_MOSTLY: usize = 16;

/// Longest key, in encoded bytes, that is compared with a path: six times
/// (`\u0061`) the longest name that any path has.
pub(super) const KEY_LEN_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    /// Where this object is, or each element of this array.
    place: Place,
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

/// Walks one document after another.
#[derive(Debug)]
pub struct Scanner<S: 'static> {
    table: &'static Table<S>,
    tree: &'static Tree,
    state: State,
    stack: Vec<Frame>,
    /// Bytes of the document in earlier pieces.
    base: usize,
    /// A key that did not come in one piece, or has escapes: as encoded, with
    /// its quotes, as far as it fits.
    pub(super) key: Vec<u8>,
    key_at: usize,
    /// Where the last key leads.
    key_place: Place,
    pub(super) taker: Taker<S>,
    close_at: usize,
}

impl<S: Copy> Scanner<S> {
    /// A scanner at the beginning of a document.
    #[must_use]
    pub fn new(table: &'static Table<S>) -> Self {
        Self {
            table,
            tree: table.tree(),
            state: State::Value,
            stack: Vec::new(),
            base: 0,
            key: Vec::new(),
            key_at: 0,
            key_place: Place::NOWHERE,
            taker: Taker::default(),
            close_at: 0,
        }
    }

    /// Begins a new document, keeping what memory there is.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.stack.clear();
        self.base = 0;
        self.taker.reset();
    }

    /// Whether a wanted value was ever too large to be handed out.
    #[must_use]
    pub fn has_met_oversized(&self) -> bool {
        self.taker.has_met_oversized
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
                    if byte.is_ascii_whitespace() || self.is_byte_order_mark(byte) {
                        at.saturating_add(1)
                    } else {
                        self.structure(byte, bytes, at, &mut found)
                    }
                }
            };
        }
        self.taker.keep(bytes, &mut found);
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

    /// Takes a byte outside of strings and scalars; returns where to go on.
    fn structure(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) -> usize {
        let next = at.saturating_add(1);
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
                    self.end_value(bytes, next, found);
                } else {
                    self.state = State::Broken(JsonError::Malformed);
                }
            }
            (State::Value | State::ValueOrClose, _) => {
                return self.begin_value(byte, bytes, at, found);
            }
            (State::KeyOrClose | State::Key, b'"') => return self.begin_key(bytes, at),
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrClose, b',') => {
                let in_object = top == Some(Kind::Object);
                self.state = if in_object { State::Key } else { State::Value };
            }
            _ => self.state = State::Broken(JsonError::Malformed),
        }
        next
    }

    fn begin_key(&mut self, bytes: &[u8], at: usize) -> usize {
        let next = at.saturating_add(1);
        self.key_at = self.base.saturating_add(at);
        if let Some(name) = plain(bytes.get(next..).unwrap_or_default()) {
            self.key_place = self.tree.member(self.place(), name);
            let end = next.saturating_add(name.len()).saturating_add(1);
            // Mostly without white space.
            if bytes.get(end) == Some(&b':') {
                self.state = State::Value;
                return end.saturating_add(1);
            }
            self.state = State::Colon;
            return end;
        }
        self.key.clear();
        self.key.push(b'"');
        self.state = State::KeyString(Escape::No);
        next
    }

    fn begin_value(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) -> usize {
        let next = at.saturating_add(1);
        let depth = self.stack.len();
        let place = match self.stack.last() {
            None => Place::ROOT,
            Some(Frame {
                kind: Kind::Object, ..
            }) => self.key_place,
            Some(Frame {
                kind: Kind::Array,
                place,
            }) => *place,
        };
        let wanted = self.tree.wanted(place);
        if wanted != 0 {
            let value = Begun {
                first: byte,
                at,
                start: self.base.saturating_add(at),
                key_at: self.key_at,
                depth,
            };
            for (interest, wanted) in self.table.select(wanted) {
                self.taker.begin(*wanted, interest, &value, found);
            }
        }
        self.state = match byte {
            b'"' => {
                // Most end in the same piece, and at once.
                if let Some(text) = plain(bytes.get(next..).unwrap_or_default()) {
                    self.taker.add_text(text, found);
                    let end = next.saturating_add(text.len()).saturating_add(1);
                    self.end_value(bytes, end, found);
                    return end;
                }
                State::String(Escape::No)
            }
            b'{' => self.open(Kind::Object, place),
            b'[' => self.open(Kind::Array, self.tree.element(place)),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Scalar,
            _ => State::Broken(JsonError::Malformed),
        };
        next
    }

    /// Begins a container.
    fn open(&mut self, kind: Kind, place: Place) -> State {
        if self.stack.len() >= DEPTH_MAX {
            return State::Broken(JsonError::TooDeep);
        }
        if self.stack.is_empty() {
            self.stack.reserve(DEPTH_MOSTLY);
        }
        self.stack.push(Frame { kind, place });
        match kind {
            Kind::Object => State::KeyOrClose,
            Kind::Array => State::ValueOrClose,
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
        self.taker
            .end(depth, end_at, bytes.get(..end).unwrap_or_default(), found);
    }

    /// Reads on in a string that is a value; returns where to go on.
    fn string(
        &mut self,
        escape: Escape,
        bytes: &[u8],
        at: usize,
        found: &mut impl FnMut(Found<'_, S>),
    ) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let step = step(escape, rest);
        self.taker
            .add_text(rest.get(..step.plain).unwrap_or_default(), found);
        if let Some(unit) = step.unit {
            self.taker.add_unit(unit, found);
        }
        let next = at.saturating_add(step.consumed);
        match step.escape {
            Some(escape) => self.state = State::String(escape),
            None => self.end_value(bytes, next, found),
        }
        next
    }

    /// Reads on in a key; returns where to go on.
    fn key_string(&mut self, escape: Escape, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let step = step(escape, rest);
        // Nobody asks for anything in most objects: their keys need no reading.
        if self.place() != Place::NOWHERE && self.key.len() <= KEY_LEN_MAX {
            let read = rest.get(..step.consumed).unwrap_or_default();
            let room = KEY_LEN_MAX.saturating_add(1).saturating_sub(self.key.len());
            self.key.extend_from_slice(read.get(..room).unwrap_or(read));
        }
        match step.escape {
            Some(escape) => self.state = State::KeyString(escape),
            None => {
                self.key_place = self.place_of_encoded_key();
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
        let Some(length) = rest.iter().position(is_delimiter) else {
            return bytes.len();
        };
        let end = at.saturating_add(length);
        self.end_value(bytes, end, found);
        end
    }

    /// Where the current container is, or each of its elements.
    fn place(&self) -> Place {
        self.stack
            .last()
            .map_or(Place::NOWHERE, |frame| frame.place)
    }

    /// Where the key leads that was gathered.
    fn place_of_encoded_key(&self) -> Place {
        let place = self.place();
        if place == Place::NOWHERE || self.key.len() > KEY_LEN_MAX {
            return Place::NOWHERE;
        }
        let decoded: String = serde_json::from_slice(&self.key).unwrap_or_default();
        self.tree.member(place, decoded.as_bytes())
    }
}
