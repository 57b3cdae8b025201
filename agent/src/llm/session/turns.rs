//! The turns of a session that are open, and what they come to.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::collections::VecDeque;

use super::{Ended, Event, TurnId};
use crate::llm::classify::Api;
use crate::llm::format::Format;
use crate::llm::inspect::Problems;
use crate::llm::observation::{Claim, Ending, Observation, Problem};
use crate::llm::reading::Reading;
use crate::llm::request::RequestFacts;
use crate::llm::share::Stated;
use crate::llm::tokens::{Estimate, Guess};
use crate::llm::usage::Provenance;

/// Turns that may be open at once. Providers allow a handful; past it the
/// oldest is taken for lost, and recorded as cut.
const TURNS_MAX: usize = 64;

/// Identifiers kept of turns that have ended, so that a word that follows the
/// last one does not begin another.
const ENDED_MAX: usize = 256;

/// What a turn is a call of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// A response of OpenAI's.
    Response,
    /// A response in a realtime session.
    Realtime,
    /// A transcription of what was said to one.
    Transcription,
    /// A turn of Gemini's.
    Gemini,
}

impl Call {
    fn api(self) -> Api {
        match self {
            Self::Response => Api::OpenAiResponsesSocket,
            Self::Realtime => Api::OpenAiRealtime,
            Self::Transcription => Api::OpenAiTranscriptions,
            Self::Gemini => Api::GeminiLive,
        }
    }

    /// The wire format that its usage is stated in.
    fn format(self) -> Format {
        match self {
            Self::Response | Self::Realtime | Self::Transcription => Format::OpenAiResponses,
            Self::Gemini => Format::Gemini,
        }
    }
}

/// A call to a model, from when it is asked for or answered until it is done.
#[derive(Debug)]
pub(super) struct Turn {
    id: TurnId,
    call: Call,
    /// What tells turns apart that are not answered yet.
    pub(super) lane: Option<String>,
    /// The provider's name for the turn, once it is answered.
    pub(super) key: Option<String>,
    /// Nobody needs to hear of it unless it is answered.
    is_silent: bool,
    pub(super) facts: RequestFacts,
    pub(super) reading: Reading,
    /// Part of the output was sound, of which the length says nothing.
    pub(super) has_sound: bool,
    pub(super) status: Option<u16>,
}

/// A turn that is about to begin.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) call: Call,
    pub(super) lane: Option<String>,
    pub(super) key: Option<String>,
    pub(super) is_silent: bool,
    pub(super) facts: RequestFacts,
}

/// Those that are open, oldest first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    open: Vec<Turn>,
    ended: VecDeque<String>,
    next: u64,
    pub(super) problems: Problems,
    /// The last error that was not that of a turn.
    pub(super) error: Option<String>,
}

impl Turns {
    /// Begins a turn.
    pub(super) fn begin(&mut self, opening: Opening, out: &mut dyn FnMut(Event)) -> &mut Turn {
        if self.open.len() >= TURNS_MAX {
            let mut lost = self.open.remove(0);
            lost.end(Ending::Cut, &[Problem::TooManyTurns], out);
            self.forget(lost.key);
        }
        let turn = TurnId(self.next);
        self.next = self.next.saturating_add(1);
        if !opening.is_silent {
            let api = opening.call.api();
            out(Event::Begun { turn, api });
        }
        self.open.push_mut(Turn {
            id: turn,
            call: opening.call,
            lane: opening.lane,
            key: opening.key,
            is_silent: opening.is_silent,
            facts: opening.facts,
            reading: Reading::default(),
            has_sound: false,
            status: None,
        })
    }

    /// The oldest turn of a lane that is not answered yet.
    pub(super) fn unanswered(&mut self, lane: Option<&str>) -> Option<&mut Turn> {
        let mut open = self.open.iter_mut();
        open.find(|turn| turn.key.is_none() && turn.lane.as_deref() == lane)
    }

    /// The turn of that name.
    pub(super) fn named(&mut self, key: &str) -> Option<&mut Turn> {
        let mut open = self.open.iter_mut();
        open.find(|turn| turn.key.as_deref() == Some(key))
    }

    /// The turn of a lane that was answered last.
    pub(super) fn current(&mut self, lane: Option<&str>) -> Option<&mut Turn> {
        let mut open = self.open.iter_mut();
        open.rfind(|turn| turn.key.is_some() && turn.lane.as_deref() == lane)
    }

    /// Whether a turn of that name has ended.
    pub(super) fn has_ended(&self, key: &str) -> bool {
        self.ended.iter().any(|ended| ended == key)
    }

    /// Ends a turn that upstream says is over.
    pub(super) fn end(&mut self, turn: TurnId, out: &mut dyn FnMut(Event)) {
        let Some(at) = self.open.iter().position(|open| open.id == turn) else {
            return;
        };
        let mut turn = self.open.remove(at);
        turn.end(Ending::Complete, &[], out);
        self.forget(turn.key);
    }

    /// Ends all of them with the session, `within` a message or not.
    pub(super) fn close(&mut self, within: bool, out: &mut dyn FnMut(Event)) {
        if within {
            self.problems.note(Problem::Truncated);
        }
        for mut turn in std::mem::take(&mut self.open) {
            turn.end(Ending::Cut, self.problems.list(), out);
        }
    }

    fn forget(&mut self, key: Option<String>) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.extend(key);
    }
}

impl Turn {
    pub(super) fn id(&self) -> TurnId {
        self.id
    }

    /// Gives the turn the name that upstream has for it.
    pub(super) fn answer(&mut self, key: String, out: &mut dyn FnMut(Event)) {
        if std::mem::take(&mut self.is_silent) {
            out(Event::Begun {
                turn: self.id,
                api: self.call.api(),
            });
        }
        self.key = Some(key);
    }

    /// Upstream said something in the turn.
    pub(super) fn hear(&self, out: &mut dyn FnMut(Event)) {
        if !self.is_silent {
            out(Event::Heard(self.id));
        }
    }

    fn end(&mut self, ending: Ending, problems: &[Problem], out: &mut dyn FnMut(Event)) {
        if self.is_silent {
            return;
        }
        let (guess, stated) = self.settle();
        let Guess {
            usage,
            provenance,
            method,
        } = guess;
        let (usage, split) = stated.settled(usage);
        let facts = std::mem::take(&mut self.facts);
        let reading = std::mem::take(&mut self.reading);
        // What was made over a socket can be fetched over HTTP.
        let is_known = self.call == Call::Response && provenance != Provenance::Unknown;
        let claim = if is_known { Claim::First } else { Claim::Sole };
        let observation = Observation {
            request_model: facts.model,
            response_model: reading.counts.answered_by.or(reading.model),
            response_id: reading.id,
            stream: Some(true),
            finish_reason: reading.finish_reason,
            service_tier: reading.service_tier.or(reading.counts.service_tier),
            speed: reading.counts.speed,
            inference_geo: reading.counts.inference_geo,
            usage,
            split,
            provenance,
            method,
            provider_error: reading.error,
            stated_cost: reading
                .counts
                .stated_cost
                .filter(|_| provenance == Provenance::Measured),
            claim,
            is_charged_otherwise: reading.counts.is_charged_otherwise,
            rpc: None,
            part: None,
            problems: problems.to_vec(),
        };
        out(Event::Ended(Box::new(Ended {
            turn: self.id,
            ending,
            status: self.status,
            observation,
        })));
    }

    /// What was used, and how far to trust it: as of a response over HTTP.
    fn settle(&self) -> (Guess, Stated) {
        let reading = &self.reading;
        let stated = self.call.format().stated(reading, &self.facts);
        if !stated.is_empty() && reading.has_ended {
            return (Guess::measured(stated.own), stated);
        }
        let has_nothing = reading.documents == 0
            || (reading.error.is_some() && reading.text.is_empty() && stated.is_empty());
        if has_nothing {
            return <(Guess, Stated)>::default();
        }
        let own = reading.read_in(&self.facts);
        // Sound is not written in letters that could be counted.
        let of_text = reading.text.estimate(own).filter(|_| !self.has_sound);
        let output = stated.own.output.map(Estimate::stated).or(of_text);
        let guess = Guess::new(stated.own, self.facts.estimated_input(own), output);
        (guess, stated)
    }
}
