//! The APIs that are told apart.

macro_rules! apis {
    ($($(#[$documentation:meta])* $variant:ident => $operation:literal,)*) => {
        /// What a request addresses: a wire format in one of its uses, or
        /// [`Api::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Api {
            $($(#[$documentation])* $variant,)*
        }

        impl Api {
            /// `gen_ai.operation.name` where OpenTelemetry has one, else a name
            /// of ours.
            #[must_use]
            pub fn operation(self) -> &'static str {
                match self {
                    $(Self::$variant => $operation,)*
                }
            }
        }
    };
}

apis! {
    /// Chat completions of OpenAI and of everyone compatible.
    OpenAiChat => "chat",
    /// Completions of a bare prompt, with the usage of chats.
    OpenAiCompletions => "text_completion",
    /// Responses over HTTP.
    OpenAiResponses => "chat",
    /// Responses over a WebSocket.
    OpenAiResponsesSocket => "chat",
    /// A conversation made shorter by the model.
    OpenAiResponsesCompact => "chat",
    /// The result of an earlier call, or the rest of its stream.
    OpenAiResponsesFetch => "fetch_response",
    /// The end of a response in the background, with what it used so far.
    OpenAiResponsesCancel => "cancel_response",
    /// What a response was made from; no model runs.
    OpenAiResponsesInputs => "list_input_items",
    /// Counting the tokens of an input, which is free.
    OpenAiInputTokens => "count_tokens",
    /// Embeddings of OpenAI and of everyone compatible.
    OpenAiEmbeddings => "embeddings",
    /// Moderations, which are free.
    OpenAiModerations => "moderation",
    /// Decisions, with the usage of responses.
    OpenAiDecisions => "decision",
    /// Images generated, edited or varied.
    OpenAiImages => "generate_content",
    /// Speech to text, in its language or in English.
    OpenAiTranscriptions => "transcription",
    /// Text to speech.
    OpenAiSpeech => "speech",
    /// Videos, billed by the second.
    OpenAiVideos => "video",
    /// A realtime session over a WebSocket.
    OpenAiRealtime => "chat",
    /// The beginning of a realtime session that runs elsewhere.
    OpenAiRealtimeSetup => "create_session",
    /// A live session, billed by the second.
    OpenAiLive => "chat",
    /// Batches as objects, which state what they used when they are done.
    OpenAiBatches => "batch",
    /// Files, uploads and their contents.
    OpenAiFiles => "files",
    /// Runs of assistants on threads.
    OpenAiRuns => "invoke_agent",
    /// Assistants and threads at rest.
    OpenAiAssistants => "create_agent",
    /// A gap filled by Mistral, in the shape of a chat.
    MistralFim => "text_completion",
    /// Mistral's conversations with agents.
    MistralConversations => "chat",
    /// Pages read by Mistral, billed by the page.
    MistralOcr => "ocr",
    /// Documents ranked or scored, at anyone but Cohere.
    Rerank => "retrieval",
    /// vLLM's pooled outputs: embeddings, classes, rewards.
    VllmPooling => "embeddings",
    /// vLLM's generation from token ids.
    VllmGenerate => "text_completion",
    /// Text to token ids and back; no model runs.
    Tokenize => "tokenize",
    /// llama.cpp's own completions.
    LlamaCppCompletion => "text_completion",
    /// Anthropic's messages, wherever they are served.
    AnthropicMessages => "chat",
    /// Counting the tokens of a message, which is free.
    AnthropicCountTokens => "count_tokens",
    /// Batches of messages as objects, which do not state what they used.
    AnthropicBatches => "batch",
    /// The messages of a batch, a line each.
    AnthropicBatchResults => "batch",
    /// Events of an agent that runs at Anthropic.
    AnthropicSessionEvents => "invoke_agent",
    /// Bedrock's own format, whole or as an event stream.
    BedrockConverse => "chat",
    /// The format of the model, wrapped by Bedrock if it is streamed.
    BedrockInvoke => "chat",
    /// The same of a model for embeddings.
    BedrockEmbed => "embeddings",
    /// Event streams in both directions at once.
    BedrockInvokeBidirectional => "chat",
    /// Counting tokens, which is free.
    BedrockCountTokens => "count_tokens",
    /// Answers that are put into a bucket.
    BedrockAsyncInvoke => "generate_content",
    /// Guardrails applied to a text.
    BedrockGuardrail => "guardrail",
    /// A model on SageMaker, in whatever format it speaks.
    SageMakerInvoke => "text_completion",
    /// Gemini, at Google AI or Vertex, whole, as events or as an array.
    GeminiGenerate => "generate_content",
    /// Gemini through Cloud Code, which wraps each document.
    GeminiCloudCode => "generate_content",
    /// Counting tokens, which is free.
    GeminiCountTokens => "count_tokens",
    /// Embeddings of Gemini.
    GeminiEmbed => "embeddings",
    /// Predictions: embeddings, images and videos, by model.
    GeminiPredict => "generate_content",
    /// Batches of Gemini.
    GeminiBatch => "batch",
    /// Interactions with a model or an agent.
    GeminiInteractions => "chat",
    /// The result of an earlier interaction, or the rest of its stream.
    GeminiInteractionsFetch => "fetch_response",
    /// A live session over a WebSocket.
    GeminiLive => "generate_content",
    /// A model of another publisher on Vertex, in its own format.
    VertexRawPredict => "generate_content",
    /// Chats of Cohere, second version.
    CohereChat => "chat",
    /// Chats of Cohere, first version.
    CohereChatV1 => "chat",
    /// Completions of Cohere.
    CohereGenerate => "text_completion",
    /// Embeddings of Cohere.
    CohereEmbed => "embeddings",
    /// Documents ranked by Cohere.
    CohereRerank => "retrieval",
    /// Documents read by Cohere, billed by the page.
    CohereParse => "ocr",
    /// Cohere's smaller calls, billed by their own units: classes, speech.
    CohereOther => "generate_content",
    /// Chats of Ollama.
    OllamaChat => "chat",
    /// Completions of Ollama.
    OllamaGenerate => "text_completion",
    /// Embeddings of Ollama.
    OllamaEmbed => "embeddings",
    /// `/generate` and its kin at TGI and SGLang.
    TgiGenerate => "text_completion",
    /// Tensors in, tensors out.
    KserveInfer => "infer",
    /// Text in, text out, at Triton.
    KserveGenerate => "text_completion",
    /// Tensors in, tensors out, over gRPC.
    KserveGrpc => "infer",
    /// Chats of xAI over gRPC.
    XAiGrpc => "chat",
    /// A chat that was begun by another call, when it is asked for.
    XAiGrpcDeferred => "fetch_response",
    /// A chat of before, when it is looked at again.
    XAiGrpcStored => "fetch_response",
    /// A conversation made shorter by the model.
    XAiGrpcCompact => "chat",
    /// A text that the model goes on with.
    XAiGrpcSample => "text_completion",
    /// Images drawn by xAI over gRPC.
    XAiGrpcImage => "generate_content",
    /// The other services of xAI over gRPC.
    XAiGrpcOther => "generate_content",
    /// JSON-RPC of the Model Context Protocol.
    Mcp => "execute_tool",
    /// The Agent2Agent protocol, over JSON-RPC or REST.
    A2a => "invoke_agent",
    /// The Agent2Agent protocol over gRPC.
    A2aGrpc => "invoke_agent",
    /// Anything else: recorded, tokens unknown.
    Other => "other",
}

/// Whose the tokens are that a response states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// They were spent by the exchange that states them.
    Here,
    /// So they were, and may be stated again to whoever fetches the response.
    Begun,
    /// They were spent by an exchange that others began, and that has stated
    /// them unless it ended too early.
    Fetched,
    /// They were spent by work in its own time, and are stated to all who look.
    Collected,
    /// There are none, or they are free.
    Never,
}

impl Api {
    /// Whose tokens its responses state.
    #[must_use]
    pub fn counting(self) -> Counting {
        match self {
            Self::OpenAiChat
            | Self::OpenAiCompletions
            | Self::OpenAiResponsesSocket
            | Self::OpenAiResponsesCompact
            | Self::OpenAiEmbeddings
            | Self::OpenAiDecisions
            | Self::OpenAiImages
            | Self::OpenAiTranscriptions
            | Self::OpenAiSpeech
            | Self::OpenAiVideos
            | Self::OpenAiRealtime
            | Self::OpenAiLive
            | Self::MistralFim
            | Self::MistralConversations
            | Self::MistralOcr
            | Self::Rerank
            | Self::VllmPooling
            | Self::VllmGenerate
            | Self::LlamaCppCompletion
            | Self::AnthropicMessages
            | Self::AnthropicSessionEvents
            | Self::BedrockConverse
            | Self::BedrockInvoke
            | Self::BedrockEmbed
            | Self::BedrockInvokeBidirectional
            | Self::SageMakerInvoke
            | Self::GeminiGenerate
            | Self::GeminiCloudCode
            | Self::GeminiEmbed
            | Self::GeminiPredict
            | Self::GeminiLive
            | Self::VertexRawPredict
            | Self::CohereChat
            | Self::CohereChatV1
            | Self::CohereGenerate
            | Self::CohereEmbed
            | Self::CohereRerank
            | Self::CohereParse
            | Self::CohereOther
            | Self::OllamaChat
            | Self::OllamaGenerate
            | Self::OllamaEmbed
            | Self::TgiGenerate
            | Self::KserveInfer
            | Self::KserveGenerate
            | Self::KserveGrpc
            | Self::XAiGrpc
            | Self::XAiGrpcCompact
            | Self::XAiGrpcSample
            | Self::XAiGrpcImage
            | Self::XAiGrpcOther => Counting::Here,
            Self::OpenAiResponses | Self::GeminiInteractions => Counting::Begun,
            Self::OpenAiResponsesFetch
            | Self::OpenAiResponsesCancel
            | Self::GeminiInteractionsFetch
            | Self::XAiGrpcStored => Counting::Fetched,
            Self::OpenAiBatches
            | Self::OpenAiRuns
            | Self::AnthropicBatchResults
            | Self::GeminiBatch
            | Self::XAiGrpcDeferred => Counting::Collected,
            Self::OpenAiResponsesInputs
            | Self::OpenAiInputTokens
            | Self::OpenAiModerations
            | Self::OpenAiRealtimeSetup
            | Self::OpenAiFiles
            | Self::OpenAiAssistants
            | Self::Tokenize
            | Self::AnthropicCountTokens
            | Self::AnthropicBatches
            | Self::BedrockCountTokens
            | Self::BedrockAsyncInvoke
            | Self::BedrockGuardrail
            | Self::GeminiCountTokens
            | Self::Mcp
            | Self::A2a
            | Self::A2aGrpc
            | Self::Other => Counting::Never,
        }
    }
}
