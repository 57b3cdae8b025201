//! Where text is split before it is put together to tokens: what the regular
//! expressions of tiktoken (`tiktoken_ext/openai_public.py`) match, alternative
//! by alternative, in one pass and without the memory of a general automaton.

use super::layout::Letter;
use super::letters::{Character, first};
use super::vocabulary::Vocabulary;

/// Most bytes of one piece. Longer runs without a break are cut there, which
/// costs a token or two each: they are base64, rulers of dashes, or somebody who
/// wants to see what happens. Everyday words are below 30.
pub(super) const PIECE_LEN_MAX: usize = 256;

/// The length of the piece that `bytes` begin with; `None` if that depends on
/// what follows them. With `is_all`, nothing does.
pub(super) fn piece(vocabulary: Vocabulary, bytes: &[u8], is_all: bool) -> Option<usize> {
    // What is further away has no say, however much of it is at hand: the same
    // text is split alike in whatever parts it comes.
    let (bytes, is_all) = match bytes.get(..PIECE_LEN_MAX) {
        Some(window) => (whole(window), true),
        None => (bytes, is_all),
    };
    if bytes.is_empty() {
        return None;
    }
    let mut text = Text {
        bytes,
        is_all,
        is_short: false,
    };
    let length = match vocabulary {
        Vocabulary::O200kBase => text.o200k(),
        Vocabulary::Cl100kBase => text.cl100k(),
    };
    (!text.is_short).then_some(length)
}

/// Without the beginning of a character at the end.
fn whole(bytes: &[u8]) -> &[u8] {
    // Of the last three bytes, one that begins a character of more bytes than
    // there are.
    for (back, byte) in bytes.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0x80..0xc0 => continue,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
            0..0x80 => 1,
        };
        let there = back.saturating_add(1);
        if needed > there {
            let end = bytes.len().saturating_sub(there);
            return bytes.get(..end).unwrap_or(bytes);
        }
        break;
    }
    bytes
}

struct Text<'a> {
    bytes: &'a [u8],
    is_all: bool,
    /// Somebody looked beyond what is there, and more may come.
    is_short: bool,
}

impl Text<'_> {
    /// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
    /// `|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
    /// `|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    fn o200k(&mut self) -> usize {
        let lead = self.lead();
        let word = self
            .cased(lead)
            .or_else(|| self.cased(0))
            .or_else(|| self.upper(lead))
            .or_else(|| self.upper(0));
        if let Some(end) = word {
            return end.saturating_add(self.contraction(end));
        }
        self.number()
            .or_else(|| self.marks(|next| next.letter == Letter::Newline || next.code == SLASH))
            .or_else(|| self.lines())
            .unwrap_or_else(|| self.spaces())
    }

    /// `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+`
    /// `| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`
    fn cl100k(&mut self) -> usize {
        let contraction = self.contraction(0);
        if contraction > 0 {
            return contraction;
        }
        let lead = self.lead();
        let end = self.run(lead, is_letter);
        if end > lead {
            return end;
        }
        self.number()
            .or_else(|| self.marks(|next| next.letter == Letter::Newline))
            .or_else(|| self.rest())
            .or_else(|| self.lines())
            .unwrap_or_else(|| self.spaces())
    }

    /// `[^\r\n\p{L}\p{N}]?`
    fn lead(&mut self) -> usize {
        let leads =
            |next: &Character| matches!(next.letter, Letter::Other | Letter::Space | Letter::Mark);
        self.at(0).filter(leads).map_or(0, |next| next.len)
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
    fn cased(&mut self, start: usize) -> Option<usize> {
        let (mut at, mut caseless_end) = (start, None);
        while let Some(next) = self.at(at).filter(is_not_lower) {
            at = at.saturating_add(next.len);
            if is_not_upper(&next) {
                caseless_end = Some(at);
            }
        }
        let end = self.run(at, is_not_upper);
        // Of what could be both, the last is left to the second half.
        if end > at { Some(end) } else { caseless_end }
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+`; what may follow did not, or it would
    /// have been cased.
    fn upper(&mut self, start: usize) -> Option<usize> {
        let end = self.run(start, is_not_lower);
        (end > start).then_some(end)
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
    fn contraction(&mut self, at: usize) -> usize {
        if self.at(at).is_none_or(|next| next.code != APOSTROPHE) {
            return 0;
        }
        let Some(one) = self.at(at.saturating_add(1)) else {
            return 0;
        };
        let second = match lower(one.code) {
            // The long s is one, whatever its age.
            's' | '\u{17f}' | 't' | 'm' | 'd' => return one.len.saturating_add(1),
            'r' | 'v' => 'e',
            'l' => 'l',
            _ => return 0,
        };
        let other = self.at(at.saturating_add(2));
        if other.is_some_and(|next| lower(next.code) == second) {
            3
        } else {
            0
        }
    }

    /// `\p{N}{1,3}`
    fn number(&mut self) -> Option<usize> {
        let mut at = 0;
        for _ in 0..3 {
            let digit = self.at(at).filter(|next| next.letter == Letter::Number);
            let Some(digit) = digit else { break };
            at = at.saturating_add(digit.len);
        }
        (at > 0).then_some(at)
    }

    /// ` ?[^\s\p{L}\p{N}]+`, and a run of what follows it.
    fn marks(&mut self, trail: fn(&Character) -> bool) -> Option<usize> {
        let is_mark = |next: &Character| matches!(next.letter, Letter::Other | Letter::Mark);
        let start = self
            .at(0)
            .filter(|next| next.code == SPACE)
            .map_or(0, |next| next.len);
        let end = self.run(start, is_mark);
        (end > start).then(|| self.run(end, trail))
    }

    /// `\s*[\r\n]+`, and as well `\s*[\r\n]`.
    fn lines(&mut self) -> Option<usize> {
        let (mut at, mut end) = (0, None);
        while let Some(next) = self.at(at).filter(is_space) {
            at = at.saturating_add(next.len);
            if next.letter == Letter::Newline {
                end = Some(at);
            }
        }
        end
    }

    /// `\s++$`
    fn rest(&mut self) -> Option<usize> {
        let end = self.run(0, is_space);
        (end > 0 && self.at(end).is_none()).then_some(end)
    }

    /// `\s+(?!\S)|\s`, or whatever is there, which is never nothing.
    fn spaces(&mut self) -> usize {
        let (mut at, mut last) = (0, 0);
        while let Some(next) = self.at(at).filter(is_space) {
            last = at;
            at = at.saturating_add(next.len);
        }
        if last > 0 && self.at(at).is_some() {
            return last;
        }
        at.max(1)
    }

    /// Where a run from `at` ends.
    fn run(&mut self, mut at: usize, belongs: fn(&Character) -> bool) -> usize {
        while let Some(next) = self.at(at).filter(belongs) {
            at = at.saturating_add(next.len);
        }
        at
    }

    fn at(&mut self, at: usize) -> Option<Character> {
        let next = first(self.bytes.get(at..).unwrap_or_default(), self.is_all);
        self.is_short |= next.is_none() && !self.is_all;
        next
    }
}

const SPACE: u32 = ' ' as u32;
const APOSTROPHE: u32 = '\'' as u32;
const SLASH: u32 = '/' as u32;

fn lower(code: u32) -> char {
    char::from_u32(code)
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
fn is_not_lower(next: &Character) -> bool {
    matches!(next.letter, Letter::Upper | Letter::Caseless | Letter::Mark)
}

/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
fn is_not_upper(next: &Character) -> bool {
    matches!(next.letter, Letter::Lower | Letter::Caseless | Letter::Mark)
}

/// `\p{L}`
fn is_letter(next: &Character) -> bool {
    matches!(
        next.letter,
        Letter::Upper | Letter::Lower | Letter::Caseless
    )
}

/// `\s`
fn is_space(next: &Character) -> bool {
    matches!(next.letter, Letter::Space | Letter::Newline)
}
