//! Counting tokens with a real tokenizer (o200k_base).
//!
//! The same vocabulary for every provider: what matters to a test is that
//! the number told is the number counted, not whose vocabulary it is.

use tiktoken_rs::CoreBPE;

/// Tokens in `text`.
pub fn count(text: &str) -> u32 {
    let tokens = tokenizer().encode_ordinary(text).len();
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Loads the vocabulary, which the first count would otherwise wait for
/// (several hundred milliseconds).
pub(crate) fn warm_up() {
    tokenizer();
}

fn tokenizer() -> &'static CoreBPE {
    tiktoken_rs::o200k_base_singleton()
}
