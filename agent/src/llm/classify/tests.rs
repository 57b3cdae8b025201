use super::*;

const NONE: &[(&str, &str)] = &[];
const SOCKET: &[(&str, &str)] = &[("upgrade", "websocket")];

fn headers(pairs: &'static [(&'static str, &'static str)]) -> Headers {
    Headers::of_request(|name| {
        pairs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[track_caller]
fn check(method: &str, path: &str, provider: Option<&Provider>, api: Api, model: Option<&str>) {
    let target = classify(method, path, provider, &headers(NONE));
    assert_eq!(
        (target.api, target.model.as_deref()),
        (api, model),
        "{method} {path}"
    );
}

#[test]
fn the_path_decides() {
    let cases = [
        ("POST", "/v1/chat/completions", Api::OpenAiChat),
        ("POST", "/openai/v1/chat/completions?x=1", Api::OpenAiChat),
        ("POST", "/chat/completions/", Api::OpenAiChat),
        ("POST", "/v1beta/openai/chat/completions", Api::OpenAiChat),
        (
            "POST",
            "/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
            Api::OpenAiChat,
        ),
        ("GET", "/v1/chat/completions", Api::Other),
        ("POST", "/v1/completions", Api::OpenAiCompletions),
        ("POST", "/v1/fim/completions", Api::MistralFim),
        ("POST", "/v1/responses?beta=true", Api::OpenAiResponses),
        ("POST", "/backend-api/codex/responses", Api::OpenAiResponses),
        // What browsers call on the same host.
        ("POST", "/backend-api/f/conversation", Api::Other),
        ("POST", "/v1/responses/compact", Api::OpenAiResponsesCompact),
        ("POST", "/v1/responses/input_tokens", Api::OpenAiInputTokens),
        (
            "POST",
            "/v1/responses/resp_1/cancel",
            Api::OpenAiResponsesCancel,
        ),
        ("GET", "/v1/responses", Api::Other),
        (
            "GET",
            "/v1/responses/resp_1?stream=true",
            Api::OpenAiResponsesFetch,
        ),
        ("GET", "/v1/responses/", Api::Other),
        (
            "GET",
            "/v1/responses/resp_1/input_items",
            Api::OpenAiResponsesInputs,
        ),
        ("POST", "/v1/messages?beta=true", Api::AnthropicMessages),
        ("POST", "/anthropic/v1/messages", Api::AnthropicMessages),
        ("POST", "/api/v1/messages", Api::AnthropicMessages),
        ("POST", "/v1/threads/t_1/messages", Api::OpenAiAssistants),
        ("POST", "/v1/threads/t_1/runs", Api::OpenAiRuns),
        (
            "POST",
            "/v1/messages/count_tokens",
            Api::AnthropicCountTokens,
        ),
        ("POST", "/v1/messages/batches", Api::AnthropicBatches),
        (
            "GET",
            "/v1/messages/batches/b_1/results",
            Api::AnthropicBatchResults,
        ),
        ("GET", "/v1/batches/b_1", Api::OpenAiBatches),
        ("POST", "/v1/embeddings", Api::OpenAiEmbeddings),
        ("POST", "/api/embeddings", Api::OllamaEmbed),
        ("POST", "/api/chat", Api::OllamaChat),
        ("POST", "/api/chat/completions", Api::OpenAiChat),
        ("POST", "/v2/chat", Api::CohereChat),
        ("POST", "/api/generate", Api::OllamaGenerate),
        ("POST", "/generate", Api::TgiGenerate),
        ("POST", "/x/generate", Api::Other),
        ("POST", "/v1/messages?sessionId=1", Api::AnthropicMessages),
        ("POST", "/messages/?session_id=1", Api::Mcp),
        ("POST", "/message:stream", Api::A2a),
        ("GET", "/.well-known/agent-card.json", Api::A2a),
        ("POST", "/xai_api.Chat/GetCompletion", Api::XAiGrpc),
        ("POST", "/xai_api.Embedder/Embed", Api::XAiGrpcOther),
        ("POST", "", Api::Other),
        ("POST", "/", Api::Other),
    ];
    for (method, path, api) in cases {
        check(method, path, None, api, None);
    }
}

#[test]
fn models_stand_in_paths() {
    let cases = [
        (
            "/openai/deployments/prod%20eu/chat/completions?api-version=2024-10-21",
            Api::OpenAiChat,
            "prod eu",
        ),
        (
            "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse-stream",
            Api::BedrockConverse,
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        (
            "/model/us.amazon.nova-pro-v1:0/invoke",
            Api::BedrockInvoke,
            "us.amazon.nova-pro-v1:0",
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.meta.x/invoke",
            Api::BedrockInvoke,
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.x",
        ),
        (
            "/model/amazon.titan-embed-text-v2%3A0/invoke",
            Api::BedrockEmbed,
            "amazon.titan-embed-text-v2:0",
        ),
        (
            "/v1beta/models/gemini-2.5-pro:generateContent?key=k",
            Api::GeminiGenerate,
            "gemini-2.5-pro",
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/gemini-x:streamGenerateContent?alt=sse",
            Api::GeminiGenerate,
            "gemini-x",
        ),
        (
            "/v1/publishers/anthropic/models/claude-x@20250514:streamRawPredict",
            Api::AnthropicMessages,
            "claude-x@20250514",
        ),
        (
            "/v2/models/llama/versions/3/infer",
            Api::KserveInfer,
            "llama",
        ),
    ];
    for (path, api, model) in cases {
        check("POST", path, None, api, Some(model));
    }
    check(
        "POST",
        "/v1/publishers/anthropic/models/count-tokens:rawPredict",
        None,
        Api::AnthropicCountTokens,
        None,
    );
    check("POST", "/model/%ff/invoke", None, Api::BedrockInvoke, None);
    check("POST", "/model/%0a/invoke", None, Api::BedrockInvoke, None);
}

#[test]
fn the_host_decides_where_the_path_does_not() {
    let cases = [
        (
            "/v1/conversations",
            Provider::Mistral,
            Api::MistralConversations,
        ),
        ("/v1/conversations", Provider::OpenAi, Api::Other),
        ("/v2/rerank", Provider::Cohere, Api::CohereRerank),
        ("/v2/rerank", Provider::Custom("vllm".into()), Api::Rerank),
        ("/", Provider::HuggingFace, Api::TgiGenerate),
    ];
    for (path, provider, api) in cases {
        check("POST", path, Some(&provider), api, None);
    }
}

#[test]
fn headers_decide_what_has_no_path_of_its_own() {
    let api = |method, path, pairs| classify(method, path, None, &headers(pairs)).api;
    assert_eq!(
        api("POST", "/any", &[("mcp-protocol-version", "2026-07-28")]),
        Api::Mcp
    );
    let both: &[_] = &[("accept", "application/json, text/event-stream")];
    assert_eq!(api("POST", "/any", both), Api::Mcp);
    assert_eq!(api("POST", "/v1/chat/completions", both), Api::OpenAiChat);
    assert_eq!(api("POST", "/", &[("a2a-version", "1.0")]), Api::A2a);
    assert_eq!(
        api("GET", "/v1/responses", SOCKET),
        Api::OpenAiResponsesSocket
    );
    let target = classify(
        "GET",
        "/v1/realtime?x=1&model=gpt-r",
        None,
        &headers(SOCKET),
    );
    assert_eq!(
        (target.api, target.model.as_deref()),
        (Api::OpenAiRealtime, Some("gpt-r"))
    );
    assert_eq!(
        api(
            "GET",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k",
            SOCKET
        ),
        Api::GeminiLive
    );
}

#[test]
fn the_verb_says_whether_a_stream_follows() {
    let stream = |path| classify("POST", path, None, &headers(NONE)).stream;
    assert_eq!(stream("/model/m/converse"), Some(false));
    assert_eq!(stream("/model/m/converse-stream"), Some(true));
    assert_eq!(stream("/v1/chat/completions"), None);
}
