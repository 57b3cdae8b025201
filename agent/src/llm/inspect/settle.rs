//! What the token counts come to, and how far to trust them.

use super::response::Response;
use crate::llm::observation::Ending;
use crate::llm::request::RequestFacts;
use crate::llm::usage::{Provenance, Usage};

/// Decides between what the provider stated and an estimate.
pub(super) fn settle(
    response: &Response,
    facts: &RequestFacts,
    ending: Ending,
) -> (Usage, Provenance) {
    let Some(format) = response.format else {
        return (Usage::default(), Provenance::Unknown);
    };
    let reading = &response.reading;
    let stated = format.totals(reading, facts);
    // Running totals are the last word once the stream has ended in any way that
    // says so: its sentinel, or a reason to stop and a clean end.
    let is_whole =
        reading.has_ended || (ending == Ending::Complete && reading.finish_reason.is_some());
    if !stated.is_empty() && (reading.is_usage_final || is_whole || !response.is_success) {
        return (stated, Provenance::Measured);
    }
    let has_nothing = reading.documents == 0
        || (reading.error.is_some() && reading.text_bytes == 0 && stated.is_empty());
    if !response.is_success || reading.is_deferred || has_nothing {
        return (Usage::default(), Provenance::Unknown);
    }
    let usage = Usage {
        input: stated.input.or_else(|| facts.estimated_input()),
        output: format.estimated_output(reading, stated.output),
        ..stated
    };
    let provenance = if usage.is_empty() {
        Provenance::Unknown
    } else {
        Provenance::Estimated
    };
    (usage, provenance)
}
