//! What a byte sequence begins with.

use super::layout::{BLOCK_LEN, Letter};

/// Numbers of blocks for each 256 code points, then the blocks.
static LETTERS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/letters.table"));

/// Blocks of code points there are.
const BLOCKS: usize = 0x11_0000 / BLOCK_LEN;

/// The first character of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Character {
    pub(super) letter: Letter,
    pub(super) code: u32,
    /// Its length in bytes.
    pub(super) len: usize,
}

/// Reads a character. What is not UTF-8 is one byte that is no letter; `None` if
/// there is nothing, or less than a character of which more may come.
pub(super) fn first(bytes: &[u8], is_all: bool) -> Option<Character> {
    let lead = *bytes.first()?;
    let len = match lead {
        0..0x80 => return Some(character(u32::from(lead), 1)),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some(no_text()),
    };
    match bytes.get(..len) {
        Some(encoded) => Some(match std::str::from_utf8(encoded).ok() {
            Some(text) => text
                .chars()
                .next()
                .map_or_else(no_text, |first| character(u32::from(first), len)),
            None => no_text(),
        }),
        None if is_all => Some(no_text()),
        None => None,
    }
}

fn no_text() -> Character {
    Character {
        letter: Letter::Other,
        code: 0,
        len: 1,
    }
}

fn character(code: u32, len: usize) -> Character {
    Character {
        letter: letter(code),
        code,
        len,
    }
}

fn letter(code: u32) -> Letter {
    let code = usize::try_from(code).unwrap_or_default();
    let block = LETTERS.get(code / BLOCK_LEN).copied().unwrap_or_default();
    let at = usize::from(block)
        .saturating_mul(BLOCK_LEN)
        .saturating_add(code % BLOCK_LEN)
        .saturating_add(BLOCKS);
    const ALL: [Letter; 8] = [
        Letter::Other,
        Letter::Space,
        Letter::Newline,
        Letter::Number,
        Letter::Mark,
        Letter::Upper,
        Letter::Lower,
        Letter::Caseless,
    ];
    let kind = LETTERS.get(at).copied().map_or(0, usize::from);
    ALL.get(kind).copied().unwrap_or(Letter::Other)
}
