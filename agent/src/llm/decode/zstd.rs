//! `zstd`: Zstandard (RFC 8878), frame after frame.

use std::fmt;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{DecodeError, Step};

/// Largest window accepted, as a power of two: 8 MB, the limit that RFC 9659
/// sets for HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// Decodes any number of frames.
pub(super) struct Zstd {
    state: Decoder<'static>,
    /// Between frames.
    ended: bool,
}

impl Zstd {
    pub(super) fn new() -> Result<Self, DecodeError> {
        // Both can only fail for want of memory.
        let mut state = Decoder::new().map_err(|_no_memory| DecodeError::Unknown)?;
        state
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(|_no_memory| DecodeError::Unknown)?;
        Ok(Self { state, ended: true })
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        if input.is_empty() && self.ended {
            return Ok(Step {
                consumed: 0,
                produced: 0,
            });
        }
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(output);
        let hint = self
            .state
            .run(&mut source, &mut target)
            .map_err(|_malformed| DecodeError::Malformed)?;
        self.ended = hint == 0;
        Ok(Step {
            consumed: source.pos(),
            produced: target.pos(),
        })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Zstd")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
