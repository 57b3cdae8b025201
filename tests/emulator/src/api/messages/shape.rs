//! The JSON of the Messages API, members in the order in which Anthropic writes them.
//!
//! `()` stands for a member that is always `null`.

use serde::Serialize;
use serde_json::{Value, json};

/// An event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum StreamEvent<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block,
    },
    Ping,
    ContentBlockDelta {
        index: u32,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: FinalDelta,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<FinalUsage>,
    },
    MessageStop,
}

impl StreamEvent<'_> {
    /// Its name, which is its type.
    pub(super) fn name(&self) -> &'static str {
        match self {
            StreamEvent::MessageStart { .. } => "message_start",
            StreamEvent::ContentBlockStart { .. } => "content_block_start",
            StreamEvent::Ping => "ping",
            StreamEvent::ContentBlockDelta { .. } => "content_block_delta",
            StreamEvent::ContentBlockStop { .. } => "content_block_stop",
            StreamEvent::MessageDelta { .. } => "message_delta",
            StreamEvent::MessageStop => "message_stop",
        }
    }
}

/// What an event adds to a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the tags are Anthropic's")]
pub(super) enum Delta<'a> {
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: String },
    TextDelta { text: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

/// The end of a message.
#[derive(Debug, Serialize)]
pub(super) struct FinalDelta {
    pub(super) stop_reason: &'static str,
    pub(super) stop_sequence: (),
}

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block>,
    pub(super) stop_reason: Option<&'static str>,
    pub(super) stop_sequence: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
}

/// An element of `content`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Thinking {
        thinking: String,
        signature: String,
    },
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
}

impl Block {
    /// The block before anything was put into it.
    pub(super) fn begun(&self) -> Self {
        match self {
            Block::Thinking { .. } => Block::Thinking {
                thinking: String::new(),
                signature: String::new(),
            },
            Block::Text { .. } => Block::Text {
                text: String::new(),
            },
            Block::ToolUse { id, name, .. } => Block::ToolUse {
                id: id.clone(),
                name: name.clone(),
                input: json!({}),
            },
        }
    }
}

/// The usage of a document, and of the beginning of a stream.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    pub(super) input_tokens: u32,
    pub(super) cache_creation_input_tokens: u32,
    pub(super) cache_read_input_tokens: u32,
    pub(super) cache_creation: CacheCreation,
    pub(super) output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens_details: Option<OutputDetails>,
    pub(super) service_tier: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CacheCreation {
    pub(super) ephemeral_5m_input_tokens: u32,
    pub(super) ephemeral_1h_input_tokens: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct OutputDetails {
    pub(super) thinking_tokens: u32,
}

/// The usage at the end of a stream: cumulative, without the split by
/// lifetime and the tier, which only the beginning tells.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct FinalUsage {
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

impl FinalUsage {
    pub(super) fn of(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cache_creation_input_tokens: usage.cache_creation_input_tokens,
            cache_read_input_tokens: usage.cache_read_input_tokens,
            output_tokens: usage.output_tokens,
            output_tokens_details: usage.output_tokens_details,
        }
    }
}
