//! The chunked coding of RFC 9112 §7.1, followed without being changed.
//!
//! The bytes are forwarded as they came, extensions and trailers included; this
//! only finds the payload in them, and the end. Strict, for the reason given in
//! `head`.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::ops::Range;

/// Longest chunk-size line, extensions included; hyper allows 16 KiB in all.
const SIZE_LINE_MAX: usize = 4 * 1024;
/// Longest trailer section.
const TRAILERS_MAX: usize = 64 * 1024;
/// Digits of a chunk size: 2^60 bytes.
const SIZE_DIGITS_MAX: usize = 15;

/// The coding is broken; the message has no end that both sides agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body: {0}")]
pub(super) struct ChunkError(&'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk-size line, with what was read of it.
    Size {
        digits: usize,
        size: u64,
        place: Place,
        length: usize,
        cr: bool,
    },
    /// In chunk data, this much left.
    Data {
        left: u64,
    },
    /// Between chunk data and its CRLF.
    DataEnd {
        cr: bool,
    },
    /// In the trailer section.
    Trailer {
        line: usize,
        length: usize,
        cr: bool,
    },
    Done,
}

/// Where in a chunk-size line the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Digits,
    /// In white space behind them, where no digit may follow: another reader could
    /// take it for one of the size.
    Space,
    Extension,
}

const SIZE_START: State = State::Size {
    digits: 0,
    size: 0,
    place: Place::Digits,
    length: 0,
    cr: false,
};

/// Where in the coding the stream is.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    trailers: Vec<u8>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: SIZE_START,
            trailers: Vec::new(),
        }
    }
}

impl Chunked {
    /// Follows the coding through `input`. Returns how many bytes belong to the
    /// message (all of them, unless it ends before), and pushes where in the
    /// input the payload is.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; nothing of `input` may be forwarded.
    pub(super) fn follow(
        &mut self,
        input: &[u8],
        payload: &mut Vec<Range<usize>>,
    ) -> Result<usize, ChunkError> {
        let mut at = 0_usize;
        while let Some(byte) = input.get(at).copied() {
            self.state = match self.state {
                State::Done => return Ok(at),
                State::Data { left } => {
                    let available = input.len().saturating_sub(at);
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
                    let end = at.saturating_add(taken);
                    payload.push(at..end);
                    at = end;
                    match left.saturating_sub(taken as u64) {
                        0 => State::DataEnd { cr: false },
                        left => State::Data { left },
                    }
                }
                State::DataEnd { cr } => {
                    at = at.saturating_add(1);
                    match (cr, byte) {
                        (false, b'\r') => State::DataEnd { cr: true },
                        (true, b'\n') => SIZE_START,
                        _ => return Err(ChunkError("chunk data is longer than its size")),
                    }
                }
                State::Size { .. } => {
                    at = at.saturating_add(1);
                    self.state.size_byte(byte)?
                }
                State::Trailer { line, length, cr } => {
                    at = at.saturating_add(1);
                    self.trailers.push(byte);
                    trailer_byte(line, length, cr, byte)?
                }
            };
        }
        Ok(at)
    }

    /// The trailer section seen so far, blank line included: what follows the
    /// last chunk's size line.
    #[must_use]
    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether the message has ended.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

impl State {
    fn size_byte(self, byte: u8) -> Result<Self, ChunkError> {
        let Self::Size {
            digits,
            size,
            place,
            length,
            cr,
        } = self
        else {
            return Ok(self);
        };
        let length = length.saturating_add(1);
        if length > SIZE_LINE_MAX {
            return Err(ChunkError("a chunk-size line is too long"));
        }
        if cr {
            return match byte {
                b'\n' if digits == 0 => Err(ChunkError("a chunk has no size")),
                b'\n' if size == 0 => Ok(Self::Trailer {
                    line: 0,
                    length: 0,
                    cr: false,
                }),
                b'\n' => Ok(Self::Data { left: size }),
                _ => Err(ChunkError("a bare CR in a chunk-size line")),
            };
        }
        let at = |place| {
            Ok(Self::Size {
                digits,
                size,
                place,
                length,
                cr,
            })
        };
        match byte {
            b'\r' => Ok(Self::Size {
                digits,
                size,
                place,
                length,
                cr: true,
            }),
            b'\n' | 0 => Err(ChunkError("a chunk-size line ends with a bare LF")),
            _ if place == Place::Extension => at(Place::Extension),
            b';' if digits > 0 => at(Place::Extension),
            b' ' | b'\t' if digits > 0 => at(Place::Space),
            _ if place == Place::Space => Err(ChunkError("a chunk size is not alone in its line")),
            _ => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .ok_or(ChunkError("a chunk size is not a hexadecimal number"))?;
                if digits >= SIZE_DIGITS_MAX {
                    return Err(ChunkError("a chunk size is out of range"));
                }
                let size = (size << 4) | u64::from(digit);
                let digits = digits.saturating_add(1);
                Ok(Self::Size {
                    digits,
                    size,
                    place,
                    length,
                    cr,
                })
            }
        }
    }
}

fn trailer_byte(line: usize, length: usize, cr: bool, byte: u8) -> Result<State, ChunkError> {
    let length = length.saturating_add(1);
    if length > TRAILERS_MAX {
        return Err(ChunkError("the trailer section is too long"));
    }
    match (cr, byte) {
        (true, b'\n') if line == 0 => Ok(State::Done),
        (true, b'\n') => Ok(State::Trailer {
            line: 0,
            length,
            cr: false,
        }),
        (true, _) => Err(ChunkError("a bare CR in a trailer")),
        (false, b'\r') => Ok(State::Trailer {
            line,
            length,
            cr: true,
        }),
        (false, b'\n' | 0) => Err(ChunkError("a trailer ends with a bare LF")),
        (false, _) => Ok(State::Trailer {
            line: line.saturating_add(1),
            length,
            cr: false,
        }),
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count small things")]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"5\r\nhello\r\n1;ext=\"v\"\r\n \r\n00A\r\n0123456789\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n";

    fn decode(parts: &[&[u8]]) -> (Vec<u8>, usize, bool) {
        let mut chunked = Chunked::default();
        let mut out = Vec::new();
        let mut consumed = 0;
        for part in parts {
            let mut ranges = Vec::new();
            consumed += chunked.follow(part, &mut ranges).unwrap();
            for range in ranges {
                out.extend_from_slice(&part[range]);
            }
        }
        (out, consumed, chunked.is_done())
    }

    #[test]
    fn the_payload_is_found_at_every_split() {
        let followed = [BODY, b"GET / next"].concat();
        for split in 0..followed.len() {
            let (head, tail) = followed.split_at(split);
            let (payload, consumed, done) = decode(&[head, tail]);
            assert_eq!(payload, b"hello 0123456789", "split {split}");
            assert_eq!((consumed, done), (BODY.len(), true), "split {split}");
        }
        let bytes: Vec<_> = BODY.chunks(1).collect();
        assert_eq!(
            decode(&bytes),
            (b"hello 0123456789".to_vec(), BODY.len(), true)
        );
    }

    #[test]
    fn a_truncated_body_is_not_done() {
        for end in 0..BODY.len() {
            assert!(!decode(&[&BODY[..end]]).2, "{end}");
        }
    }

    #[test]
    fn broken_codings_are_refused() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\nhello",
            b"5\nhello\r\n",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n",
            b"5\rhello",
            b"1000000000000000\r\n",
            b"5 5\r\nhello\r\n",
            b"5\t x\r\nhello\r\n",
            b";ext\r\n",
            b"0\r\nX\nY",
            b"0\r\nX\rY",
            &[b"5;".as_slice(), &[b'a'; SIZE_LINE_MAX]].concat(),
            &[b"0\r\n".as_slice(), &[b'a'; TRAILERS_MAX + 1]].concat(),
        ] {
            let mut ranges = Vec::new();
            assert!(
                Chunked::default().follow(body, &mut ranges).is_err(),
                "{}",
                body.escape_ascii()
            );
        }
    }
}
