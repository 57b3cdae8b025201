//! The wire formats of responses behind one door: a match per question.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::classify::Api;
use super::json::{Interest, JsonError};
use super::reading::{Counts, Draft, Reading, Slot};
use super::request::{RequestFacts, RequestSlot};
use super::usage::{Usage, estimate};
use super::{anthropic, openai_chat, openai_responses, openai_usage};

/// A wire format of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
}

impl Format {
    /// The format of an API's responses, if it is one that is read.
    pub(super) fn of(api: Api) -> Option<Self> {
        match api {
            Api::OpenAiChat => Some(Self::OpenAiChat),
            Api::OpenAiResponses | Api::OpenAiResponsesFetch => Some(Self::OpenAiResponses),
            Api::AnthropicMessages | Api::AnthropicCountTokens => Some(Self::Anthropic),
            // Recorded, not read.
            Api::OpenAiCompletions
            | Api::OpenAiResponsesSocket
            | Api::OpenAiResponsesCompact
            | Api::OpenAiResponsesCancel
            | Api::OpenAiResponsesInputs
            | Api::OpenAiInputTokens
            | Api::OpenAiEmbeddings
            | Api::OpenAiModerations
            | Api::OpenAiDecisions
            | Api::OpenAiImages
            | Api::OpenAiTranscriptions
            | Api::OpenAiSpeech
            | Api::OpenAiVideos
            | Api::OpenAiRealtime
            | Api::OpenAiRealtimeSetup
            | Api::OpenAiLive
            | Api::OpenAiBatches
            | Api::OpenAiFiles
            | Api::OpenAiRuns
            | Api::OpenAiAssistants
            | Api::MistralFim
            | Api::MistralConversations
            | Api::MistralOcr
            | Api::Rerank
            | Api::VllmPooling
            | Api::VllmGenerate
            | Api::Tokenize
            | Api::LlamaCppCompletion
            | Api::AnthropicBatches
            | Api::AnthropicBatchResults
            | Api::AnthropicSessionEvents
            | Api::BedrockConverse
            | Api::BedrockInvoke
            | Api::BedrockInvokeBidirectional
            | Api::BedrockCountTokens
            | Api::BedrockAsyncInvoke
            | Api::BedrockGuardrail
            | Api::SageMakerInvoke
            | Api::GeminiGenerate
            | Api::GeminiCloudCode
            | Api::GeminiCountTokens
            | Api::GeminiEmbed
            | Api::GeminiPredict
            | Api::GeminiBatch
            | Api::GeminiInteractions
            | Api::GeminiInteractionsFetch
            | Api::GeminiLive
            | Api::VertexRawPredict
            | Api::CohereChat
            | Api::CohereChatV1
            | Api::CohereGenerate
            | Api::CohereEmbed
            | Api::CohereRerank
            | Api::CohereOther
            | Api::OllamaChat
            | Api::OllamaGenerate
            | Api::OllamaEmbed
            | Api::TgiGenerate
            | Api::KserveInfer
            | Api::KserveGenerate
            | Api::KserveGrpc
            | Api::XAiGrpc
            | Api::XAiGrpcOther
            | Api::Mcp
            | Api::A2a
            | Api::A2aGrpc
            | Api::Other => None,
        }
    }

    /// What is read of a request.
    pub(super) fn request(self) -> &'static [Interest<RequestSlot>] {
        match self {
            Self::OpenAiChat => openai_chat::REQUEST,
            Self::OpenAiResponses => openai_responses::REQUEST,
            Self::Anthropic => anthropic::REQUEST,
        }
    }

    /// What is read of an event, or of a body.
    pub(super) fn table(self, is_stream: bool) -> &'static [Interest<Slot>] {
        match (self, is_stream) {
            (Self::OpenAiChat, _) => openai_chat::RESPONSE,
            (Self::OpenAiResponses, true) => openai_responses::EVENT,
            (Self::OpenAiResponses, false) => openai_responses::BODY,
            (Self::Anthropic, true) => anthropic::EVENT,
            (Self::Anthropic, false) => anthropic::BODY,
        }
    }

    /// How its usage object is read.
    pub(super) fn parse_usage(self) -> fn(&[u8]) -> Counts {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => openai_usage::parse,
            Self::Anthropic => anthropic::parse,
        }
    }

    /// Takes an event whose data was a whole document.
    pub(super) fn commit_event(self, draft: Draft, reading: &mut Reading) {
        match self {
            Self::OpenAiChat => openai_chat::commit_event(draft, reading),
            Self::OpenAiResponses => openai_responses::commit_event(draft, reading),
            Self::Anthropic => anthropic::commit_event(draft, reading),
        }
    }

    /// Takes a body, be it whole or cut.
    pub(super) fn commit_body(
        self,
        draft: Draft,
        whole: Result<(), JsonError>,
        reading: &mut Reading,
    ) {
        match self {
            Self::OpenAiResponses => openai_responses::commit_body(draft, reading),
            Self::OpenAiChat | Self::Anthropic => reading.commit(draft),
        }
        // In a body that was cut, another usage object could have followed; and
        // before any text it could have become an error.
        reading.has_ended = whole.is_ok();
        if whole.is_err() && reading.text_bytes == 0 {
            reading.documents = 0;
        }
    }

    /// What the provider stated, in weir's terms.
    pub(super) fn totals(self, reading: &Reading, facts: &RequestFacts) -> Usage {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => reading.counts.usage,
            Self::Anthropic => anthropic::totals(&reading.counts, facts),
        }
    }

    /// What was generated, from the last count stated and the text seen. No text
    /// is no estimate: a model may have been reasoning out of sight.
    pub(super) fn estimated_output(self, reading: &Reading, stated: Option<u64>) -> Option<u64> {
        let of_text = (reading.text_bytes > 0).then(|| estimate(reading.text_bytes));
        match (self, stated) {
            (_, None) => of_text,
            // The first count is provisional, and not a count of anything.
            (Self::Anthropic, Some(_)) => stated.max(of_text),
            (Self::OpenAiChat | Self::OpenAiResponses, Some(count)) => {
                Some(count.saturating_add(estimate(reading.text_bytes_since_usage)))
            }
        }
    }
}
