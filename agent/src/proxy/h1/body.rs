//! A message body on its way from one leg's buffer to the other.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    chunked::{ChunkError, Chunked},
    head::Framing,
};

/// Follows one body to its end.
#[derive(Debug)]
pub(super) struct Body {
    kind: Kind,
    /// Where the payload is in the bytes taken last: all of it but that in chunks,
    /// and those.
    whole: Range<usize>,
    chunks: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Kind {
    Length { left: u64 },
    Chunked(Chunked),
    Close,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let kind = match framing {
            Framing::Length(left) => Kind::Length { left },
            Framing::Chunked => Kind::Chunked(Chunked::default()),
            Framing::Close => Kind::Close,
        };
        Self {
            kind,
            whole: 0..0,
            chunks: Vec::new(),
        }
    }

    /// Takes what belongs to the body off the buffer, as it is on the wire.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Bytes, ChunkError> {
        self.chunks.clear();
        let count = match &mut self.kind {
            Kind::Length { left } => {
                let count = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                *left = left.saturating_sub(count as u64);
                self.whole = 0..count;
                count
            }
            Kind::Chunked(chunked) => chunked.follow(buffer, &mut self.chunks)?,
            Kind::Close => {
                self.whole = 0..buffer.len();
                buffer.len()
            }
        };
        Ok(buffer.split_to(count).freeze())
    }

    /// Where the payload is in the bytes taken last.
    pub(super) fn payload<'a>(&'a self, wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let whole = Some(&self.whole).filter(|range| !range.is_empty());
        let ranges = whole.into_iter().chain(&self.chunks);
        ranges.map(|range| &wire[range.clone()])
    }

    /// Whether the end was reached; never for a body that ends with the connection.
    pub(super) fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Length { left } => *left == 0,
            Kind::Chunked(chunked) => chunked.is_done(),
            Kind::Close => false,
        }
    }

    /// What ends the body after its payload was replaced: the last chunk with
    /// the trailers that were seen, or nothing.
    pub(super) fn replaced_end(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Chunked(chunked) => [b"0\r\n", chunked.trailers()].concat(),
            Kind::Length { .. } | Kind::Close => Vec::new(),
        }
    }

    /// New payload in this body's coding.
    pub(super) fn encode(&self, payload: Vec<u8>) -> Vec<u8> {
        match &self.kind {
            // An empty chunk would end the body.
            Kind::Chunked(_) if !payload.is_empty() => [
                format!("{:x}\r\n", payload.len()).as_bytes(),
                &payload,
                b"\r\n",
            ]
            .concat(),
            Kind::Length { .. } | Kind::Close | Kind::Chunked(_) => payload,
        }
    }
}
