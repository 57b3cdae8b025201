//! What the token counts come to, how far to trust them, and whose they are.

use super::response::Response;
use crate::llm::classify::Counting;
use crate::llm::observation::{Claim, Ending};
use crate::llm::request::RequestFacts;
use crate::llm::share::{Split, Stated};
use crate::llm::tokens::{Guess, Method};
use crate::llm::usage::{Provenance, Usage};

/// The tokens of an exchange.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) usage: Usage,
    /// Whose it is, where several models had a part in it.
    pub(super) split: Option<Box<Split>>,
    pub(super) provenance: Provenance,
    /// How the counts were estimated, if any was.
    pub(super) method: Option<Method>,
    pub(super) claim: Claim,
    /// What the response states of its cost is its last word.
    pub(super) is_cost_final: bool,
}

/// Decides between what the provider stated and an estimate, and whether it is
/// for this exchange to report.
pub(super) fn settle(
    counting: Counting,
    response: &Response,
    facts: &RequestFacts,
    ending: Ending,
) -> Settled {
    let (guess, stated) = weigh(response, facts, ending);
    let Guess {
        usage,
        provenance,
        method,
    } = guess;
    let (usage, split) = stated.settled(usage);
    let is_deferred = response.is_success && is_deferred(response, facts);
    let claim = match (counting, provenance) {
        (Counting::Never, _) => return Settled::default(),
        (Counting::Here, _) => Claim::Sole,
        (Counting::Begun, Provenance::Measured | Provenance::Estimated) => Claim::First,
        (Counting::Begun, Provenance::Unknown) if is_deferred => Claim::Deferred,
        (Counting::Begun, Provenance::Unknown) => Claim::Sole,
        (Counting::Collected, Provenance::Measured) => Claim::Collected,
        (Counting::Fetched, Provenance::Measured) if response.reading.is_background => {
            Claim::Collected
        }
        (Counting::Fetched, Provenance::Measured) => Claim::Repeat,
        // What is not whole will be looked at again, and is not guessed at.
        (Counting::Fetched | Counting::Collected, _) => return Settled::default(),
    };
    Settled {
        usage,
        split,
        provenance,
        method,
        claim,
        is_cost_final: match provenance {
            Provenance::Measured => true,
            // Of a stream that was cut, an interim figure.
            Provenance::Estimated => false,
            Provenance::Unknown => response.is_success && response.reading.has_ended,
        },
    }
}

/// Whether the response goes on being made after this exchange.
fn is_deferred(response: &Response, facts: &RequestFacts) -> bool {
    let reading = &response.reading;
    reading.is_deferred || reading.is_background || facts.is_background
}

/// What the model used that answered, and what is stated of it and of others.
fn weigh(response: &Response, facts: &RequestFacts, ending: Ending) -> (Guess, Stated) {
    let Some(format) = response.format else {
        return <(Guess, Stated)>::default();
    };
    let reading = &response.reading;
    let stated = format.stated(reading, facts);
    // Running totals are the last word once the stream has ended in any way that
    // says so: its sentinel, or a reason to stop and a clean end.
    let is_whole =
        reading.has_ended || (ending == Ending::Complete && reading.finish_reason.is_some());
    if !stated.is_empty() && (reading.is_usage_final || is_whole || !response.is_success) {
        return (Guess::measured(stated.own), stated);
    }
    if format.is_read_out() && response.is_success && facts.is_whole {
        return (Guess::of_characters(facts.spoken), Stated::default());
    }
    let has_nothing = reading.documents == 0
        || (reading.error.is_some() && reading.text.is_empty() && stated.is_empty());
    let is_guessable = format.is_text() && !is_deferred(response, facts) && !has_nothing;
    if !response.is_success || !is_guessable {
        return <(Guess, Stated)>::default();
    }
    let own = reading.read_in(facts);
    let output = format.estimated_output(reading, stated.own.output, own);
    let guess = Guess::new(stated.own, facts.estimated_input(own), output);
    (guess, stated)
}
