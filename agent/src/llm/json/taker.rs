//! Values on their way out, while the walk over the document goes on.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::{Found, Interest, Want};

/// Largest value handed out, in bytes. A usage object is below 2 KB.
pub(super) const VALUE_LEN_MAX: usize = 64 * 1024;

/// A value that begins.
pub(super) struct Begun {
    /// Its first byte.
    pub(super) first: u8,
    /// Where it is in the current piece.
    pub(super) at: usize,
    /// Where it is in the document.
    pub(super) start: usize,
    /// Where its key is in the document.
    pub(super) key_at: usize,
    /// How many containers it is in.
    pub(super) depth: usize,
}

/// Takes at most one value of each kind at a time.
#[derive(Debug)]
pub(super) struct Taker<S> {
    text: Option<Text<S>>,
    source: Option<Source<S>>,
    capture: Option<Capture<S>>,
    /// Bytes of the captured value in earlier pieces.
    pub(super) captured: Vec<u8>,
    /// Whether a value was ever too large.
    pub(super) has_met_oversized: bool,
}

/// A string being handed out.
#[derive(Debug)]
struct Text<S> {
    slot: S,
    /// The first half of a pair of UTF-16.
    half: Option<u16>,
}

/// A value being handed out as it is encoded.
#[derive(Debug)]
struct Source<S> {
    slot: S,
    depth: usize,
    /// Index into the current piece of what is not handed out yet.
    pending_from: usize,
}

/// A value being copied out.
#[derive(Debug)]
struct Capture<S> {
    slot: S,
    depth: usize,
    key_at: usize,
    start: usize,
    /// Index into the current piece from which bytes are not yet in the buffer.
    pending_from: usize,
    is_oversized: bool,
}

impl<S> Default for Taker<S> {
    fn default() -> Self {
        Self {
            text: None,
            source: None,
            capture: None,
            captured: Vec::new(),
            has_met_oversized: false,
        }
    }
}

impl<S: Copy> Taker<S> {
    /// Forgets what is under way.
    pub(super) fn reset(&mut self) {
        self.text = None;
        self.source = None;
        self.capture = None;
        self.captured.clear();
    }

    /// A value that was asked for begins.
    pub(super) fn begin(
        &mut self,
        wanted: Interest<S>,
        place: usize,
        value: &Begun,
        found: &mut impl FnMut(Found<'_, S>),
    ) {
        let slot = wanted.slot;
        match wanted.want {
            Want::Mark if value.first != b'n' => found(Found::Mark { slot }),
            Want::Text if value.first == b'"' => {
                self.text = Some(Text { slot, half: None });
                found(Found::Begin { slot, place });
            }
            Want::Source if self.source.is_none() => {
                self.source = Some(Source {
                    slot,
                    depth: value.depth,
                    pending_from: value.at,
                });
                found(Found::Begin { slot, place });
            }
            Want::Scalar if !matches!(value.first, b'{' | b'[') => self.begin_capture(slot, value),
            Want::Value => self.begin_capture(slot, value),
            Want::Mark | Want::Text | Want::Source | Want::Scalar => {}
        }
    }

    fn begin_capture(&mut self, slot: S, value: &Begun) {
        if self.capture.is_some() {
            return;
        }
        self.captured.clear();
        self.capture = Some(Capture {
            slot,
            depth: value.depth,
            key_at: value.key_at,
            start: value.start,
            pending_from: value.at,
            is_oversized: false,
        });
    }

    /// More of the current string was read, which is text as it is.
    pub(super) fn add_text(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_, S>)) {
        if let Some(text) = &mut self.text
            && !bytes.is_empty()
        {
            text.end_half(found);
            let slot = text.slot;
            found(Found::Part { slot, bytes });
        }
    }

    /// An escape of the current string was read.
    pub(super) fn add_unit(&mut self, unit: u16, found: &mut impl FnMut(Found<'_, S>)) {
        let Some(text) = &mut self.text else { return };
        let half = text.half.take();
        for decoded in char::decode_utf16(half.into_iter().chain([unit])) {
            text.end_half(found);
            match decoded {
                Ok(whole) => text.hand_out(whole, found),
                // Its other half may be to come.
                Err(first) if (0xd800..0xdc00).contains(&first.unpaired_surrogate()) => {
                    text.half = Some(first.unpaired_surrogate());
                }
                Err(_) => text.hand_out(char::REPLACEMENT_CHARACTER, found),
            }
        }
    }

    /// Keeps of a piece what belongs to a value that goes on in the next.
    pub(super) fn keep(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_, S>)) {
        if let Some(source) = &mut self.source {
            source.hand_out(bytes, found);
            source.pending_from = 0;
        }
        let Some(capture) = &mut self.capture else {
            return;
        };
        let pending = bytes.get(capture.pending_from..).unwrap_or_default();
        if self.captured.len().saturating_add(pending.len()) > VALUE_LEN_MAX {
            capture.is_oversized = true;
            self.captured.clear();
        }
        if !capture.is_oversized {
            self.captured.extend_from_slice(pending);
        }
        capture.pending_from = 0;
    }

    /// The value at `depth` has ended, at `end_at` in the document; `bytes` is
    /// the current piece up to there.
    pub(super) fn end(
        &mut self,
        depth: usize,
        end_at: usize,
        bytes: &[u8],
        found: &mut impl FnMut(Found<'_, S>),
    ) {
        if self.text.is_none() && self.source.is_none() && self.capture.is_none() {
            return;
        }
        if let Some(mut text) = self.text.take() {
            text.end_half(found);
        }
        if let Some(source) = self.source.take_if(|source| source.depth == depth) {
            source.hand_out(bytes, found);
        }
        if let Some(capture) = self.capture.take_if(|capture| capture.depth == depth) {
            let pending = bytes.get(capture.pending_from..).unwrap_or_default();
            let length = self.captured.len().saturating_add(pending.len());
            if capture.is_oversized || length > VALUE_LEN_MAX {
                self.has_met_oversized = true;
                return;
            }
            let raw = if self.captured.is_empty() {
                pending
            } else {
                self.captured.extend_from_slice(pending);
                &self.captured
            };
            let Capture {
                slot,
                key_at,
                start,
                ..
            } = capture;
            found(Found::Value {
                slot,
                raw,
                key_at,
                span: start..end_at,
            });
        }
    }
}

impl<S: Copy> Text<S> {
    /// The first half of a pair is no character without the other.
    fn end_half(&mut self, found: &mut impl FnMut(Found<'_, S>)) {
        if self.half.take().is_some() {
            self.hand_out(char::REPLACEMENT_CHARACTER, found);
        }
    }

    fn hand_out(&self, decoded: char, found: &mut impl FnMut(Found<'_, S>)) {
        let mut encoded = [0; 4];
        let bytes = decoded.encode_utf8(&mut encoded).as_bytes();
        let slot = self.slot;
        found(Found::Part { slot, bytes });
    }
}

impl<S: Copy> Source<S> {
    fn hand_out(&self, bytes: &[u8], found: &mut impl FnMut(Found<'_, S>)) {
        let bytes = bytes.get(self.pending_from..).unwrap_or_default();
        let slot = self.slot;
        if !bytes.is_empty() {
            found(Found::Part { slot, bytes });
        }
    }
}
