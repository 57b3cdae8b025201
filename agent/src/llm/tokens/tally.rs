//! Counts the tokens of text that comes in pieces.
//!
//! Most exchanges end with the provider's own count, and counting takes a tenth
//! of a microsecond a byte: so text is held, within a bound, and counted when it
//! has to be: when there is too much of it, or when no usage was stated.

use std::marker::PhantomData;

use super::split::piece;
use super::vocabulary::Vocabulary;
use super::{Estimate, Method, merge};

/// Past the beginning, a stretch of this many bytes is counted ...
const SAMPLE_LEN: u64 = 1024;

/// ... out of so many stretches, and stands for all of them.
const SAMPLE_OF: u64 = 16;

/// Bytes that are taken for one token where the text itself was not seen.
const UNSEEN_BYTES_PER_TOKEN: u64 = 4;

/// Whose text it is: how much of it is held, and how much counted whole.
pub(in crate::llm) trait Text: Copy {
    /// Most bytes held before they are counted.
    const HELD_LEN_MAX: usize;
    /// Bytes from the beginning of which none is left out.
    const WHOLE_LEN: u64;
}

/// What a model was asked. Prompts are long, sent again with every turn, and
/// stated by most providers.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::llm) struct Prompt;

impl Text for Prompt {
    const HELD_LEN_MAX: usize = 16 * 1024;
    const WHOLE_LEN: u64 = 8 * 1024;
}

/// What a model said. Few can say more at once than is counted whole.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::llm) struct Answer;

impl Text for Answer {
    /// The text of an event is joined to that of the ones before once it is known
    /// to count. A longer one is counted on its own, which may cost a token where
    /// it begins.
    const HELD_LEN_MAX: usize = 128 * 1024;
    const WHOLE_LEN: u64 = 64 * 1024;
}

/// Most bytes that are held of a stream, of which there may be thousands: what
/// most answers come to.
const OF_STREAM_HELD_LEN_MAX: usize = 8 * 1024;

/// The tokens of a text so far.
///
/// Counts are the same in whatever pieces the text comes.
#[derive(Debug, Clone)]
pub(in crate::llm) struct Tally<T> {
    /// What the text is counted in, once some of it was.
    vocabulary: Option<Vocabulary>,
    /// The end of the text, which is not counted yet.
    held: Vec<u8>,
    /// Where in it a text ends.
    cuts: Vec<usize>,
    /// Where in it the samples begin.
    samples_at: Option<usize>,
    /// Tokens of what was counted and is no longer held: of the beginning,
    tokens: u64,
    /// and of the samples after it.
    sampled: u64,
    /// Bytes that were counted or are held; at most `seen`.
    counted: u64,
    /// Bytes of all text.
    seen: u64,
    /// Bytes of text of which only the length is known.
    unseen: u64,
    /// Where in a document the last text stood.
    place: usize,
    /// Whose it is.
    of: PhantomData<T>,
}

impl<T: Text> Default for Tally<T> {
    fn default() -> Self {
        Self {
            vocabulary: None,
            held: Vec::new(),
            cuts: Vec::new(),
            samples_at: None,
            tokens: 0,
            sampled: 0,
            counted: 0,
            seen: 0,
            unseen: 0,
            place: 0,
            of: PhantomData,
        }
    }
}

impl<T: Text> Tally<T> {
    /// Whether there was no text.
    pub(in crate::llm) fn is_empty(&self) -> bool {
        self.seen == 0 && self.unseen == 0
    }

    /// Another text begins, at a place of the document that has a number.
    pub(in crate::llm) fn begin(&mut self, place: usize) {
        self.close();
        self.place = place;
    }

    /// Takes more of the text that is under way. `vocabulary` is asked for if some
    /// of it has to be counted now.
    pub(in crate::llm) fn push(&mut self, mut text: &[u8], vocabulary: impl Fn() -> Vocabulary) {
        while !text.is_empty() {
            let (left, is_counted) = self.stretch();
            let length = usize::try_from(left).unwrap_or(usize::MAX);
            let length = length.min(text.len()).min(T::HELD_LEN_MAX);
            let Some((stretch, rest)) = text.split_at_checked(length) else {
                return;
            };
            if is_counted {
                self.hold(stretch, &vocabulary);
            } else {
                self.close();
            }
            self.seen = self.seen.saturating_add(length as u64);
            text = rest;
        }
    }

    /// Takes note of text that cannot be seen.
    pub(in crate::llm) fn push_unseen(&mut self, bytes: u64) {
        self.unseen = self.unseen.saturating_add(bytes);
    }

    /// Goes on with what was tallied apart: in the same text, if that begins
    /// where the last one stood.
    pub(in crate::llm) fn append(&mut self, other: Self, vocabulary: Vocabulary) {
        self.unseen = self.unseen.saturating_add(other.unseen);
        if other.seen == 0 {
            return;
        }
        let is_held = other.counted == other.held.len() as u64 && other.counted == other.seen;
        if !is_held || self.place != other.place {
            self.close();
        }
        if is_held {
            let mut from = 0;
            for to in other.cuts {
                self.push(other.held.get(from..to).unwrap_or_default(), || vocabulary);
                self.close();
                from = to;
            }
            self.push(other.held.get(from..).unwrap_or_default(), || vocabulary);
            if self.held.len() > OF_STREAM_HELD_LEN_MAX {
                self.fold(vocabulary, false);
            }
        } else {
            self.fold(vocabulary, true);
            self.vocabulary = self.vocabulary.or(other.vocabulary);
            self.held = other.held;
            self.cuts = other.cuts;
            self.samples_at = other.samples_at;
            self.tokens = self.tokens.saturating_add(other.tokens);
            self.sampled = self.sampled.saturating_add(other.sampled);
            self.counted = self.counted.saturating_add(other.counted);
            self.seen = self.seen.saturating_add(other.seen);
        }
        self.place = other.place;
    }

    /// What it comes to for a model that reads in `own`; `None` if there was no
    /// text.
    pub(in crate::llm) fn estimate(&self, own: Option<Vocabulary>) -> Option<Estimate> {
        if self.is_empty() {
            return None;
        }
        let vocabulary = self.vocabulary.or(own).unwrap_or_default();
        let mut end = self.clone();
        end.fold(vocabulary, true);
        let of_unseen = self.unseen.div_ceil(UNSEEN_BYTES_PER_TOKEN);
        let is_whole = self.counted == self.seen && self.unseen == 0;
        Some(Estimate {
            tokens: end.total().saturating_add(of_unseen),
            method: Some(match vocabulary {
                Vocabulary::O200kBase if is_whole && own == Some(vocabulary) => Method::O200kBase,
                Vocabulary::Cl100kBase if is_whole && own == Some(vocabulary) => Method::Cl100kBase,
                Vocabulary::O200kBase | Vocabulary::Cl100kBase => Method::Approximate,
            }),
        })
    }

    /// Memory for what is held.
    #[cfg(test)]
    pub(super) fn held_capacity(&self) -> usize {
        self.held.capacity()
    }

    /// Of all text, once none is held.
    fn total(&self) -> u64 {
        let both = self.tokens.saturating_add(self.sampled);
        if self.seen == self.counted {
            return both;
        }
        let past = |bytes: u64| bytes.saturating_sub(T::WHOLE_LEN);
        match past(self.counted) {
            // It ended before the first sample.
            0 => scaled(both, self.seen, self.counted),
            sampled_len => {
                let rest = scaled(self.sampled, past(self.seen), sampled_len);
                self.tokens.saturating_add(rest)
            }
        }
    }

    /// How many bytes from here on are treated alike, and whether they are counted.
    fn stretch(&self) -> (u64, bool) {
        if let Some(left) = T::WHOLE_LEN.checked_sub(self.seen).filter(|left| *left > 0) {
            return (left, true);
        }
        let past = self.seen.saturating_sub(T::WHOLE_LEN);
        let left = SAMPLE_LEN.saturating_sub(past % SAMPLE_LEN);
        (left, (past / SAMPLE_LEN) % SAMPLE_OF == SAMPLE_OF / 2)
    }

    fn hold(&mut self, text: &[u8], vocabulary: impl Fn() -> Vocabulary) {
        if self.seen >= T::WHOLE_LEN {
            self.samples_at.get_or_insert(self.held.len());
        }
        self.held.extend_from_slice(text);
        self.counted = self.counted.saturating_add(text.len() as u64);
        if self.held.len() > T::HELD_LEN_MAX {
            self.fold(vocabulary(), false);
        }
    }

    /// What is held is the end of a text.
    fn close(&mut self) {
        let end = self.held.len();
        if end > self.cuts.last().copied().unwrap_or(0) {
            self.cuts.push(end);
        }
    }

    /// Counts what is held, as far as it does not depend on what follows.
    fn fold(&mut self, vocabulary: Vocabulary, is_all: bool) {
        if self.held.is_empty() {
            return;
        }
        let vocabulary = *self.vocabulary.get_or_insert(vocabulary);
        let samples_at = self.samples_at.unwrap_or(usize::MAX);
        let mut from = 0;
        for to in std::mem::take(&mut self.cuts) {
            let text = self.held.get(from..to).unwrap_or_default();
            let (tokens, _) = count(vocabulary, text, true);
            // A cut is where the samples begin, too.
            let sum = if from < samples_at {
                &mut self.tokens
            } else {
                &mut self.sampled
            };
            *sum = sum.saturating_add(tokens);
            from = to;
        }
        let text = self.held.get(from..).unwrap_or_default();
        let (tokens, rest) = count(vocabulary, text, is_all);
        let sum = if from < samples_at {
            &mut self.tokens
        } else {
            &mut self.sampled
        };
        *sum = sum.saturating_add(tokens);
        let folded = self.held.len().saturating_sub(rest);
        self.held.drain(..folded);
        self.samples_at = self.samples_at.map(|at| at.saturating_sub(folded));
    }
}

/// The tokens of a text, and how many bytes at its end depend on what follows.
fn count(vocabulary: Vocabulary, text: &[u8], is_all: bool) -> (u64, usize) {
    let (mut rest, mut tokens) = (text, 0_u64);
    while let Some((piece, after)) =
        piece(vocabulary, rest, is_all).and_then(|length| rest.split_at_checked(length))
    {
        tokens = tokens.saturating_add(merge::count(piece, |part| vocabulary.rank(part)));
        rest = after;
    }
    (tokens, rest.len())
}

/// `tokens` of `counted` bytes, for all that were `seen`.
fn scaled(tokens: u64, seen: u64, counted: u64) -> u64 {
    let all = u128::from(tokens).saturating_mul(u128::from(seen));
    all.checked_div_euclid(u128::from(counted))
        .and_then(|tokens| u64::try_from(tokens).ok())
        .unwrap_or(u64::MAX)
}
