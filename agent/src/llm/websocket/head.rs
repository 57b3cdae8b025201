//! The head of a frame: two bytes, and as many more as they announce.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::WebSocketError;

const FIN: u8 = 0x80;
/// The bit of permessage-deflate, in the first frame of a message.
const COMPRESSED: u8 = 0x40;
/// Bits of no extension that is known here.
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// The longest head: two bytes, eight of length, four of mask.
const HEAD_LEN_MAX: usize = 14;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    /// The last frame of its message.
    pub(super) is_last: bool,
    pub(super) is_compressed: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Of the payload.
    pub(super) length: u64,
}

impl Head {
    /// Reads a head whose bytes are all there.
    fn parse(bytes: &[u8]) -> Result<Self, WebSocketError> {
        let (&[first, second], rest) = bytes.split_first_chunk().ok_or(WebSocketError::Framing)?;
        let opcode = Opcode::of(first & OPCODE).filter(|_| first & RESERVED == 0);
        let opcode = opcode.ok_or(WebSocketError::Framing)?;
        let (length, mask) = match second & !MASKED {
            126 => {
                let (length, mask) = rest.split_first_chunk().ok_or(WebSocketError::Framing)?;
                (u64::from(u16::from_be_bytes(*length)), mask)
            }
            127 => {
                let (length, mask) = rest.split_first_chunk().ok_or(WebSocketError::Framing)?;
                (u64::from_be_bytes(*length), mask)
            }
            length => (u64::from(length), rest),
        };
        // RFC 6455 §5.2: the most significant bit is zero.
        if length > i64::MAX.unsigned_abs() {
            return Err(WebSocketError::Framing);
        }
        Ok(Self {
            opcode,
            is_last: first & FIN != 0,
            is_compressed: first & COMPRESSED != 0,
            mask: mask.first_chunk().copied(),
            length,
        })
    }
}

/// Gathers the bytes of a head.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    bytes: [u8; HEAD_LEN_MAX],
    read: usize,
}

impl HeadReader {
    /// Takes bytes of a head; returns how many, and the head once it is whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), WebSocketError> {
        for (taken, byte) in (1..).zip(bytes) {
            if let Some(slot) = self.bytes.get_mut(self.read) {
                *slot = *byte;
            }
            self.read = self.read.saturating_add(1);
            if self.read == self.length() {
                let head = Head::parse(self.bytes.get(..self.read).unwrap_or_default());
                self.read = 0;
                return Ok((taken, Some(head?)));
            }
        }
        Ok((bytes.len(), None))
    }

    pub(super) fn is_within(&self) -> bool {
        self.read > 0
    }

    /// How long the head will be, by what has been read of it.
    fn length(&self) -> usize {
        let second = self.bytes.get(1).filter(|_| self.read >= 2);
        let Some(second) = second.copied() else {
            return HEAD_LEN_MAX;
        };
        let with_length = match second & !MASKED {
            126 => 4_usize,
            127 => 10,
            _ => 2,
        };
        let of_mask = if second & MASKED == 0 { 0 } else { 4 };
        with_length.saturating_add(of_mask)
    }
}
