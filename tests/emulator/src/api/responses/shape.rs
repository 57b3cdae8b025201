//! The JSON of the Responses API, members in the order in which OpenAI writes them.
//!
//! `()` stands for a member that is always `null`.

use serde::Serialize;
use serde_json::Value;

/// The state of a response or of one of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// `response`
#[derive(Debug, Serialize)]
pub(super) struct Response<'a> {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created_at: u64,
    pub(super) status: Status,
    pub(super) background: bool,
    pub(super) error: (),
    pub(super) incomplete_details: Option<Value>,
    pub(super) instructions: &'a Value,
    pub(super) max_output_tokens: &'a Value,
    pub(super) model: &'a str,
    pub(super) output: &'a [Item],
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: &'a Value,
    pub(super) reasoning: Value,
    pub(super) service_tier: &'a str,
    pub(super) store: bool,
    pub(super) temperature: f64,
    pub(super) text: Value,
    pub(super) tool_choice: Value,
    pub(super) tools: Value,
    pub(super) top_p: f64,
    pub(super) truncation: &'static str,
    pub(super) usage: Option<Usage>,
    pub(super) user: &'a Value,
    pub(super) metadata: Value,
}

/// The member of an event that tells the whole response.
#[derive(Debug, Serialize)]
pub(super) struct Whole<'a> {
    pub(super) response: &'a Response<'a>,
}

/// The members of an event that tells an item.
#[derive(Debug, Serialize)]
pub(super) struct Placed<'a> {
    pub(super) output_index: u32,
    pub(super) item: &'a Item,
}

/// An element of `output`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Reasoning {
        id: String,
        summary: [(); 0],
    },
    Message {
        id: String,
        status: Status,
        content: Vec<Part>,
        role: &'static str,
    },
    FunctionCall {
        id: String,
        status: Status,
        arguments: String,
        call_id: String,
        name: String,
    },
}

impl Item {
    /// The item before anything was put into it.
    pub(super) fn begun(&self) -> Self {
        let mut begun = self.clone();
        match &mut begun {
            Item::Reasoning { .. } => {}
            Item::Message {
                status, content, ..
            } => {
                *status = Status::InProgress;
                content.clear();
            }
            Item::FunctionCall {
                status, arguments, ..
            } => {
                *status = Status::InProgress;
                arguments.clear();
            }
        }
        begun
    }
}

/// An element of a message's `content`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    annotations: [(); 0],
    logprobs: [(); 0],
    text: String,
}

impl Part {
    /// A text.
    pub(super) fn text(text: String) -> Self {
        Self {
            kind: "output_text",
            annotations: [],
            logprobs: [],
            text,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    pub(super) input_tokens: u32,
    pub(super) input_tokens_details: InputDetails,
    pub(super) output_tokens: u32,
    pub(super) output_tokens_details: OutputDetails,
    pub(super) total_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct InputDetails {
    pub(super) cached_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct OutputDetails {
    pub(super) reasoning_tokens: u32,
}
