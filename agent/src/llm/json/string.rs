//! The inside of a string: where it ends, and what its text is.

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
    /// Bytes of what was read, from its beginning, that are text as they are.
    pub(super) plain: usize,
    /// What an escape that was read stands for, in UTF-16.
    pub(super) unit: Option<u16>,
    /// Where in an escape the string goes on; `None` when its closing quote was
    /// consumed.
    pub(super) escape: Option<Escape>,
}

/// Reads up to the end of the string, of an escape, or of `bytes`. `bytes` is
/// not empty.
pub(super) fn step(escape: Escape, bytes: &[u8]) -> Step {
    let after_one = |unit, escape| Step {
        consumed: 1,
        plain: 0,
        unit,
        escape: Some(escape),
    };
    let first = bytes.first().copied().unwrap_or_default();
    match escape {
        Escape::No => match memchr2(b'"', b'\\', bytes) {
            None => Step {
                consumed: bytes.len(),
                plain: bytes.len(),
                unit: None,
                escape: Some(Escape::No),
            },
            Some(length) => Step {
                consumed: length.saturating_add(1),
                plain: length,
                unit: None,
                escape: (bytes.get(length) == Some(&b'\\')).then_some(Escape::Begun),
            },
        },
        Escape::Begun if first == b'u' => after_one(None, Escape::Hex { digits: 0, code: 0 }),
        Escape::Begun => after_one(Some(u16::from(meant_by(first))), Escape::No),
        Escape::Hex { digits, code } => {
            let Some(digit) = char::from(first).to_digit(16) else {
                // Not an escape after all; whoever parses the string will say so.
                return Step {
                    consumed: 0,
                    plain: 0,
                    unit: None,
                    escape: Some(Escape::No),
                };
            };
            let code = code.wrapping_shl(4) | u16::try_from(digit).unwrap_or(0);
            if digits < 3 {
                let digits = digits.saturating_add(1);
                return after_one(None, Escape::Hex { digits, code });
            }
            after_one(Some(code), Escape::No)
        }
    }
}

/// The byte that one stands for after a backslash; itself, if it is none of
/// those with a meaning.
fn meant_by(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        itself => itself,
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
