//! Messages that are deflated one by one with a window in common, as
//! WebSockets do (RFC 7692).
//!
//! The end of a message is a flush of the compressor, of which the last four
//! bytes are always the same and so not sent. Whoever reads knows where a
//! message ends, and adds them.

use super::deflate::Inflate;
use super::{Budget, DecodeError, STEP};

/// What ends every flush, and is left out.
const FLUSH_END: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflates one message after another.
///
/// It keeps the largest window there is from message to message, which is also
/// right for a compressor that uses a smaller one, or forgets it in between.
#[derive(Debug)]
pub struct Messages {
    inflate: Box<Inflate>,
    /// Of the message in progress.
    budget: Budget,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            inflate: Box::new(Inflate::new(false)),
            budget: Budget::default(),
        }
    }
}

impl Messages {
    /// Inflates the next bytes of a message into `sink`.
    ///
    /// # Errors
    /// After an error no message can be read any more.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
        self.budget.arrived = self.budget.arrived.saturating_add(bytes.len() as u64);
        self.inflate(bytes, sink)
    }

    /// Inflates what the end of a message leaves.
    ///
    /// # Errors
    /// As of [`Self::push`].
    pub fn end(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
        self.inflate(&FLUSH_END, sink)?;
        self.budget = Budget::default();
        Ok(())
    }

    fn inflate(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        let mut buffer = [0; STEP];
        loop {
            if self.inflate.is_at_end() && !input.is_empty() {
                // A last block does not end the message, only its compressor:
                // some have no other way to flush (RFC 7692 §7.2.3.5).
                self.inflate.restart();
            }
            let step = self.inflate.step(input, &mut buffer)?;
            input = input.get(step.consumed..).unwrap_or_default();
            if let Some(inflated) = buffer
                .get(..step.produced)
                .filter(|inflated| !inflated.is_empty())
            {
                self.budget.spend(inflated.len(), 0)?;
                sink(inflated);
            } else if input.is_empty() || (step.consumed == 0 && !self.inflate.is_at_end()) {
                // A full buffer may hide more output; an empty one hides none.
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(messages: &mut Messages, pieces: &[&[u8]]) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        for piece in pieces {
            messages.push(piece, &mut |bytes| out.extend_from_slice(bytes))?;
        }
        messages.end(&mut |bytes| out.extend_from_slice(bytes))?;
        Ok(out)
    }

    /// Examples of RFC 7692, §7.2.3.
    const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    const HELLO_IN_THE_WINDOW: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    const HELLO_STORED: &[u8] = &[
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    const HELLO_IN_A_LAST_BLOCK: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    const HELLO_IN_TWO_BLOCKS: &[u8] = &[
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];

    #[test]
    fn the_examples_of_the_rfc_are_inflated_at_every_split() {
        for example in [
            HELLO,
            HELLO_STORED,
            HELLO_IN_A_LAST_BLOCK,
            HELLO_IN_TWO_BLOCKS,
        ] {
            for at in 0..=example.len() {
                let (head, tail) = example.split_at(at);
                let mut messages = Messages::default();
                for _ in 0..2 {
                    let inflated = inflate(&mut messages, &[head, tail]);
                    assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]), "split at {at}");
                }
            }
        }
        let mut messages = Messages::default();
        assert_eq!(inflate(&mut messages, &[&[0]]).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_message_may_refer_to_the_one_before() {
        let mut messages = Messages::default();
        for message in [HELLO, HELLO_IN_THE_WINDOW, HELLO, HELLO_IN_THE_WINDOW] {
            let inflated = inflate(&mut messages, &[message]);
            assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]));
        }
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
        let zeros = vec![0; 64 << 20];
        let mut bomb = Vec::with_capacity(1 << 20);
        compress
            .compress_vec(&zeros, &mut bomb, flate2::FlushCompress::Sync)
            .expect("zeros can be deflated");
        let mut messages = Messages::default();
        let (mut inflated, mut pushed) = (0, Ok(()));
        for piece in bomb.chunks(1000) {
            pushed = messages.push(piece, &mut |bytes| inflated += bytes.len());
            if pushed.is_err() {
                break;
            }
        }
        assert_eq!(pushed, Err(DecodeError::Ratio));
        assert!(inflated < 4 << 20, "{inflated} bytes");
    }

    #[test]
    fn noise_is_an_error_or_bytes_but_never_the_end_of_weir() {
        let mut seed = 1_u64;
        for _ in 0..2_000 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed.to_le_bytes()[6]
            })
            .take(40)
            .collect();
            let mut messages = Messages::default();
            if let Ok(inflated) = inflate(&mut messages, &[&bytes]) {
                assert!(inflated.len() <= bytes.len() * 1032);
            }
        }
    }
}
