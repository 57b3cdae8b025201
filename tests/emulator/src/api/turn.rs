//! What the model "says": reasoning, then a text or a tool call, within the
//! request's budget.

use super::tools::ToolCall;
use crate::controls::Controls;
use crate::prose::Prose;
use crate::seed::Seed;

/// The range of a text's natural length, in tokens.
const TEXT_TOKENS: (u32, u32) = (24, 96);

/// The range of reasoning before it, in tokens.
const REASONING_TOKENS: (u32, u32) = (12, 48);

/// Whether the model is to reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasoning {
    Off,
    On,
}

/// Why a turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All was said.
    Natural,
    /// The budget was spent.
    Budget,
    /// A tool's result is awaited.
    Tool,
}

/// What was said after the reasoning.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Text(Prose),
    Call(ToolCall),
}

/// A model's turn.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) reasoning: Prose,
    pub(crate) said: Said,
    pub(crate) stop: Stop,
}

impl Turn {
    /// The turn number `index` of an answer, in at most `budget` tokens.
    /// A tool call is never cut short by the budget.
    pub(crate) fn new(
        seed: Seed,
        index: u32,
        controls: &Controls,
        budget: Option<u32>,
        reasoning: Reasoning,
        call: Option<ToolCall>,
    ) -> Self {
        let budget = budget.unwrap_or(u32::MAX);
        let mut lengths = seed.draws(&format!("lengths {index}"));
        let wanted = match reasoning {
            Reasoning::Off => 0,
            Reasoning::On => lengths.between(REASONING_TOKENS.0, REASONING_TOKENS.1),
        };
        let drawn = lengths.between(TEXT_TOKENS.0, TEXT_TOKENS.1);
        let thought = wanted.min(budget);
        let reasoning = Prose::of_tokens(thought, &mut seed.draws(&format!("thought {index}")));
        if let Some(call) = call {
            return Self {
                reasoning,
                said: Said::Call(call),
                stop: Stop::Tool,
            };
        }
        let natural = controls.tokens.unwrap_or(drawn);
        let length = natural.min(budget - thought);
        let text = Prose::of_tokens(length, &mut seed.draws(&format!("text {index}")));
        Self {
            reasoning,
            said: Said::Text(text),
            stop: if thought < wanted || length < natural {
                Stop::Budget
            } else {
                Stop::Natural
            },
        }
    }

    /// Tokens of the turn, reasoning included.
    pub(crate) fn tokens(&self) -> u32 {
        let said = match &self.said {
            Said::Text(text) => text.tokens(),
            Said::Call(call) => call.tokens(),
        };
        self.reasoning.tokens() + said
    }
}
