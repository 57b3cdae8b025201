//! What has come of an answer, and when.

use anyhow::Result;
use weir_tests::bench::clock::{STAMP, delay_ns, now_ns};

/// Of one answer, as it comes.
pub(super) struct Got {
    has_events: bool,
    pending: Vec<u8>,
    /// Of the body.
    pub(super) bytes: u64,
    /// Those with a stamp: the others are the provider's last words.
    pub(super) events: u64,
    /// When the first came.
    pub(super) first_ns: Option<u64>,
    /// How late each of the others came.
    pub(super) delays_ns: Vec<u64>,
}

impl Got {
    pub(super) fn new(has_events: bool) -> Self {
        Self {
            has_events,
            pending: Vec::new(),
            bytes: 0,
            events: 0,
            first_ns: None,
            delays_ns: Vec::new(),
        }
    }

    /// A part of the body has come.
    pub(super) fn see(&mut self, part: &[u8]) -> Result<()> {
        self.bytes += part.len() as u64;
        if !self.has_events {
            return Ok(());
        }
        let arrived = now_ns();
        self.pending.extend_from_slice(part);
        let mut seen = 0;
        let rest = |seen| self.pending.get(seen..).unwrap_or_default();
        while let Some(length) = memchr::memmem::find(rest(seen), b"\n\n") {
            let event = self.pending.get(seen..seen + length).unwrap_or_default();
            seen += length + 2;
            if !event.starts_with(STAMP.as_bytes()) {
                continue;
            }
            self.events += 1;
            match self.first_ns {
                None => self.first_ns = Some(arrived),
                // The first waits for the head, and not for a gap.
                Some(_) => self.delays_ns.push(delay_ns(event, arrived)?),
            }
        }
        self.pending.drain(..seen);
        Ok(())
    }
}
