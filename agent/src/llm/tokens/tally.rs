//! Counts the tokens of text that comes in pieces.
//!
//! Most exchanges end with the provider's own count, and counting takes a tenth
//! of a microsecond a byte: so text is held, within a bound, and counted only
//! when no usage was stated. Of text that is longer than the bound, samples are
//! held, and every other one given up whenever they are too many; of a stream
//! with much text, what is held is counted as it goes on.

use std::marker::PhantomData;

use super::split::piece;
use super::vocabulary::Vocabulary;
use super::{Estimate, Method, merge};

/// Past the beginning, a stretch of this many bytes is held ...
const SAMPLE_LEN: u64 = 512;

/// ... out of at least so many stretches, and stands for all of them.
const SAMPLE_OF: u64 = 16;

/// Bytes that are taken for one token where the text itself was not seen.
const UNSEEN_BYTES_PER_TOKEN: u64 = 4;

/// Whose text it is: how much of it is held, and how much counted whole.
pub(in crate::llm) trait Text: Copy {
    /// Most bytes held; more than [`WHOLE_LEN`](Self::WHOLE_LEN) by some samples.
    const HELD_LEN_MAX: usize;
    /// Bytes from the beginning of which none is left out.
    const WHOLE_LEN: u64;
}

/// What a model was asked. Prompts are long, sent again with every turn, and
/// stated by most providers.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::llm) struct Prompt;

impl Text for Prompt {
    const HELD_LEN_MAX: usize = 24 * 1024;
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
    /// Where in it a sample begins.
    samples: Vec<usize>,
    /// Out of so many stretches one is a sample.
    sample_of: u64,
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
            samples: Vec::new(),
            sample_of: SAMPLE_OF,
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

    /// Takes more of the text that is under way.
    pub(in crate::llm) fn push(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let (left, is_held) = self.stretch();
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(text.len());
            let Some((stretch, rest)) = text.split_at_checked(length) else {
                return;
            };
            if is_held {
                self.hold(stretch);
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
        if self.seen == 0 {
            // Of a document, which has no other text. Of a stream, what is too
            // much is counted when the next event comes.
            let unseen = self.unseen;
            *self = Self { unseen, ..other };
            return;
        }
        let is_held = other.counted == other.held.len() as u64 && other.counted == other.seen;
        if !is_held || self.place != other.place {
            self.close();
        }
        if is_held {
            let mut from = 0;
            for to in other.cuts {
                self.push(other.held.get(from..to).unwrap_or_default());
                self.close();
                from = to;
            }
            self.push(other.held.get(from..).unwrap_or_default());
            if self.held.len() > OF_STREAM_HELD_LEN_MAX {
                self.fold(vocabulary, false);
            }
        } else {
            self.fold(vocabulary, true);
            self.vocabulary = self.vocabulary.or(other.vocabulary);
            self.held = other.held;
            self.cuts = other.cuts;
            self.samples = other.samples;
            self.sample_of = other.sample_of;
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

    /// How many bytes from here on are treated alike, and whether they are held.
    fn stretch(&self) -> (u64, bool) {
        let Some(past) = self.seen.checked_sub(T::WHOLE_LEN) else {
            return (T::WHOLE_LEN.saturating_sub(self.seen), true);
        };
        let within = past % SAMPLE_LEN;
        let stretch = past / SAMPLE_LEN;
        let skipped = stretch.checked_rem(self.sample_of).unwrap_or(0);
        if skipped == 0 {
            return (SAMPLE_LEN.saturating_sub(within), true);
        }
        // Up to the next sample.
        let stretches = self.sample_of.saturating_sub(skipped);
        let left = stretches.saturating_mul(SAMPLE_LEN).saturating_sub(within);
        (left, false)
    }

    fn hold(&mut self, text: &[u8]) {
        let past = self.seen.checked_sub(T::WHOLE_LEN);
        if past.is_some_and(|past| past % SAMPLE_LEN == 0) {
            self.close();
            self.samples.push(self.held.len());
        }
        self.held.extend_from_slice(text);
        self.counted = self.counted.saturating_add(text.len() as u64);
        if self.held.len() > T::HELD_LEN_MAX {
            self.thin_out();
        }
    }

    /// Gives up every other sample, and half of those to come.
    fn thin_out(&mut self) {
        let begins = std::mem::take(&mut self.samples);
        let cuts = std::mem::take(&mut self.cuts);
        let held = std::mem::take(&mut self.held);
        let whole = begins.first().copied().unwrap_or(held.len());
        let ends = begins.iter().skip(1).copied().chain([held.len()]);
        let samples = begins.iter().copied().zip(ends).step_by(2);
        for (sample, (from, to)) in std::iter::once((None, (0, whole)))
            .chain(samples.map(|sample| (Some(sample.0), sample)))
        {
            let at = self.held.len();
            self.samples.extend(sample.map(|_| at));
            self.held
                .extend_from_slice(held.get(from..to).unwrap_or_default());
            let of_it = cuts
                .iter()
                .filter(|cut| (from..=to).contains(*cut) && **cut > from);
            let moved = of_it.map(|cut| cut.saturating_sub(from).saturating_add(at));
            self.cuts.extend(moved);
        }
        let lost = held.len().saturating_sub(self.held.len()) as u64;
        self.counted = self.counted.saturating_sub(lost);
        self.sample_of = self.sample_of.saturating_mul(2);
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
        let samples_at = self.samples.first().copied().unwrap_or(usize::MAX);
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
        // What is left is a sample's, if any of it was.
        let samples_at = self.samples.first().map(|at| at.saturating_sub(folded));
        self.samples = samples_at.into_iter().collect();
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
