//! Token counts in one shape for all providers, and how far to trust them.

use serde::{Deserialize, Serialize};

/// Token counts of one exchange. `None` is unknown, which is never zero.
///
/// Invariants, where the parts are known: `cache_read + cache_write <= input`,
/// `cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h <= cache_write`,
/// `reasoning <= output`. A provider may violate them; readers saturate.
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
    }

    /// True when no count is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the token counts of an exchange came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// The provider stated every count that is reported.
    Measured,
    /// At least one reported count was computed from the length of text.
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

/// Bytes of text that are taken for one token where nothing better is known.
///
/// The usual rule of thumb for English in byte-pair vocabularies; source code
/// and other scripts need more tokens per byte, so an estimate tends to be low.
pub const ESTIMATE_BYTES_PER_TOKEN: u64 = 4;

/// Estimates tokens from the number of UTF-8 bytes of text: a quarter, rounded up.
#[must_use]
pub fn estimate(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(ESTIMATE_BYTES_PER_TOKEN)
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

    #[test]
    fn estimates_round_up() {
        assert_eq!([0, 1, 4, 5].map(estimate), [0, 1, 1, 2]);
    }
}
