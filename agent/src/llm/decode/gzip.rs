//! `gzip`: deflate in members, each with a header and a trailer (RFC 1952).

use super::deflate::Inflate;
use super::{DecodeError, Step};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;
const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
/// The CRC and the length of what was decoded.
const TRAILER_LEN: u8 = 8;

/// Decodes members one after another.
#[derive(Debug, Default)]
pub(super) struct Gzip {
    part: Part,
}

/// What is read next.
#[derive(Debug)]
enum Part {
    /// The fixed part of the header, of which so many bytes were read.
    Fixed {
        read: u8,
        flags: u8,
    },
    /// The length of the extra field; the low byte, once it was read.
    ExtraLength {
        low: Option<u8>,
        flags: u8,
    },
    /// So many bytes of the extra field.
    Extra {
        left: u16,
        flags: u8,
    },
    /// Text up to a zero byte: a name, a comment.
    Text {
        flags: u8,
    },
    /// So many bytes of a checksum of the header.
    HeaderCrc {
        left: u8,
    },
    Body(Inflate),
    Trailer {
        left: u8,
    },
    /// After a member. There may be another one, or padding.
    Between,
    /// After the last member: whatever follows means nothing.
    Over,
}

impl Default for Part {
    fn default() -> Self {
        Self::Fixed { read: 0, flags: 0 }
    }
}

impl Part {
    /// The part of the header that comes after those whose flags are cleared.
    fn after_fixed(flags: u8) -> Self {
        if flags & FLAG_EXTRA != 0 {
            Self::ExtraLength {
                low: None,
                flags: flags & !FLAG_EXTRA,
            }
        } else if flags & FLAG_NAME != 0 {
            Self::Text {
                flags: flags & !FLAG_NAME,
            }
        } else if flags & FLAG_COMMENT != 0 {
            Self::Text {
                flags: flags & !FLAG_COMMENT,
            }
        } else if flags & FLAG_HEADER_CRC != 0 {
            Self::HeaderCrc { left: 2 }
        } else {
            Self::Body(Inflate::new(false))
        }
    }
}

impl Gzip {
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        if let Part::Body(inflate) = &mut self.part {
            let step = inflate.step(input, output)?;
            if inflate.is_at_end() {
                self.part = Part::Trailer { left: TRAILER_LEN };
            }
            return Ok(step);
        }
        let mut consumed = 0_usize;
        for byte in input {
            if matches!(self.part, Part::Body(_)) {
                break;
            }
            self.framing(*byte)?;
            consumed = consumed.saturating_add(1);
        }
        Ok(Step {
            consumed,
            produced: 0,
        })
    }

    /// Whether a member has ended and no other has begun.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.part, Part::Between | Part::Over)
    }

    /// Reads one byte of anything but a body.
    fn framing(&mut self, byte: u8) -> Result<(), DecodeError> {
        match &mut self.part {
            Part::Fixed { read, flags } => {
                let expected = match *read {
                    0 => Some(MAGIC[0]),
                    1 => Some(MAGIC[1]),
                    2 => Some(METHOD_DEFLATE),
                    _ => None,
                };
                if expected.is_some_and(|expected| expected != byte) {
                    return Err(DecodeError::Malformed);
                }
                match *read {
                    3 => *flags = byte,
                    // Time, compression level and system.
                    9 => {
                        self.part = Part::after_fixed(*flags);
                        return Ok(());
                    }
                    _ => {}
                }
                *read = read.saturating_add(1);
            }
            Part::ExtraLength {
                low: low @ None, ..
            } => *low = Some(byte),
            Part::ExtraLength {
                low: Some(low),
                flags,
            } => {
                let left = u16::from_le_bytes([*low, byte]);
                self.part = match left {
                    0 => Part::after_fixed(*flags),
                    _ => Part::Extra {
                        left,
                        flags: *flags,
                    },
                };
            }
            Part::Extra { left, flags } => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.part = Part::after_fixed(*flags);
                }
            }
            Part::Text { flags } => {
                if byte == 0 {
                    self.part = Part::after_fixed(*flags);
                }
            }
            Part::HeaderCrc { left } => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.part = Part::Body(Inflate::new(false));
                }
            }
            Part::Trailer { left } => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.part = Part::Between;
                }
            }
            Part::Between if byte == MAGIC[0] => self.part = Part::Fixed { read: 1, flags: 0 },
            Part::Between => self.part = Part::Over,
            Part::Body(_) | Part::Over => {}
        }
        Ok(())
    }
}
