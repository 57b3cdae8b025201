//! `deflate`: by the RFC a zlib stream, in practice sometimes without its header.

use flate2::{Decompress, FlushDecompress, Status};

use super::{DecodeError, Step};

/// Decodes a zlib or a raw deflate stream.
#[derive(Debug)]
pub(super) enum Deflate {
    /// With the first byte, if it has arrived: two tell which it is.
    Undecided(Option<u8>),
    /// Either.
    Inflating(Inflate),
}

impl Default for Deflate {
    fn default() -> Self {
        Self::Undecided(None)
    }
}

impl Deflate {
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Self::Inflating(inflate) => inflate.step(input, output),
            Self::Undecided(first) => match (*first, input) {
                (_, []) => Ok(Step {
                    consumed: 0,
                    produced: 0,
                }),
                (None, [byte, ..]) => {
                    *first = Some(*byte);
                    Ok(Step {
                        consumed: 1,
                        produced: 0,
                    })
                }
                (Some(first), [second, ..]) => {
                    let mut inflate = Inflate::new(has_zlib_header(first, *second));
                    // One byte holds no more than half a header: no output yet.
                    inflate.step(&[first], &mut [])?;
                    let step = inflate.step(input, output);
                    *self = Self::Inflating(inflate);
                    step
                }
            },
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Self::Inflating(inflate) => inflate.is_at_end(),
            Self::Undecided(_) => false,
        }
    }
}

/// Method 8, a window that exists, and a check over both bytes. A raw stream
/// that begins like this would be a stored block with junk in its padding.
fn has_zlib_header(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// A deflate stream, raw or in zlib's wrapping.
#[derive(Debug)]
pub(super) struct Inflate {
    state: Decompress,
    ended: bool,
}

impl Inflate {
    pub(super) fn new(zlib_header: bool) -> Self {
        Self {
            state: Decompress::new(zlib_header),
            ended: false,
        }
    }

    /// After the end of the stream nothing is consumed any more.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        if self.ended {
            return Ok(Step {
                consumed: 0,
                produced: 0,
            });
        }
        let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
        let status = self
            .state
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_malformed| DecodeError::Malformed)?;
        self.ended = status == Status::StreamEnd;
        let since = |now: u64, before: u64| {
            usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
        };
        Ok(Step {
            consumed: since(self.state.total_in(), in_before),
            produced: since(self.state.total_out(), out_before),
        })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.ended
    }

    /// Forgets what was inflated, and begins another stream in its place.
    pub(super) fn restart(&mut self) {
        self.state.reset(false);
        self.ended = false;
    }
}
