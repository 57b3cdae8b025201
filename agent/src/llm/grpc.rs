//! gRPC messages: a flag, a length, and as many bytes, one after the other in a
//! body whose frames align with none of it.
//!
//! A message whose flag is set is compressed on its own, by what the header
//! `grpc-encoding` names. [`Reader`] takes that off and hands a message on as it
//! comes; the bounds of [`decode`](super::decode) apply to each.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use thiserror::Error;

use super::decode::{DecodeError, Decoder};
use super::sse::Piece;

/// The flag and the length.
const PREFIX_LEN: usize = 5;

/// Why a body is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrpcError {
    /// The flag is neither 0 nor 1.
    #[error("the body is not a sequence of gRPC messages")]
    Flag,
    /// A message is compressed, and cannot be decompressed.
    #[error("a compressed message cannot be read")]
    Coding(#[source] DecodeError),
    /// What a message was compressed to ended within it.
    #[error("a compressed message is cut short")]
    CodingCut,
}

/// Where in a message the reader is.
#[derive(Debug)]
enum Place {
    /// In the prefix, of which so many bytes were read.
    Prefix {
        bytes: [u8; PREFIX_LEN],
        read: usize,
    },
    Message {
        left: u32,
        decoder: Option<Box<Decoder>>,
    },
    Broken(GrpcError),
}

const AT_PREFIX: Place = Place::Prefix {
    bytes: [0; PREFIX_LEN],
    read: 0,
};

/// Reads a body.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    encoding: Option<String>,
}

impl Reader {
    /// A reader at the beginning of a body; `encoding` is `grpc-encoding`.
    #[must_use]
    pub fn new(encoding: Option<&str>) -> Self {
        Self {
            place: AT_PREFIX,
            encoding: encoding.map(str::to_owned),
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// Says what is wrong, then and at every later call.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut out: impl FnMut(Piece<'_>),
    ) -> Result<(), GrpcError> {
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

    /// Reads on in the prefix or the message; returns how many bytes were
    /// consumed, which is at least one.
    fn read(&mut self, bytes: &[u8], out: &mut impl FnMut(Piece<'_>)) -> Result<usize, GrpcError> {
        match &mut self.place {
            Place::Prefix {
                bytes: prefix,
                read,
            } => {
                if let (Some(slot), Some(byte)) = (prefix.get_mut(*read), bytes.first()) {
                    *slot = *byte;
                }
                *read = read.saturating_add(1);
                if *read == PREFIX_LEN {
                    let [flag, length @ ..] = *prefix;
                    let decoder = self.decoder(flag)?;
                    self.place = Place::Message {
                        left: u32::from_be_bytes(length),
                        decoder,
                    };
                    self.end_message(out)?;
                }
                Ok(1)
            }
            Place::Message { left, decoder } => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let message = bytes.get(..wanted).unwrap_or(bytes);
                *left = left.saturating_sub(u32::try_from(message.len()).unwrap_or(u32::MAX));
                match decoder {
                    None => out(Piece::Data(message)),
                    Some(decoder) => decoder
                        .push(message, &mut |decoded| out(Piece::Data(decoded)))
                        .map_err(GrpcError::Coding)?,
                }
                self.end_message(out)?;
                Ok(message.len())
            }
            Place::Broken(error) => Err(*error),
        }
    }

    /// How a message with this flag is decompressed.
    fn decoder(&self, flag: u8) -> Result<Option<Box<Decoder>>, GrpcError> {
        match flag {
            0 => Ok(None),
            1 => Decoder::new(self.encoding.as_deref())
                .map(|decoder| Some(Box::new(decoder)))
                .map_err(GrpcError::Coding),
            _ => Err(GrpcError::Flag),
        }
    }

    fn end_message(&mut self, out: &mut impl FnMut(Piece<'_>)) -> Result<(), GrpcError> {
        let Place::Message { left: 0, decoder } = &self.place else {
            return Ok(());
        };
        if decoder.as_ref().is_some_and(|decoder| !decoder.is_at_end()) {
            return Err(GrpcError::CodingCut);
        }
        self.place = AT_PREFIX;
        out(Piece::End);
        Ok(())
    }

    /// Whether the body ended within a message.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        match &self.place {
            Place::Prefix { read, .. } => *read > 0,
            Place::Message { .. } => true,
            Place::Broken(_) => false,
        }
    }
}

/// The name of an error by the value of `grpc-status`; none for success.
#[must_use]
pub fn status_name(status: &str) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    match status.parse::<usize>() {
        Ok(0) => None,
        Ok(number) => Some(NAMES.get(number.saturating_sub(1)).unwrap_or(&"UNKNOWN")),
        Err(_) => Some("UNKNOWN"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn message(flag: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("test messages are small");
        [&[flag], &length.to_be_bytes()[..], bytes].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    type Seen = (Vec<Vec<u8>>, bool, Option<GrpcError>);

    fn read(encoding: Option<&str>, pieces: &[&[u8]]) -> Seen {
        let (mut reader, mut error) = (Reader::new(encoding), None);
        let (mut messages, mut data) = (Vec::new(), Vec::new());
        for piece in pieces {
            let pushed = reader.push(piece, |piece| match piece {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::End => messages.push(std::mem::take(&mut data)),
            });
            error = error.or(pushed.err());
        }
        (messages, reader.is_within_message(), error)
    }

    fn check(encoding: Option<&str>, body: &[u8], messages: &[&[u8]], error: Option<GrpcError>) {
        let messages = messages.iter().map(|message| message.to_vec()).collect();
        let expected = (messages, false, error);
        for at in 0..=body.len() {
            let (head, tail) = body.split_at(at);
            assert_eq!(read(encoding, &[head, tail]), expected, "split at {at}");
        }
        assert_eq!(
            read(encoding, &body.chunks(1).collect::<Vec<_>>()),
            expected
        );
    }

    #[test]
    fn messages_are_the_same_at_every_split() {
        let plain = [message(0, b"one"), message(0, b""), message(0, b"three")].concat();
        check(None, &plain, &[b"one", b"", b"three"], None);
        let mixed = [
            message(1, &gzip(b"packed")),
            message(0, b"plain"),
            message(1, b""),
        ];
        check(
            Some("gzip"),
            &mixed.concat(),
            &[b"packed", b"plain", b""],
            None,
        );
    }

    #[test]
    fn a_cut_loses_the_message_it_is_in() {
        let body = [message(0, b"one"), message(1, &gzip(b"two"))].concat();
        let first = message(0, b"one").len();
        for at in 0..body.len() {
            let (messages, is_within, error) = read(Some("gzip"), &[&body[..at]]);
            assert_eq!(messages.len(), usize::from(at >= first), "cut at {at}");
            assert_eq!((is_within, error), (at != 0 && at != first, None));
        }
    }

    #[test]
    fn what_is_no_message_ends_the_reading() {
        check(None, &message(2, b"x"), &[], Some(GrpcError::Flag));
        check(None, b"<html>", &[], Some(GrpcError::Flag));
        let unknown = Some(GrpcError::Coding(DecodeError::Unknown));
        check(Some("snappy"), &message(1, b"x"), &[], unknown);
        let packed = gzip(b"packed");
        let cut = message(1, &packed[..packed.len() - 1]);
        check(Some("gzip"), &cut, &[], Some(GrpcError::CodingCut));
    }

    #[test]
    fn a_length_is_believed_only_as_far_as_bytes_follow() {
        let body = [&[0, 0xff, 0xff, 0xff, 0xff], &[7; 100][..]].concat();
        assert_eq!(read(None, &[&body]), (Vec::new(), true, None));
    }

    #[test]
    fn a_decompression_bomb_is_not_read() {
        let bomb = message(1, &gzip(&vec![0; 64 << 20]));
        let (_, _, error) = read(Some("gzip"), &[&bomb]);
        assert_eq!(error, Some(GrpcError::Coding(DecodeError::Ratio)));
    }
}
