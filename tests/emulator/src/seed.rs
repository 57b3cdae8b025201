//! Determinism: everything an answer invents is drawn from its request.
//!
//! Two requests with the same content get the same bytes, so that a body
//! that came through a proxy can be compared with one that did not.

use aws_lc_rs::digest;
use serde_json::Value;

/// Letters and digits, as in the providers' ids.
pub(crate) const ALPHANUMERIC: &[u8] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Lower-case hexadecimal digits.
pub(crate) const HEX: &[u8] = b"0123456789abcdef";

/// The source of one answer's invented values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u64);

impl Seed {
    /// From the content of a request. `stream_options` says how an answer is
    /// told, not what it is, and has no part in it; nor has the order of
    /// keys in objects.
    pub(crate) fn of_request(body: &Value, salt: &str) -> Self {
        let mut body = body.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("stream_options");
        }
        body.sort_all_objects();
        Self::of_text(&format!("{salt}\n{body}"))
    }

    /// From a text.
    pub(crate) fn of_text(text: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_ref()[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// An independent sequence of draws for one purpose.
    pub(crate) fn draws(self, purpose: &str) -> Draws {
        // FNV-1a keeps the purposes apart; splitmix64 below does the mixing.
        let purpose = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Draws(self.0 ^ purpose)
    }

    /// An id: `prefix` and `length` characters of `alphabet`.
    pub(crate) fn id(self, prefix: &str, alphabet: &[u8], length: usize) -> String {
        let mut draws = self.draws(prefix);
        format!("{prefix}{}", draws.text(alphabet, length))
    }

    /// A creation time, in seconds since the epoch: some day of 2026.
    pub(crate) fn created(self) -> u64 {
        const JANUARY_2026: u64 = 1_767_225_600;
        const YEAR_SECONDS: u64 = 365 * 24 * 3600;
        JANUARY_2026 + self.draws("created").next() % YEAR_SECONDS
    }
}

/// A sequence of draws (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `low..=high`; `low` if the range is empty.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        let width = u64::from(high.saturating_sub(low)) + 1;
        let offset = u32::try_from(self.next() % width)
            .expect("a remainder of a width below 2^32 + 1 fits after a range of u32");
        low + offset
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = u32::try_from(choices.len() - 1).unwrap_or(u32::MAX);
        &choices[self.between(0, last) as usize]
    }

    /// `length` characters of an ASCII `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(*self.pick(alphabet)))
            .collect()
    }
}
