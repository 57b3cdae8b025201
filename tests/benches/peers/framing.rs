//! Heads and bodies of HTTP/1.1, as both ends of the benchmark read them.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};

/// A head, without the empty line behind it.
pub(crate) struct Head(Bytes);

/// How the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// After so many bytes.
    Sized(usize),
    Chunked,
}

/// Takes a head off a buffer, if all of it is there.
pub(crate) fn head(buffer: &mut BytesMut) -> Option<Head> {
    const END: &[u8] = b"\r\n\r\n";
    let at = memchr::memmem::find(buffer, END)?;
    let head = buffer.split_to(at + END.len()).freeze();
    Some(Head(head))
}

impl Head {
    /// The first line and the fields.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.0).unwrap_or_default().lines()
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// How the body ends.
    pub(crate) fn body(&self) -> Result<Body> {
        if self.field("transfer-encoding").is_some() {
            return Ok(Body::Chunked);
        }
        Ok(match self.field("content-length") {
            Some(length) => Body::Sized(length.parse()?),
            None => Body::None,
        })
    }
}

/// Takes chunks apart as they arrive.
#[derive(Default)]
pub(crate) struct Chunks {
    /// Of the chunk under way, the line end behind it included.
    left: usize,
    is_last: bool,
}

impl Chunks {
    /// Shows `see` what of the body is in the buffer; whether the body has ended.
    pub(crate) fn take(
        &mut self,
        buffer: &mut BytesMut,
        mut see: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        const LINE_END: usize = 2;
        loop {
            if self.left > 0 {
                let here = self.left.min(buffer.len());
                let payload = self.left.saturating_sub(LINE_END).min(here);
                see(buffer.get(..payload).unwrap_or_default())?;
                buffer.advance(here);
                self.left -= here;
                if self.left > 0 {
                    return Ok(false);
                }
                if self.is_last {
                    return Ok(true);
                }
            }
            let Some(at) = memchr::memchr(b'\n', buffer) else {
                return Ok(false);
            };
            let line = buffer.split_to(at + 1);
            let size = std::str::from_utf8(&line)?.trim();
            let size = usize::from_str_radix(size, 16).context("the size of a chunk")?;
            ensure!(size < usize::MAX / 2, "a chunk of {size} bytes");
            self.is_last = size == 0;
            self.left = size + LINE_END;
        }
    }
}
