//! WebSocket frames of one direction of a connection, read into messages
//! (RFC 6455, with permessage-deflate by RFC 7692).
//!
//! Nothing is held: a message comes out in pieces as its frames come in,
//! unmasked and inflated, and a length is believed only as far as bytes follow.
//! Control frames between the fragments of a message are passed over, except for
//! the one that closes. Text is not checked to be UTF-8: whoever reads the
//! messages checks what it needs.
//!
//! The reader is told what the two ends agreed upon, by [`Compression`], and
//! believes them in the rest: it takes masked and unmasked frames from either.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod extension;
mod head;
#[cfg(test)]
mod tests;

pub use extension::Compression;
use head::{Head, HeadReader, Opcode};
use thiserror::Error;

use super::decode::{DecodeError, Messages};

/// Payloads of control frames may not be longer (RFC 6455 §5.5).
const CONTROL_LEN_MAX: u64 = 125;
/// Bytes unmasked at once, on the stack.
const UNMASKED: usize = 4 * 1024;

/// Why a connection is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebSocketError {
    /// A frame that no end may send, or that an extension unknown here makes.
    #[error("the bytes are not WebSocket frames")]
    Framing,
    /// A compressed message cannot be inflated.
    #[error("a compressed message cannot be read")]
    Coding(#[source] DecodeError),
}

/// What comes out of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of a message, be it text or binary.
    Data(&'a [u8]),
    /// The message has ended.
    End,
    /// The connection is being closed, for this reason if one was given.
    /// Nothing follows.
    Close(Option<u16>),
}

/// Reads the frames of one direction.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    head: HeadReader,
    /// If compression was agreed upon.
    messages: Option<Messages>,
    /// The message in progress.
    message: Option<Message>,
    /// What a close frame says.
    close_code: [u8; 2],
}

/// Where the reader is.
#[derive(Debug, Clone, Copy)]
enum Place {
    Head,
    Payload { head: Head, read: u64 },
    Closed,
    Broken(WebSocketError),
}

/// A message that has begun and not ended.
#[derive(Debug, Clone, Copy)]
struct Message {
    is_compressed: bool,
}

impl Reader {
    /// A reader of what one side sends after the handshake.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self {
            place: Place::Head,
            head: HeadReader::default(),
            messages: (compression == Compression::Deflate).then(Messages::default),
            message: None,
            close_code: [0; 2],
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// Says what is wrong, then and at every later call.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut out: impl FnMut(Piece<'_>),
    ) -> Result<(), WebSocketError> {
        while !bytes.is_empty() {
            match self.read(bytes, &mut out) {
                Ok(consumed) => bytes = bytes.get(consumed..).unwrap_or_default(),
                Err(error) => {
                    self.place = Place::Broken(error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether what was sent ended within a message or a frame.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        match &self.place {
            Place::Head => self.message.is_some() || self.head.is_within(),
            Place::Payload { .. } => true,
            Place::Closed | Place::Broken(_) => false,
        }
    }

    /// Reads on in the head or the payload; returns how many bytes were
    /// consumed, which is at least one.
    fn read(
        &mut self,
        bytes: &[u8],
        out: &mut impl FnMut(Piece<'_>),
    ) -> Result<usize, WebSocketError> {
        match self.place {
            Place::Head => {
                let (consumed, head) = self.head.push(bytes)?;
                if let Some(head) = head {
                    self.begin(head)?;
                    self.place = Place::Payload { head, read: 0 };
                    if head.length == 0 {
                        self.end(head, 0, out)?;
                    }
                }
                Ok(consumed)
            }
            Place::Payload { head, read } => {
                let left = head.length.saturating_sub(read);
                let wanted = usize::try_from(left).unwrap_or(usize::MAX);
                let payload = bytes.get(..wanted).unwrap_or(bytes);
                self.payload(head, read, payload, out)?;
                let read = read.saturating_add(payload.len() as u64);
                self.place = Place::Payload { head, read };
                if read == head.length {
                    self.end(head, read, out)?;
                }
                Ok(payload.len())
            }
            Place::Closed => Ok(bytes.len()),
            Place::Broken(error) => Err(error),
        }
    }

    /// Checks that a frame may stand here.
    fn begin(&mut self, head: Head) -> Result<(), WebSocketError> {
        let is_allowed = match head.opcode {
            Opcode::Continuation => self.message.is_some() && !head.is_compressed,
            Opcode::Text | Opcode::Binary => {
                self.message.is_none() && (!head.is_compressed || self.messages.is_some())
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                head.is_last && !head.is_compressed && head.length <= CONTROL_LEN_MAX
            }
        };
        if !is_allowed {
            return Err(WebSocketError::Framing);
        }
        if matches!(head.opcode, Opcode::Text | Opcode::Binary) {
            let is_compressed = head.is_compressed;
            self.message = Some(Message { is_compressed });
        }
        Ok(())
    }

    /// Unmasks bytes of a payload, `at` of it, and hands them on.
    fn payload(
        &mut self,
        head: Head,
        at: u64,
        payload: &[u8],
        out: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), WebSocketError> {
        let Some(mask) = head.mask else {
            return self.unmasked(head, at, payload, out);
        };
        let mut at = at;
        let mut keys = mask;
        keys.rotate_left(usize::try_from(at % 4).unwrap_or_default());
        let mut buffer = [0; UNMASKED];
        // A multiple of four each, so that every one begins with the same key.
        for masked in payload.chunks(UNMASKED) {
            let groups = buffer.chunks_exact_mut(4).zip(masked.chunks(4));
            for (clear, masked) in groups {
                for ((clear, byte), key) in clear.iter_mut().zip(masked).zip(keys) {
                    *clear = byte ^ key;
                }
            }
            let unmasked = buffer.get(..masked.len()).unwrap_or_default();
            self.unmasked(head, at, unmasked, out)?;
            at = at.saturating_add(masked.len() as u64);
        }
        Ok(())
    }

    fn unmasked(
        &mut self,
        head: Head,
        at: u64,
        payload: &[u8],
        out: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), WebSocketError> {
        match head.opcode {
            Opcode::Ping | Opcode::Pong => {}
            Opcode::Close => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let kept = self.close_code.get_mut(at..).unwrap_or_default();
                for (kept, byte) in kept.iter_mut().zip(payload) {
                    *kept = *byte;
                }
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => match &mut self.messages {
                Some(messages) if self.message.is_some_and(|it| it.is_compressed) => messages
                    .push(payload, &mut |bytes| out(Piece::Data(bytes)))
                    .map_err(WebSocketError::Coding)?,
                Some(_) | None => out(Piece::Data(payload)),
            },
        }
        Ok(())
    }

    /// The frame has ended, after so many bytes.
    fn end(
        &mut self,
        head: Head,
        read: u64,
        out: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), WebSocketError> {
        self.place = Place::Head;
        match head.opcode {
            Opcode::Ping | Opcode::Pong => {}
            Opcode::Close => {
                self.place = Place::Closed;
                let code = u16::from_be_bytes(self.close_code);
                out(Piece::Close((read >= 2).then_some(code)));
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation if !head.is_last => {}
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let message = self.message.take();
                if let Some(messages) = &mut self.messages
                    && message.is_some_and(|it| it.is_compressed)
                {
                    messages
                        .end(&mut |bytes| out(Piece::Data(bytes)))
                        .map_err(WebSocketError::Coding)?;
                }
                out(Piece::End);
            }
        }
        Ok(())
    }
}
