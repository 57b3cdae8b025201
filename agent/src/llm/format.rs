//! The wire formats of responses behind one door: a match per question.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::classify::Api;
use super::headers::Headers;
use super::json::{JsonError, Table};
use super::multipart::Field;
use super::reading::{Counts, Draft, Reading, Slot, coded, named};
use super::request::{RequestFacts, RequestSlot};
use super::share::Stated;
use super::tokens::{Estimate, Vocabulary};
use super::{
    anthropic, bedrock_converse, bedrock_invoke, cohere, gemini, gemini_interactions, json_rpc,
    kserve, ollama, protobuf, tgi, xai_grpc,
};
use super::{
    llama_cpp, mistral, openai_chat, openai_job, openai_responses, openai_task, openai_usage,
};

/// What is read of the messages of a gRPC call: the request's and the response's.
pub(super) type Messages = (
    &'static [protobuf::Interest<RequestSlot>],
    &'static [protobuf::Interest<Slot>],
);

/// Where nothing is read of documents.
pub(super) static NO_VALUES: Table<Slot> = Table::new(&[]);

/// A wire format of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenAiChat,
    OpenAiResponses,
    /// Everything beside conversations.
    OpenAiTask,
    /// Of it, what draws, and what reads a text out.
    OpenAiImages,
    OpenAiSpeech,
    /// Batches and runs.
    OpenAiJob,
    MistralConversations,
    LlamaCpp,
    Anthropic,
    /// Results of a batch, a line each.
    AnthropicResults,
    /// Events of an agent's session.
    AnthropicSession,
    Gemini,
    GeminiCloudCode,
    GeminiPredict,
    GeminiInteractions,
    BedrockConverse,
    /// Any model's own, told apart by names, as Bedrock carries it.
    BedrockInvoke,
    /// The same as it is.
    AnyModel,
    Cohere,
    Ollama,
    Tgi,
    Kserve,
    KserveGrpc,
    XAiGrpc(xai_grpc::Call),
    Mcp,
    A2a,
}

impl Format {
    /// The format of an API's responses, if it is one that is read.
    pub(super) fn of(api: Api) -> Option<Self> {
        match api {
            Api::OpenAiChat | Api::OpenAiCompletions | Api::MistralFim | Api::VllmGenerate => {
                Some(Self::OpenAiChat)
            }
            Api::OpenAiResponses
            | Api::OpenAiResponsesCompact
            | Api::OpenAiResponsesFetch
            | Api::OpenAiResponsesCancel => Some(Self::OpenAiResponses),
            Api::OpenAiInputTokens
            | Api::OpenAiEmbeddings
            | Api::OpenAiModerations
            | Api::OpenAiDecisions
            | Api::OpenAiTranscriptions
            | Api::OpenAiVideos
            | Api::MistralOcr
            | Api::Rerank
            | Api::VllmPooling
            | Api::Tokenize => Some(Self::OpenAiTask),
            Api::OpenAiImages => Some(Self::OpenAiImages),
            Api::OpenAiSpeech => Some(Self::OpenAiSpeech),
            Api::OpenAiBatches | Api::OpenAiRuns => Some(Self::OpenAiJob),
            Api::MistralConversations => Some(Self::MistralConversations),
            Api::LlamaCppCompletion => Some(Self::LlamaCpp),
            Api::AnthropicBatchResults => Some(Self::AnthropicResults),
            Api::AnthropicSessionEvents => Some(Self::AnthropicSession),
            Api::AnthropicMessages | Api::AnthropicCountTokens => Some(Self::Anthropic),
            Api::GeminiGenerate | Api::GeminiCountTokens | Api::GeminiEmbed => Some(Self::Gemini),
            Api::GeminiCloudCode => Some(Self::GeminiCloudCode),
            Api::GeminiPredict => Some(Self::GeminiPredict),
            Api::GeminiInteractions | Api::GeminiInteractionsFetch => {
                Some(Self::GeminiInteractions)
            }
            Api::BedrockConverse => Some(Self::BedrockConverse),
            Api::BedrockInvoke | Api::BedrockEmbed => Some(Self::BedrockInvoke),
            Api::SageMakerInvoke | Api::VertexRawPredict => Some(Self::AnyModel),
            Api::CohereChat
            | Api::CohereChatV1
            | Api::CohereGenerate
            | Api::CohereEmbed
            | Api::CohereRerank
            | Api::CohereParse => Some(Self::Cohere),
            Api::OllamaChat | Api::OllamaGenerate | Api::OllamaEmbed => Some(Self::Ollama),
            Api::TgiGenerate => Some(Self::Tgi),
            Api::KserveInfer | Api::KserveGenerate => Some(Self::Kserve),
            Api::KserveGrpc => Some(Self::KserveGrpc),
            Api::XAiGrpc => Some(Self::XAiGrpc(xai_grpc::Call::Chat)),
            Api::XAiGrpcStored => Some(Self::XAiGrpc(xai_grpc::Call::Stored)),
            Api::XAiGrpcDeferred => Some(Self::XAiGrpc(xai_grpc::Call::Deferred)),
            Api::XAiGrpcCompact => Some(Self::XAiGrpc(xai_grpc::Call::Compact)),
            Api::XAiGrpcSample => Some(Self::XAiGrpc(xai_grpc::Call::Sample)),
            Api::XAiGrpcImage => Some(Self::XAiGrpc(xai_grpc::Call::Image)),
            Api::Mcp => Some(Self::Mcp),
            Api::A2a => Some(Self::A2a),
            // Recorded, not read.
            Api::OpenAiResponsesSocket
            | Api::OpenAiResponsesInputs
            | Api::OpenAiRealtime
            | Api::OpenAiRealtimeSetup
            | Api::OpenAiLive
            | Api::OpenAiFiles
            | Api::OpenAiAssistants
            | Api::AnthropicBatches
            | Api::BedrockInvokeBidirectional
            | Api::BedrockCountTokens
            | Api::CohereOther
            | Api::BedrockAsyncInvoke
            | Api::BedrockGuardrail
            | Api::GeminiBatch
            | Api::GeminiLive
            | Api::XAiGrpcOther
            | Api::A2aGrpc
            | Api::Other => None,
        }
    }

    /// What is read of a request.
    pub(super) fn request(self) -> &'static Table<RequestSlot> {
        static NONE: Table<RequestSlot> = Table::new(&[]);
        match self {
            Self::OpenAiChat => &openai_chat::REQUEST,
            Self::OpenAiResponses => &openai_responses::REQUEST,
            Self::OpenAiTask | Self::OpenAiImages => &openai_task::REQUEST,
            Self::OpenAiSpeech => &openai_task::SPEECH,
            Self::OpenAiJob => &openai_job::REQUEST,
            Self::MistralConversations => &mistral::REQUEST,
            Self::LlamaCpp => &llama_cpp::REQUEST,
            // There is no body.
            Self::AnthropicResults | Self::AnthropicSession => &NONE,
            Self::Anthropic => &anthropic::REQUEST,
            Self::Gemini | Self::GeminiPredict => &gemini::REQUEST,
            Self::GeminiCloudCode => &gemini::CLOUD_CODE_REQUEST,
            Self::GeminiInteractions => &gemini_interactions::REQUEST,
            Self::BedrockConverse => &bedrock_converse::REQUEST,
            Self::BedrockInvoke | Self::AnyModel => &bedrock_invoke::REQUEST,
            Self::Cohere => &cohere::REQUEST,
            Self::Ollama => &ollama::REQUEST,
            Self::Tgi => &tgi::REQUEST,
            Self::Kserve => &kserve::REQUEST,
            Self::Mcp | Self::A2a => &json_rpc::REQUEST,
            // These are no JSON: see `messages`.
            Self::KserveGrpc | Self::XAiGrpc(_) => &NONE,
        }
    }

    /// How the fields of a request are read that is a form.
    pub(super) fn take_field(self) -> Option<fn(Field<'_>, &mut RequestFacts)> {
        matches!(self, Self::OpenAiTask | Self::OpenAiImages).then_some(openai_task::take_field)
    }

    /// Whether tokens can be told from the length of text. Images, sound and
    /// videos have little to do with the words that asked for them.
    pub(super) fn is_text(self) -> bool {
        !matches!(
            self,
            Self::OpenAiTask
                | Self::OpenAiImages
                | Self::OpenAiSpeech
                | Self::XAiGrpc(xai_grpc::Call::Image)
        )
    }

    /// Whether the characters of the request are charged where no tokens are
    /// stated: nobody repeats their number.
    pub(super) fn is_read_out(self) -> bool {
        self == Self::OpenAiSpeech
    }

    /// Whether an answer that is no document is nothing unusual: sound, images
    /// and subtitles, or any word to acknowledge a message of MCP.
    pub(super) fn answers_with_media(self) -> bool {
        matches!(self, Self::Mcp) || !self.is_text()
    }

    /// What is read of an event, or of a body.
    pub(super) fn table(self, is_stream: bool) -> &'static Table<Slot> {
        match (self, is_stream) {
            (Self::OpenAiChat, _) => &openai_chat::RESPONSE,
            (Self::OpenAiResponses, true) => &openai_responses::EVENT,
            (Self::OpenAiResponses, false) => &openai_responses::BODY,
            (Self::OpenAiTask | Self::OpenAiImages | Self::OpenAiSpeech, true) => {
                &openai_task::EVENT
            }
            (Self::OpenAiImages, false) => &openai_task::IMAGES,
            (Self::OpenAiTask | Self::OpenAiSpeech, false) => &openai_task::BODY,
            (Self::OpenAiJob, _) => &openai_job::RESPONSE,
            (Self::MistralConversations, _) => &mistral::RESPONSE,
            (Self::LlamaCpp, _) => &llama_cpp::RESPONSE,
            (Self::AnthropicResults, _) => &anthropic::RESULT,
            (Self::AnthropicSession, true) => &anthropic::SESSION_EVENT,
            // A page of events that were streamed before.
            (Self::AnthropicSession, false) => &NO_VALUES,
            (Self::Anthropic, true) => &anthropic::EVENT,
            (Self::Anthropic, false) => &anthropic::BODY,
            (Self::Gemini, _) => &gemini::RESPONSE,
            (Self::GeminiCloudCode, _) => &gemini::CLOUD_CODE,
            (Self::GeminiPredict, _) => &gemini::PREDICT,
            (Self::GeminiInteractions, true) => &gemini_interactions::EVENT,
            (Self::GeminiInteractions, false) => &gemini_interactions::BODY,
            (Self::BedrockConverse, true) => &bedrock_converse::EVENT,
            (Self::BedrockConverse, false) => &bedrock_converse::BODY,
            (Self::BedrockInvoke | Self::AnyModel, _) => &bedrock_invoke::RESPONSE,
            (Self::Cohere, true) => &cohere::EVENT,
            (Self::Cohere, false) => &cohere::BODY,
            (Self::Ollama, _) => &ollama::RESPONSE,
            (Self::Tgi, true) => &tgi::EVENT,
            (Self::Tgi, false) => &tgi::BODY,
            (Self::Kserve, _) => &kserve::RESPONSE,
            (Self::KserveGrpc | Self::XAiGrpc(_), _) => &NO_VALUES,
            (Self::Mcp, _) => &json_rpc::MCP,
            (Self::A2a, _) => &json_rpc::A2A,
        }
    }

    /// What is read of a request and of a response that are protobuf messages.
    pub(super) fn messages(self, is_stream: bool) -> Option<Messages> {
        match (self, is_stream) {
            (Self::KserveGrpc, true) => Some((kserve::GRPC_REQUEST, kserve::GRPC_EVENT)),
            (Self::KserveGrpc, false) => Some((kserve::GRPC_REQUEST, kserve::GRPC_BODY)),
            (Self::XAiGrpc(call), is_stream) => Some(call.messages(is_stream)),
            _ => None,
        }
    }

    /// Whether a JSON array is a stream of documents.
    pub(super) fn writes_arrays(self) -> bool {
        matches!(self, Self::Gemini | Self::GeminiCloudCode)
    }

    /// Whether an error may stand between events, as a document of several lines.
    pub(super) fn writes_bare_errors(self) -> bool {
        self.writes_arrays()
    }

    /// Whether the payload of a message of an event stream wraps the document.
    pub(super) fn wraps_payloads(self) -> bool {
        self == Self::BedrockInvoke
    }

    /// Whether an object that may be one of many documents is the only one.
    pub(super) fn writes_lines(self) -> bool {
        matches!(self, Self::Ollama | Self::AnthropicResults)
    }

    /// What of a response is known from its head, if it is of use.
    pub(super) fn read_head(self, headers: &Headers, reading: &mut Reading) {
        let tokens = |name| headers.get(name).and_then(|value| value.parse().ok());
        if matches!(self, Self::BedrockConverse | Self::BedrockInvoke) {
            reading.id = headers.get("x-amzn-requestid").and_then(named);
            let error = headers.get("x-amzn-errortype");
            reading.error = error.and_then(|error| coded(error.split(':').next()?));
            reading.head_input = tokens("x-amzn-bedrock-input-token-count");
            reading.head_output = tokens("x-amzn-bedrock-output-token-count");
            // Converse says it in the body, which comes first.
            reading.service_tier = headers.get("x-amzn-bedrock-service-tier").and_then(coded);
            let latency = headers.get("x-amzn-bedrock-performanceconfig-latency");
            reading.counts.speed = latency.and_then(coded);
        }
        if self == Self::Tgi {
            reading.head_input = tokens("x-prompt-tokens");
            reading.head_output = tokens("x-generated-tokens");
        }
    }

    /// How its usage object is read.
    pub(super) fn parse_usage(self) -> fn(&[u8]) -> Counts {
        match self {
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::OpenAiJob
            | Self::MistralConversations => openai_usage::parse,
            Self::OpenAiTask | Self::OpenAiImages | Self::OpenAiSpeech => openai_usage::parse_input,
            Self::Anthropic | Self::AnthropicResults | Self::AnthropicSession => anthropic::parse,
            Self::Gemini | Self::GeminiCloudCode | Self::GeminiPredict => gemini::parse,
            Self::GeminiInteractions => gemini_interactions::parse,
            Self::BedrockConverse => bedrock_converse::parse,
            Self::BedrockInvoke | Self::AnyModel => bedrock_invoke::parse,
            Self::Cohere => cohere::parse,
            // None has one: what they count stands alone.
            Self::LlamaCpp
            | Self::Ollama
            | Self::Tgi
            | Self::Kserve
            | Self::KserveGrpc
            | Self::XAiGrpc(_)
            | Self::Mcp
            | Self::A2a => |_| Counts::default(),
        }
    }

    /// Takes an event whose data was a whole document.
    pub(super) fn commit_event(self, draft: Draft, reading: &mut Reading) {
        match self {
            Self::OpenAiChat => openai_chat::commit_event(draft, reading),
            Self::OpenAiResponses => openai_responses::commit_event(draft, reading),
            Self::OpenAiTask | Self::OpenAiImages | Self::OpenAiSpeech => {
                openai_task::commit_event(draft, reading);
            }
            Self::OpenAiJob => openai_job::commit(draft, reading),
            Self::MistralConversations => mistral::commit_event(draft, reading),
            Self::LlamaCpp => llama_cpp::commit_event(draft, reading),
            Self::AnthropicResults => anthropic::commit_result(draft, reading),
            Self::AnthropicSession => anthropic::commit_session_event(draft, reading),
            Self::Anthropic => anthropic::commit_event(draft, reading),
            Self::Gemini | Self::GeminiCloudCode | Self::GeminiPredict => {
                gemini::commit(draft, reading);
            }
            Self::GeminiInteractions => gemini_interactions::commit_event(draft, reading),
            Self::BedrockConverse => bedrock_converse::commit_event(draft, reading),
            Self::BedrockInvoke | Self::AnyModel => bedrock_invoke::commit_event(draft, reading),
            Self::Cohere => cohere::commit_event(draft, reading),
            Self::Ollama => ollama::commit_event(draft, reading),
            Self::Tgi => tgi::commit_event(draft, reading),
            Self::Kserve | Self::KserveGrpc => reading.commit(draft),
            Self::XAiGrpc(_) => xai_grpc::commit_message(draft, reading),
            Self::Mcp => json_rpc::commit_mcp(draft, reading),
            Self::A2a => json_rpc::commit_a2a(draft, reading),
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
            Self::OpenAiJob => openai_job::commit(draft, reading),
            Self::Gemini | Self::GeminiCloudCode => gemini::commit(draft, reading),
            Self::GeminiInteractions => gemini_interactions::commit_body(draft, reading),
            Self::BedrockInvoke => bedrock_invoke::commit_body(draft, reading),
            Self::Mcp => json_rpc::commit_mcp(draft, reading),
            Self::A2a => json_rpc::commit_a2a(draft, reading),
            Self::OpenAiChat
            | Self::OpenAiTask
            | Self::OpenAiImages
            | Self::OpenAiSpeech
            | Self::MistralConversations
            | Self::LlamaCpp
            | Self::Anthropic
            | Self::AnthropicResults
            | Self::AnthropicSession
            | Self::GeminiPredict
            | Self::BedrockConverse
            | Self::AnyModel
            | Self::Cohere
            | Self::Ollama
            | Self::Tgi
            | Self::Kserve
            | Self::KserveGrpc
            | Self::XAiGrpc(_) => reading.commit(draft),
        }
        // In a body that was cut, another usage object could have followed; and
        // before any text it could have become an error.
        reading.has_ended = whole.is_ok();
        if whole.is_err() && reading.text.is_empty() {
            reading.documents = 0;
        }
    }

    /// What the provider stated, in weir's terms.
    pub(super) fn stated(self, reading: &Reading, facts: &RequestFacts) -> Stated {
        let counts = &reading.counts;
        let beside_others = |own| Stated {
            own,
            others: counts.others.clone(),
            is_passed_on: false,
        };
        let mut stated = match self {
            Self::OpenAiChat => openai_chat::stated(counts),
            Self::OpenAiResponses => openai_responses::stated(reading, facts),
            Self::OpenAiImages => beside_others(openai_task::images(counts)),
            Self::OpenAiTask
            | Self::OpenAiSpeech
            | Self::OpenAiJob
            | Self::MistralConversations
            | Self::LlamaCpp => beside_others(counts.sum()),
            Self::Anthropic | Self::AnthropicResults | Self::AnthropicSession => {
                anthropic::stated(counts, facts)
            }
            Self::Gemini | Self::GeminiCloudCode | Self::GeminiInteractions => {
                gemini::totals(reading).into()
            }
            Self::BedrockConverse => bedrock_converse::totals(counts, facts).into(),
            Self::BedrockInvoke | Self::AnyModel => bedrock_invoke::stated(counts, facts),
            Self::XAiGrpc(_) => xai_grpc::totals(counts).into(),
            Self::GeminiPredict
            | Self::Cohere
            | Self::Ollama
            | Self::Tgi
            | Self::Kserve
            | Self::KserveGrpc
            | Self::Mcp
            | Self::A2a => counts.usage.into(),
        };
        // What the head says fills only what the body does not.
        let own = &mut stated.own;
        own.input = own.input.or(reading.head_input);
        own.output = own.output.or(reading.head_output);
        stated
    }

    /// What was generated by a model that reads in `own`, from the last count
    /// stated and the text seen. No text is no estimate: a model may have been
    /// reasoning out of sight.
    pub(super) fn estimated_output(
        self,
        reading: &Reading,
        stated: Option<u64>,
        own: Option<Vocabulary>,
    ) -> Option<Estimate> {
        let of_text = || reading.text.estimate(own);
        match (self, stated) {
            (_, None) => of_text(),
            // The first count is provisional, and not a count of anything.
            (Self::Anthropic | Self::BedrockInvoke | Self::AnyModel, Some(count)) => of_text()
                .filter(|text| text.tokens > count)
                .or(Some(Estimate::stated(count))),
            (_, Some(count)) => {
                let since_usage = reading.text_since_usage.as_ref();
                let more = since_usage.and_then(|text| text.estimate(own));
                Some(more.map_or(Estimate::stated(count), |more| Estimate {
                    tokens: count.saturating_add(more.tokens),
                    ..more
                }))
            }
        }
    }
}
