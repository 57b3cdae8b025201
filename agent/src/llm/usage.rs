//! Token counts in one shape for all providers, and how far to trust them.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Token counts of one exchange, and what else is billed by count. `None` is
/// unknown, which is never zero.
///
/// Invariants, where the parts are known: `cache_read + cache_write <= input`,
/// `cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h <= cache_write`,
/// `input_audio + input_image <= input`, `reasoning <= output`,
/// `output_audio + output_image <= output`. A provider may violate them; readers
/// saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All prompt tokens, those read from and written to a cache included.
    pub input: Option<u64>,
    /// All generated tokens, reasoning included.
    pub output: Option<u64>,
    /// Prompt tokens read from a cache; part of `input`.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache, whatever their lifetime; part of `input`.
    pub cache_write: Option<u64>,
    /// The part of `cache_write` kept for five minutes.
    pub cache_write_5m: Option<u64>,
    /// The part of `cache_write` kept for thirty minutes.
    pub cache_write_30m: Option<u64>,
    /// The part of `cache_write` kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// The part of `cache_write` kept for twelve hours.
    pub cache_write_12h: Option<u64>,
    /// Tokens generated as reasoning; part of `output`.
    pub reasoning: Option<u64>,
    /// Prompt tokens that stand for sound; part of `input`.
    pub input_audio: Option<u64>,
    /// Prompt tokens that stand for images; part of `input`.
    pub input_image: Option<u64>,
    /// Tokens generated as sound; part of `output`.
    pub output_audio: Option<u64>,
    /// Tokens generated as images; part of `output`.
    pub output_image: Option<u64>,
    /// The part of `cache_read` that stands for sound.
    pub cache_read_audio: Option<u64>,
    /// The part of `cache_read` that stands for images.
    pub cache_read_image: Option<u64>,
    /// Searches that the provider made for the model, each with a price.
    pub searches: Option<u64>,
    /// Seconds of sound or video, where that is what is billed.
    pub seconds: Option<Decimal>,
    /// Images drawn or looked at, where they are billed by the piece.
    pub images: Option<u64>,
    /// Characters read out or taken in, where that may be what is billed: beside
    /// tokens, they are another measure of the same text.
    pub characters: Option<u64>,
    /// Pages of documents.
    pub pages: Option<u64>,
}

impl Usage {
    /// Overwrites field by field with what `newer` knows. A field that `newer`
    /// does not know keeps its value: providers repeat usage in parts, and a
    /// null in a later part does not take back an earlier number.
    pub fn merge(&mut self, newer: &Self) {
        self.input = newer.input.or(self.input);
        self.output = newer.output.or(self.output);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.cache_write = newer.cache_write.or(self.cache_write);
        self.cache_write_5m = newer.cache_write_5m.or(self.cache_write_5m);
        self.cache_write_30m = newer.cache_write_30m.or(self.cache_write_30m);
        self.cache_write_1h = newer.cache_write_1h.or(self.cache_write_1h);
        self.cache_write_12h = newer.cache_write_12h.or(self.cache_write_12h);
        self.reasoning = newer.reasoning.or(self.reasoning);
        self.input_audio = newer.input_audio.or(self.input_audio);
        self.input_image = newer.input_image.or(self.input_image);
        self.output_audio = newer.output_audio.or(self.output_audio);
        self.output_image = newer.output_image.or(self.output_image);
        self.cache_read_audio = newer.cache_read_audio.or(self.cache_read_audio);
        self.cache_read_image = newer.cache_read_image.or(self.cache_read_image);
        self.searches = newer.searches.or(self.searches);
        self.seconds = newer.seconds.or(self.seconds);
        self.images = newer.images.or(self.images);
        self.characters = newer.characters.or(self.characters);
        self.pages = newer.pages.or(self.pages);
    }

    /// The sum, field by field, of what is known.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: plus(self.input, other.input),
            output: plus(self.output, other.output),
            cache_read: plus(self.cache_read, other.cache_read),
            cache_write: plus(self.cache_write, other.cache_write),
            cache_write_5m: plus(self.cache_write_5m, other.cache_write_5m),
            cache_write_30m: plus(self.cache_write_30m, other.cache_write_30m),
            cache_write_1h: plus(self.cache_write_1h, other.cache_write_1h),
            cache_write_12h: plus(self.cache_write_12h, other.cache_write_12h),
            reasoning: plus(self.reasoning, other.reasoning),
            input_audio: plus(self.input_audio, other.input_audio),
            input_image: plus(self.input_image, other.input_image),
            output_audio: plus(self.output_audio, other.output_audio),
            output_image: plus(self.output_image, other.output_image),
            cache_read_audio: plus(self.cache_read_audio, other.cache_read_audio),
            cache_read_image: plus(self.cache_read_image, other.cache_read_image),
            searches: plus(self.searches, other.searches),
            seconds: match (self.seconds, other.seconds) {
                (Some(one), Some(other)) => one.checked_add(other),
                (known, None) | (None, known) => known,
            },
            images: plus(self.images, other.images),
            characters: plus(self.characters, other.characters),
            pages: plus(self.pages, other.pages),
        }
    }

    /// Whether any token was used, as far as is known.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        [self.input, self.output]
            .into_iter()
            .flatten()
            .any(|count| count > 0)
    }

    /// True when no count is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds what is known.
pub(super) fn plus(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (known, None) | (None, known) => known,
    }
}

/// How the token counts of an exchange came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// The provider stated every count that is reported.
    Measured,
    /// At least one reported count was counted or computed from text, or stated
    /// before the last word.
    Estimated,
    /// No count is reported.
    #[default]
    Unknown,
}

impl Provenance {
    /// The name used in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_does_not_erase_a_known_one() {
        let mut usage = Usage {
            input: Some(7),
            cache_read: Some(3),
            ..Usage::default()
        };
        usage.merge(&Usage {
            output: Some(2),
            input: Some(9),
            ..Usage::default()
        });
        assert_eq!(
            usage,
            Usage {
                input: Some(9),
                output: Some(2),
                cache_read: Some(3),
                ..Usage::default()
            }
        );
    }
}
