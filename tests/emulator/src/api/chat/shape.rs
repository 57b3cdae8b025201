//! The JSON of chat completions, members in the order in which OpenAI writes them.
//!
//! `()` stands for a member that is always `null`.

use serde::{Serialize, Serializer};

/// `chat.completion`
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<DocumentChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    pub(super) service_tier: &'a str,
    pub(super) system_fingerprint: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct DocumentChoice {
    pub(super) index: u32,
    pub(super) message: Message,
    pub(super) logprobs: (),
    pub(super) finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Message {
    pub(super) role: &'static str,
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<Vec<ToolCallShape>>,
    pub(super) refusal: (),
    pub(super) annotations: [(); 0],
}

/// `chat.completion.chunk`
#[derive(Debug, Serialize)]
pub(super) struct Chunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) service_tier: &'a str,
    pub(super) system_fingerprint: &'a str,
    pub(super) choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "UsageMember::is_absent")]
    pub(super) usage: UsageMember,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) obfuscation: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChunkChoice {
    pub(super) index: u32,
    pub(super) delta: Delta,
    pub(super) logprobs: (),
    pub(super) finish_reason: Option<&'static str>,
}

/// What a chunk adds to a message. `Some(None)` is written as `null`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<Vec<ToolCallShape>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<()>,
}

impl Delta {
    /// The first of a message.
    pub(super) fn opening(content: Option<String>) -> Self {
        Self {
            role: Some("assistant"),
            content: Some(content),
            tool_calls: None,
            refusal: Some(()),
        }
    }

    /// A piece of text.
    pub(super) fn content(text: String) -> Self {
        Self {
            content: Some(Some(text)),
            ..Self::default()
        }
    }

    /// A piece of a tool call.
    pub(super) fn tool_call(part: ToolCallShape) -> Self {
        Self {
            tool_calls: Some(vec![part]),
            ..Self::default()
        }
    }
}

/// A tool call, or in a stream a part of one.
#[derive(Debug, Serialize)]
pub(super) struct ToolCallShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: Function,
}

#[derive(Debug, Serialize)]
pub(super) struct Function {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

/// The `usage` member of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) enum UsageMember {
    /// Not there.
    Absent,
    /// `null`
    Null,
    /// The figures.
    Told(Usage),
}

impl UsageMember {
    fn is_absent(&self) -> bool {
        matches!(self, UsageMember::Absent)
    }
}

impl Serialize for UsageMember {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            UsageMember::Absent | UsageMember::Null => serializer.serialize_none(),
            UsageMember::Told(usage) => usage.serialize(serializer),
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
    pub(super) total_tokens: u32,
    pub(super) prompt_tokens_details: PromptDetails,
    pub(super) completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: u32,
    pub(super) audio_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CompletionDetails {
    pub(super) reasoning_tokens: u32,
    pub(super) audio_tokens: u32,
    pub(super) accepted_prediction_tokens: u32,
    pub(super) rejected_prediction_tokens: u32,
}
