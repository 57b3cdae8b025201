//! The inside of a string: where it ends, and how long its text is.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use memchr::memchr2;

/// Where in an escape sequence a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    No,
    /// After the backslash.
    Begun,
    /// After `\u` and some digits, which make `code`.
    Hex {
        digits: u8,
        code: u16,
    },
}

/// How far a string was read.
pub(super) struct Step {
    pub(super) consumed: usize,
    /// Length of what was read, in UTF-8 after decoding.
    pub(super) text_bytes: u64,
    /// Where in an escape the string goes on; `None` when its closing quote was
    /// consumed.
    pub(super) escape: Option<Escape>,
}

/// Reads up to the end of the string, of an escape, or of `bytes`. `bytes` is
/// not empty.
pub(super) fn step(escape: Escape, bytes: &[u8]) -> Step {
    let after_one = |text_bytes, escape| Step {
        consumed: 1,
        text_bytes,
        escape,
    };
    let first = bytes.first().copied().unwrap_or_default();
    match escape {
        Escape::No => match memchr2(b'"', b'\\', bytes) {
            None => Step {
                consumed: bytes.len(),
                text_bytes: bytes.len() as u64,
                escape: Some(Escape::No),
            },
            Some(length) => Step {
                consumed: length.saturating_add(1),
                text_bytes: length as u64,
                escape: (bytes.get(length) == Some(&b'\\')).then_some(Escape::Begun),
            },
        },
        Escape::Begun if first == b'u' => after_one(0, Some(Escape::Hex { digits: 0, code: 0 })),
        Escape::Begun => after_one(1, Some(Escape::No)),
        Escape::Hex { digits, code } => {
            let Some(digit) = char::from(first).to_digit(16) else {
                // Not an escape after all; whoever parses the string will say so.
                return Step {
                    consumed: 0,
                    text_bytes: 0,
                    escape: Some(Escape::No),
                };
            };
            let code = code.wrapping_shl(4) | u16::try_from(digit).unwrap_or(0);
            if digits < 3 {
                let digits = digits.saturating_add(1);
                return after_one(0, Some(Escape::Hex { digits, code }));
            }
            let length = match code {
                0..0x80 => 1,
                0x80..0x800 => 2,
                // Half of a pair that makes four bytes.
                0xd800..0xe000 => 2,
                0x800.. => 3,
            };
            after_one(length, Some(Escape::No))
        }
    }
}

/// The whole inside of a string that begins `bytes`, if it ends there and has no
/// escapes: most do.
pub(super) fn plain(bytes: &[u8]) -> Option<&[u8]> {
    let length = memchr2(b'"', b'\\', bytes)?;
    (bytes.get(length) == Some(&b'"'))
        .then(|| bytes.get(..length))
        .flatten()
}
