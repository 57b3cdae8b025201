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
    /// The string being measured, and its length so far.
    text: Option<(S, u64)>,
    measure: Option<Measure<S>>,
    capture: Option<Capture<S>>,
    /// Bytes of the captured value in earlier pieces.
    pub(super) captured: Vec<u8>,
    /// Whether a value was ever too large.
    pub(super) has_met_oversized: bool,
}

/// A value being measured.
#[derive(Debug)]
struct Measure<S> {
    slot: S,
    depth: usize,
    start: usize,
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
            measure: None,
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
        self.measure = None;
        self.capture = None;
        self.captured.clear();
    }

    /// A value that was asked for begins.
    pub(super) fn begin(
        &mut self,
        wanted: Interest<S>,
        value: &Begun,
        found: &mut impl FnMut(Found<'_, S>),
    ) {
        let (slot, depth, start) = (wanted.slot, value.depth, value.start);
        match wanted.want {
            Want::Mark if value.first != b'n' => found(Found::Mark { slot }),
            Want::Text if value.first == b'"' => self.text = Some((slot, 0)),
            Want::Size => {
                self.measure.get_or_insert(Measure { slot, depth, start });
            }
            Want::Scalar if !matches!(value.first, b'{' | b'[') => self.begin_capture(slot, value),
            Want::Value => self.begin_capture(slot, value),
            Want::Mark | Want::Text | Want::Scalar => {}
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

    /// More of the current string was read.
    pub(super) fn add_text(&mut self, text_bytes: u64) {
        if let Some((_, length)) = &mut self.text {
            *length = length.saturating_add(text_bytes);
        }
    }

    /// Keeps of a piece what belongs to a value that goes on in the next.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
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
        if let Some((slot, bytes)) = self.text.take() {
            found(Found::Length { slot, bytes });
        }
        if let Some(measure) = self.measure.take_if(|measure| measure.depth == depth) {
            let bytes = end_at.saturating_sub(measure.start) as u64;
            found(Found::Length {
                slot: measure.slot,
                bytes,
            });
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
