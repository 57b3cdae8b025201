//! Decoding of a request body's framing. Pure: bytes in, pieces out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::wire::BodyError;

/// The longest chunk-size or trailer line, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// What of the body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing.
    Nothing,
    /// This many bytes, unframed.
    Bytes(u64),
    /// A chunk-size line.
    ChunkSize,
    /// This many bytes of the current chunk.
    Chunk(u64),
    /// The line end behind a chunk's data.
    ChunkEnd,
    /// Trailer lines, to an empty one.
    Trailers,
    /// All bytes to the end of the connection: it has left HTTP.
    Connection,
}

/// A request body in the making.
pub(super) struct BodyReader {
    left: Left,
    trailers: HeaderMap,
}

impl BodyReader {
    /// A request without a body.
    pub(super) fn none() -> Self {
        Self::starting(Left::Nothing)
    }

    /// A body of known length, in bytes.
    pub(super) fn length(bytes: u64) -> Self {
        Self::starting(if bytes == 0 {
            Left::Nothing
        } else {
            Left::Bytes(bytes)
        })
    }

    /// A chunked body.
    pub(super) fn chunked() -> Self {
        Self::starting(Left::ChunkSize)
    }

    /// Everything that the client sends until it closes its half.
    pub(super) fn to_close() -> Self {
        Self::starting(Left::Connection)
    }

    /// Notes that the client has closed its half; whether that ends the body
    /// properly.
    pub(super) fn close(&mut self) -> bool {
        if self.left == Left::Connection {
            self.left = Left::Nothing;
        }
        self.is_complete()
    }

    fn starting(left: Left) -> Self {
        Self {
            left,
            trailers: HeaderMap::new(),
        }
    }

    /// Whether all of it has been read.
    pub(super) fn is_complete(&self) -> bool {
        self.left == Left::Nothing
    }

    /// The trailers; empty before the end.
    pub(super) fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// The next piece in `inbound`. `None`: complete, or more must be read.
    pub(super) fn next(&mut self, inbound: &mut BytesMut) -> Result<Option<Bytes>, BodyError> {
        loop {
            match self.left {
                Left::Nothing => return Ok(None),
                Left::Bytes(left) => {
                    let Some((piece, left)) = take(inbound, left) else {
                        return Ok(None);
                    };
                    self.left = if left == 0 {
                        Left::Nothing
                    } else {
                        Left::Bytes(left)
                    };
                    return Ok(Some(piece));
                }
                Left::Connection => {
                    return Ok((!inbound.is_empty()).then(|| inbound.split().freeze()));
                }
                Left::ChunkSize => {
                    let Some(line) = line(inbound)? else {
                        return Ok(None);
                    };
                    self.left = match chunk_size(&line)? {
                        0 => Left::Trailers,
                        size => Left::Chunk(size),
                    };
                }
                Left::Chunk(left) => {
                    let Some((piece, left)) = take(inbound, left) else {
                        return Ok(None);
                    };
                    self.left = if left == 0 {
                        Left::ChunkEnd
                    } else {
                        Left::Chunk(left)
                    };
                    return Ok(Some(piece));
                }
                Left::ChunkEnd => {
                    let Some(line) = line(inbound)? else {
                        return Ok(None);
                    };
                    if !line.is_empty() {
                        return Err(BodyError::Malformed("chunk longer than its size"));
                    }
                    self.left = Left::ChunkSize;
                }
                Left::Trailers => {
                    let Some(line) = line(inbound)? else {
                        return Ok(None);
                    };
                    if line.is_empty() {
                        self.left = Left::Nothing;
                        return Ok(None);
                    }
                    let (name, value) = trailer(&line)?;
                    self.trailers.append(name, value);
                }
            }
        }
    }
}

/// Takes up to `left` bytes; with what is then left. `None` if there are none.
fn take(inbound: &mut BytesMut, left: u64) -> Option<(Bytes, u64)> {
    if inbound.is_empty() {
        return None;
    }
    let size = usize::try_from(left).map_or(inbound.len(), |left| left.min(inbound.len()));
    Some((inbound.split_to(size).freeze(), left - size as u64))
}

/// Takes one line, without its end. `None` if it is not complete yet.
fn line(inbound: &mut BytesMut) -> Result<Option<Bytes>, BodyError> {
    let Some(end) = inbound.windows(2).position(|pair| pair == b"\r\n") else {
        if inbound.len() > LINE_BYTES_MAX {
            return Err(BodyError::Malformed("line too long"));
        }
        return Ok(None);
    };
    let line = inbound.split_to(end).freeze();
    inbound.advance(2);
    Ok(Some(line))
}

/// The size in a chunk-size line; extensions are ignored.
fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.split(';').next())
        .map(str::trim)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(BodyError::Malformed("chunk size"))
}

fn trailer(line: &[u8]) -> Result<(HeaderName, HeaderValue), BodyError> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(BodyError::Malformed("trailer without a colon"))?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name).ok();
    let value = HeaderValue::from_bytes(value[1..].trim_ascii()).ok();
    name.zip(value).ok_or(BodyError::Malformed("trailer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5;x=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\nGET";

    /// The body and the trailer of `bytes` when they arrive in two parts.
    fn read_split(at: usize) -> (Vec<u8>, BodyReader, BytesMut) {
        let mut reader = BodyReader::chunked();
        let mut inbound = BytesMut::new();
        let mut body = Vec::new();
        for part in [&CHUNKED[..at], &CHUNKED[at..]] {
            inbound.extend_from_slice(part);
            while let Some(piece) = reader.next(&mut inbound).expect("the body is well formed") {
                body.extend_from_slice(&piece);
            }
        }
        (body, reader, inbound)
    }

    #[test]
    fn a_chunked_body_reads_the_same_at_every_split() {
        for at in 0..=CHUNKED.len() {
            let (body, reader, rest) = read_split(at);
            assert_eq!(body, b"hello!", "split at {at}");
            assert!(reader.is_complete(), "split at {at}");
            assert_eq!(reader.trailers()["x-sum"], "6", "split at {at}");
            assert_eq!(&rest[..], b"GET", "split at {at}");
        }
    }

    #[test]
    fn a_wrong_chunk_size_is_refused() {
        for wrong in [
            "x\r\n",
            "-1\r\n",
            "+5\r\n",
            "1ffffffffffffffff\r\n",
            "2\r\nabc\r\n",
        ] {
            let mut reader = BodyReader::chunked();
            let mut inbound = BytesMut::from(wrong);
            let outcome = loop {
                match reader.next(&mut inbound) {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(matches!(outcome, Err(BodyError::Malformed(_))), "{wrong:?}");
        }
    }
}
