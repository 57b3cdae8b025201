//! How many tokens a text comes to, for exchanges that end before the provider
//! says so.
//!
//! OpenAI publishes its vocabularies, and models that read in one of them are
//! counted in it ([`Vocabulary`]). For all others the count in `o200k_base`
//! stands, as an approximation: Anthropic and Cohere publish no vocabulary for
//! their current models, and those of the others would cost 2 to 4 MB each. How
//! far it is off was measured on the Universal Declaration of Human Rights in 31
//! languages, and on source code, JSON, HTML and Markdown, as tokens of theirs
//! for one of `o200k_base`:
//!
//! | vocabulary | English | code, JSON | European | other scripts |
//! |---|---|---|---|---|
//! | Gemma 3 (of Google, as is Gemini) | 1.03 | 0.99–1.21 | 0.92–1.15 | 0.68–1.37, Amharic 0.42, Armenian 1.81 |
//! | Mistral (tekken) | 1.02 | 1.02–1.16 | 0.97–1.21 | 0.89–1.53, Khmer 4.68 |
//! | DeepSeek V3 | 0.99 | 1.00–1.08 | 1.01–1.28 | 0.70–1.89, Georgian 2.51 |
//! | Llama 3.1 | 1.00 | 0.99–1.00 | 0.91–1.35 | 0.85–2.48, rare ones to 6.5 |
//! | Qwen 3 | 1.01 | 1.00–1.10 | 1.09–1.48 | 0.43–3.59 |
//! | Claude 2, of 2023 | 1.02 | 1.01–1.14 | 1.30–2.11 | 1.29–6.65 |
//!
//! A constant of four bytes a token is 1.32 of the truth on English, 0.73 on
//! JSON, 1.94 on Russian and 2.22 on Hindi.
//!
//! The vocabularies lie in the binary as tables that are read where they are
//! (3.2 MB and 1.6 MB): nothing is loaded, and the first count takes 40 µs. A
//! process grew by 0.5 MB with that one and by 3.6 MB with 213 KB of text, almost
//! all of it pages of the binary, which are the kernel's to take back. Of the
//! crates that count the same, `tiktoken-rs` 0.12 holds 46 MB once it has loaded
//! `o200k_base`, and `bpe-openai` 0.3 holds 67 MB and makes the binary 34 MB
//! larger; an idle proxy is to have 10. A megabyte takes 0.1 s, and one without a
//! break 0.28 s, in the worst case. `tiktoken-rs` is where the tables come from,
//! and what the tests compare with.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod layout;
mod letters;
mod merge;
mod split;
mod tally;
#[cfg(test)]
mod tests;
mod vocabulary;

use serde::{Deserialize, Serialize};

use super::usage::{Provenance, Usage};
pub(super) use tally::{Answer, Prompt, Tally};
pub(super) use vocabulary::Vocabulary;

/// How an estimate was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// All of the text was counted in the model's own vocabulary, `o200k_base`.
    O200kBase,
    /// The same in `cl100k_base`.
    Cl100kBase,
    /// The text was counted in the vocabulary of another model, or in part.
    Approximate,
    /// No tokens: the characters of the request, by which it is charged.
    Characters,
}

impl Method {
    /// The name used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
            Self::Approximate => "approximate",
            Self::Characters => "characters",
        }
    }
}

/// A number of tokens that is not the provider's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) tokens: u64,
    /// How it was made; `None` if the provider stated it, to be overtaken.
    pub(super) method: Option<Method>,
}

impl Estimate {
    /// What the provider stated before its last word.
    pub(super) fn stated(tokens: u64) -> Self {
        Self {
            tokens,
            method: None,
        }
    }
}

/// The usage of an exchange that ended before it was stated: what is known of
/// it, and estimates of the rest.
#[derive(Debug, Default)]
pub(super) struct Guess {
    pub(super) usage: Usage,
    pub(super) provenance: Provenance,
    pub(super) method: Option<Method>,
}

impl Guess {
    /// Of what was stated, which is no guess.
    pub(super) fn measured(usage: Usage) -> Self {
        Self {
            usage,
            provenance: Provenance::Measured,
            method: None,
        }
    }

    /// Of a text that was read out.
    pub(super) fn of_characters(characters: u64) -> Self {
        Self {
            usage: Usage {
                characters: Some(characters),
                ..Usage::default()
            },
            provenance: Provenance::Estimated,
            method: Some(Method::Characters),
        }
    }

    /// Of what was stated, with the prompt where that was not, and with the
    /// answer in any case.
    pub(super) fn new(stated: Usage, input: Option<Estimate>, output: Option<Estimate>) -> Self {
        let input = stated.input.map(Estimate::stated).or(input);
        let usage = Usage {
            input: input.map(|estimate| estimate.tokens),
            output: output.map(|estimate| estimate.tokens),
            ..stated
        };
        let methods = [input, output].map(|estimate| estimate.and_then(|it| it.method));
        Self {
            usage,
            provenance: if usage.is_empty() {
                Provenance::Unknown
            } else {
                Provenance::Estimated
            },
            method: match methods {
                [Some(one), Some(other)] if one != other => Some(Method::Approximate),
                [one, other] => one.or(other),
            },
        }
    }
}
