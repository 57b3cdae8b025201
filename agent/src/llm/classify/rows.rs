//! The table of paths. The first row that matches decides, so what is special
//! stands before what is general.

use super::api::Api;
use crate::llm::catalogue::Provider;

/// A shape of requests, and what it addresses.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Methods, separated by `|`; `*` is any.
    pub methods: &'static str,
    /// A pattern of paths.
    pub path: &'static str,
    /// What the path leaves open.
    pub when: When,
    /// Whether the answer is a stream, where the path says so.
    pub stream: Option<bool>,
    /// What it addresses.
    pub api: Api,
}

/// What has to hold besides method and path.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// Nothing.
    Always,
    /// The connection is to become a WebSocket.
    Socket,
    /// One of these bills for the host.
    At(&'static [Provider]),
    /// The request has a header of this name.
    Header(&'static str),
    /// The client takes JSON or events, whichever comes: its protocol demands
    /// to say so.
    TakesJsonAndEvents,
    /// The query has a member of this name.
    Query(&'static str),
}

const fn row(methods: &'static str, path: &'static str, api: Api) -> Row {
    Row {
        methods,
        path,
        when: When::Always,
        stream: None,
        api,
    }
}

impl Row {
    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    const fn streamed(mut self) -> Self {
        self.stream = Some(true);
        self
    }

    const fn whole(mut self) -> Self {
        self.stream = Some(false);
        self
    }
}

const POST: &str = "POST";
const GET: &str = "GET";

/// What is told apart.
pub const ROWS: &[Row] = &[
    // Protocols that say who they are.
    row("*", "…", Api::Mcp).when(When::Header("mcp-protocol-version")),
    row("*", "…", Api::Mcp).when(When::Header("mcp-session-id")),
    row("*", "…", Api::Mcp).when(When::Header("mcp-method")),
    // A2A's REST binding, by its paths before its header.
    row(POST, "…/message:send", Api::A2a).whole(),
    row(POST, "…/message:stream", Api::A2a).streamed(),
    row("POST|GET", "…/tasks/{id}:cancel", Api::A2a).whole(),
    row("POST|GET", "…/tasks/{id}:subscribe", Api::A2a).streamed(),
    row(GET, "…/tasks/{id}", Api::A2a)
        .when(When::Header("a2a-version"))
        .whole(),
    row(GET, "…/tasks", Api::A2a)
        .when(When::Header("a2a-version"))
        .whole(),
    row("*", "…", Api::A2a).when(When::Header("a2a-version")),
    row(
        POST,
        "/inference.GRPCInferenceService/ModelInfer",
        Api::KserveGrpc,
    )
    .whole(),
    row(
        POST,
        "/inference.GRPCInferenceService/ModelStreamInfer",
        Api::KserveGrpc,
    )
    .streamed(),
    row(POST, "/xai_api.Chat/GetCompletion", Api::XAiGrpc).whole(),
    row(POST, "/xai_api.Chat/GetCompletionChunk", Api::XAiGrpc).streamed(),
    row(
        POST,
        "/xai_api.Chat/GetDeferredCompletion",
        Api::XAiGrpcDeferred,
    )
    .whole(),
    row(
        POST,
        "/xai_api.Chat/GetStoredCompletion",
        Api::XAiGrpcStored,
    )
    .whole(),
    row(POST, "/xai_api.Chat/CompactContext", Api::XAiGrpcCompact).whole(),
    row(POST, "/xai_api.Sample/SampleText", Api::XAiGrpcSample).whole(),
    row(
        POST,
        "/xai_api.Sample/SampleTextStreaming",
        Api::XAiGrpcSample,
    )
    .streamed(),
    row(POST, "/xai_api.Image/GenerateImage", Api::XAiGrpcImage).whole(),
    row(POST, "/xai_api.*/{}", Api::XAiGrpcOther),
    row(POST, "/lf.a2a.v1.A2AService/{}", Api::A2aGrpc),
    // Azure OpenAI, dated: the deployment stands in the path.
    row(
        POST,
        "…/deployments/{model}/chat/completions",
        Api::OpenAiChat,
    ),
    row(
        POST,
        "…/deployments/{model}/completions",
        Api::OpenAiCompletions,
    ),
    row(
        POST,
        "…/deployments/{model}/embeddings",
        Api::OpenAiEmbeddings,
    ),
    row(
        POST,
        "…/deployments/{model}/audio/transcriptions|translations",
        Api::OpenAiTranscriptions,
    ),
    row(
        POST,
        "…/deployments/{model}/audio/speech",
        Api::OpenAiSpeech,
    ),
    row(
        POST,
        "…/deployments/{model}/images/generations|edits|variations",
        Api::OpenAiImages,
    ),
    // OpenAI and the compatible.
    row(POST, "…/chat/completions", Api::OpenAiChat),
    row(POST, "…/fim/completions", Api::MistralFim),
    row(POST, "…/agents/completions", Api::OpenAiChat),
    row(POST, "…/completions", Api::OpenAiCompletions),
    row(POST, "…/responses", Api::OpenAiResponses),
    row(GET, "…/responses", Api::OpenAiResponsesSocket).when(When::Socket),
    row(POST, "…/responses/compact", Api::OpenAiResponsesCompact),
    row(POST, "…/responses/input_tokens", Api::OpenAiInputTokens),
    row(POST, "…/responses/{}/cancel", Api::OpenAiResponsesCancel),
    row(
        GET,
        "…/responses/{}/input_items",
        Api::OpenAiResponsesInputs,
    ),
    row(GET, "…/responses/{}", Api::OpenAiResponsesFetch),
    row(POST, "…/api/embed|embeddings", Api::OllamaEmbed),
    row(POST, "…/embeddings", Api::OpenAiEmbeddings),
    row(POST, "…/moderations", Api::OpenAiModerations),
    row(POST, "…/decisions", Api::OpenAiDecisions),
    row(
        POST,
        "…/images/generations|edits|variations",
        Api::OpenAiImages,
    ),
    row(POST, "…/v2/audio/transcriptions", Api::CohereOther),
    row(
        POST,
        "…/audio/transcriptions|translations",
        Api::OpenAiTranscriptions,
    ),
    row(POST, "…/audio/speech", Api::OpenAiSpeech),
    row(POST, "…/videos", Api::OpenAiVideos),
    row(
        POST,
        "…/videos/edits|extensions|generations",
        Api::OpenAiVideos,
    ),
    row(POST, "…/videos/{}/remix", Api::OpenAiVideos),
    row(GET, "…/realtime", Api::OpenAiRealtime).when(When::Socket),
    row(
        POST,
        "…/realtime/calls|sessions|client_secrets|transcription_sessions",
        Api::OpenAiRealtimeSetup,
    ),
    row(POST, "…/realtime/calls/{}/{}", Api::OpenAiRealtimeSetup),
    row("*", "…/live/sessions", Api::OpenAiLive),
    row("*", "…/live/sessions/{}", Api::OpenAiLive),
    row("*", "…/messages/batches", Api::AnthropicBatches),
    row(
        GET,
        "…/messages/batches/{id}/results",
        Api::AnthropicBatchResults,
    )
    .whole(),
    row("*", "…/messages/batches/{}", Api::AnthropicBatches),
    row(POST, "…/messages/batches/{}/cancel", Api::AnthropicBatches),
    row("*", "…/batches/{}", Api::GeminiBatch).when(When::At(&[Provider::Gemini])),
    row("POST|GET", "…/batches", Api::OpenAiBatches),
    row(GET, "…/batches/{}", Api::OpenAiBatches),
    row(POST, "…/batches/{}/cancel", Api::OpenAiBatches),
    row("POST|GET", "…/batch/jobs", Api::OpenAiBatches),
    row(GET, "…/batch/jobs/{}", Api::OpenAiBatches),
    row("*", "…/files", Api::OpenAiFiles),
    row("*", "…/files/{}", Api::OpenAiFiles),
    row(GET, "…/files/{}/content", Api::OpenAiFiles),
    row(POST, "…/uploads", Api::OpenAiFiles),
    row(POST, "…/uploads/{}/parts|complete|cancel", Api::OpenAiFiles),
    row(POST, "…/threads/runs", Api::OpenAiRuns),
    row("POST|GET", "…/threads/{}/runs", Api::OpenAiRuns),
    row("POST|GET", "…/threads/{}/runs/{}", Api::OpenAiRuns),
    row(
        POST,
        "…/threads/{}/runs/{}/submit_tool_outputs|cancel",
        Api::OpenAiRuns,
    ),
    row("*", "…/assistants", Api::OpenAiAssistants),
    row("*", "…/assistants/{}", Api::OpenAiAssistants),
    row("*", "…/threads", Api::OpenAiAssistants),
    row("*", "…/threads/{}/messages", Api::OpenAiAssistants),
    row(POST, "…/conversations", Api::MistralConversations).when(When::At(&[Provider::Mistral])),
    row(POST, "…/conversations/{}", Api::MistralConversations).when(When::At(&[Provider::Mistral])),
    row(
        POST,
        "…/conversations/{}/restart",
        Api::MistralConversations,
    )
    .when(When::At(&[Provider::Mistral])),
    row(POST, "…/ocr", Api::MistralOcr),
    // Anthropic. Not any `messages`: threads have a path of that name, too.
    row(POST, "…/v1/messages", Api::AnthropicMessages),
    row(POST, "…/presets/{}/messages", Api::AnthropicMessages),
    row(POST, "…/messages/count_tokens", Api::AnthropicCountTokens),
    row(
        "POST|GET",
        "…/sessions/{}/events",
        Api::AnthropicSessionEvents,
    ),
    row(
        GET,
        "…/sessions/{}/events/stream",
        Api::AnthropicSessionEvents,
    ),
    row(
        POST,
        "…/publishers/anthropic/models/count-tokens:rawPredict",
        Api::AnthropicCountTokens,
    ),
    row(
        POST,
        "…/publishers/anthropic/models/{model}:rawPredict",
        Api::AnthropicMessages,
    ),
    row(
        POST,
        "…/publishers/anthropic/models/{model}:streamRawPredict",
        Api::AnthropicMessages,
    )
    .streamed(),
    // Google.
    row(
        POST,
        "…/publishers/mistralai/models/{model}:rawPredict|streamRawPredict",
        Api::OpenAiChat,
    ),
    row(
        POST,
        "…/models|endpoints/{model}:rawPredict|streamRawPredict",
        Api::VertexRawPredict,
    ),
    row(
        POST,
        "…/models|tunedModels|endpoints/{model}:generateContent",
        Api::GeminiGenerate,
    )
    .whole(),
    row(
        POST,
        "…/models|tunedModels|endpoints/{model}:streamGenerateContent",
        Api::GeminiGenerate,
    )
    .streamed(),
    row(
        POST,
        "…/models|tunedModels|endpoints/{model}:countTokens|computeTokens",
        Api::GeminiCountTokens,
    )
    .whole(),
    row(
        POST,
        "…/models|tunedModels|endpoints/{model}:embedContent|batchEmbedContents",
        Api::GeminiEmbed,
    )
    .whole(),
    row(
        POST,
        "…/models|tunedModels|endpoints/{model}:predict|predictLongRunning",
        Api::GeminiPredict,
    )
    .whole(),
    row(
        POST,
        "…/models|tunedModels/{model}:batchGenerateContent|asyncBatchEmbedContent",
        Api::GeminiBatch,
    )
    .whole(),
    row(POST, "…/v1internal:generateContent", Api::GeminiCloudCode).whole(),
    row(
        POST,
        "…/v1internal:streamGenerateContent",
        Api::GeminiCloudCode,
    )
    .streamed(),
    row(POST, "…/v1internal:countTokens", Api::GeminiCountTokens).whole(),
    row(POST, "…/interactions", Api::GeminiInteractions),
    row(GET, "…/interactions/{}", Api::GeminiInteractionsFetch),
    row(
        GET,
        "…/*.BidiGenerateContent|*.BidiGenerateContentConstrained",
        Api::GeminiLive,
    )
    .when(When::Socket),
    row(
        GET,
        "…/*.LlmBidiService/BidiGenerateContent",
        Api::GeminiLive,
    )
    .when(When::Socket),
    // AWS.
    row(POST, "…/model/{model}/converse", Api::BedrockConverse).whole(),
    row(
        POST,
        "…/model/{model}/converse-stream",
        Api::BedrockConverse,
    )
    .streamed(),
    row(POST, "…/model/{model}/invoke", Api::BedrockInvoke).whole(),
    row(
        POST,
        "…/model/{model}/invoke-with-response-stream",
        Api::BedrockInvoke,
    )
    .streamed(),
    row(
        POST,
        "…/model/{model}/invoke-with-bidirectional-stream",
        Api::BedrockInvokeBidirectional,
    )
    .streamed(),
    row(
        POST,
        "…/model/{model}/count-tokens",
        Api::BedrockCountTokens,
    )
    .whole(),
    row("POST|GET", "…/async-invoke", Api::BedrockAsyncInvoke).whole(),
    row(GET, "…/async-invoke/{}", Api::BedrockAsyncInvoke).whole(),
    row(
        POST,
        "…/guardrail/{}/version/{}/apply",
        Api::BedrockGuardrail,
    )
    .whole(),
    row(POST, "…/guardrail-checks/invoke", Api::BedrockGuardrail).whole(),
    row(
        POST,
        "…/endpoints/{model}/invocations",
        Api::SageMakerInvoke,
    ),
    row(
        POST,
        "…/endpoints/{model}/invocations-response-stream",
        Api::SageMakerInvoke,
    )
    .streamed(),
    row(
        POST,
        "…/endpoints/{model}/async-invocations",
        Api::SageMakerInvoke,
    )
    .whole(),
    // Cohere, and what vLLM offers under the same names.
    row(POST, "…/v2/chat", Api::CohereChat),
    row(POST, "…/v1/chat", Api::CohereChatV1),
    row(POST, "…/v1/generate", Api::CohereGenerate).when(When::At(&[Provider::Cohere])),
    row(POST, "…/v1|v2/embed", Api::CohereEmbed),
    row(POST, "…/v1|v2/rerank", Api::CohereRerank).when(When::At(&[Provider::Cohere])),
    row(POST, "…/v2/parse", Api::CohereParse).when(When::At(&[Provider::Cohere])),
    row(POST, "…/v1|v2/classify", Api::CohereOther).when(When::At(&[Provider::Cohere])),
    row(POST, "…/rerank|score", Api::Rerank),
    row(POST, "…/pooling|classify|systemone", Api::VllmPooling),
    row(POST, "…/tokenize|detokenize", Api::Tokenize),
    row(POST, "…/inference/v1/generate", Api::VllmGenerate),
    // Servers of one's own.
    row(POST, "…/api/chat", Api::OllamaChat),
    row(POST, "…/api/generate", Api::OllamaGenerate),
    row(POST, "…/v2/models/{model}/infer", Api::KserveInfer).whole(),
    row(
        POST,
        "…/v2/models/{model}/versions/{}/infer",
        Api::KserveInfer,
    )
    .whole(),
    row(POST, "…/v2/models/{model}/generate", Api::KserveGenerate).whole(),
    row(
        POST,
        "…/v2/models/{model}/versions/{}/generate",
        Api::KserveGenerate,
    )
    .whole(),
    row(
        POST,
        "…/v2/models/{model}/generate_stream",
        Api::KserveGenerate,
    )
    .streamed(),
    row(
        POST,
        "…/v2/models/{model}/versions/{}/generate_stream",
        Api::KserveGenerate,
    )
    .streamed(),
    row(POST, "…/completion|infill", Api::LlamaCppCompletion),
    row(POST, "/generate", Api::TgiGenerate),
    row(POST, "/generate_stream", Api::TgiGenerate).streamed(),
    row(POST, "/invocations", Api::TgiGenerate),
    row(POST, "/", Api::TgiGenerate).when(When::At(&[Provider::HuggingFace])),
    // Agents.
    row(GET, "…/.well-known/agent-card.json|agent.json", Api::A2a).whole(),
    row("POST|GET|DELETE", "…/mcp", Api::Mcp),
    row(GET, "…/sse", Api::Mcp),
    row(POST, "…/message|messages", Api::Mcp).when(When::Query("sessionId")),
    row(POST, "…/message|messages", Api::Mcp).when(When::Query("session_id")),
    row(POST, "…", Api::Mcp).when(When::TakesJsonAndEvents),
];
