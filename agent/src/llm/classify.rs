//! Which API a request addresses, by the shape of its path.
//!
//! The same bodies are served by dozens of hosts under different prefixes, so
//! only the last segments of the path decide; the host says who is billing.

/// A wire format that the inspector reads, or [`Api::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST …/chat/completions`, at OpenAI and everyone compatible.
    OpenAiChat,
    /// `POST …/responses`.
    OpenAiResponses,
    /// `GET …/responses/{id}`: the result of an earlier call. Its tokens were
    /// spent by that call and are not counted again.
    OpenAiResponsesFetch,
    /// `POST …/v1/messages`.
    AnthropicMessages,
    /// `POST …/v1/messages/count_tokens`, which is free.
    AnthropicCountTokens,
    /// Anything else: recorded, tokens unknown.
    Other,
}

impl Api {
    /// `gen_ai.operation.name` where OpenTelemetry has one, else a name of ours.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses | Self::AnthropicMessages => "chat",
            Self::OpenAiResponsesFetch => "fetch_response",
            Self::AnthropicCountTokens => "count_tokens",
            Self::Other => "other",
        }
    }
}

/// Classifies a request by method and path. The query, a fragment and one
/// trailing slash are ignored; names are compared exactly, as servers do.
#[must_use]
pub fn classify(method: &str, path_and_query: &str) -> Api {
    let path = path_and_query.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = path.rsplit('/');
    let last = segments.next().unwrap_or_default();
    let second = segments.next().unwrap_or_default();
    let third = segments.next().unwrap_or_default();
    match (method, third, second, last) {
        ("POST", _, "chat", "completions") => Api::OpenAiChat,
        ("POST", _, _, "responses") => Api::OpenAiResponses,
        ("GET", _, "responses", id) if !id.is_empty() => Api::OpenAiResponsesFetch,
        // Not any `messages`: an assistants thread has a path of that name, too.
        ("POST", _, "v1", "messages") => Api::AnthropicMessages,
        ("POST", "v1", "messages", "count_tokens") => Api::AnthropicCountTokens,
        _ => Api::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides() {
        let cases = [
            ("POST", "/v1/chat/completions", Api::OpenAiChat),
            ("POST", "/openai/v1/chat/completions?x=1", Api::OpenAiChat),
            (
                "POST",
                "/openai/deployments/prod/chat/completions?api-version=2024-10-21",
                Api::OpenAiChat,
            ),
            ("POST", "/chat/completions/", Api::OpenAiChat),
            ("GET", "/v1/chat/completions", Api::Other),
            ("POST", "/v1/completions", Api::Other),
            ("POST", "/v1/responses?beta=true", Api::OpenAiResponses),
            ("POST", "/v1/responses/compact", Api::Other),
            ("POST", "/v1/responses/input_tokens", Api::Other),
            ("POST", "/v1/responses/resp_1/cancel", Api::Other),
            ("GET", "/v1/responses", Api::Other),
            (
                "GET",
                "/v1/responses/resp_1?stream=true",
                Api::OpenAiResponsesFetch,
            ),
            ("GET", "/v1/responses/", Api::Other),
            ("GET", "/v1/responses/resp_1/input_items", Api::Other),
            ("POST", "/v1/messages?beta=true", Api::AnthropicMessages),
            ("POST", "/anthropic/v1/messages", Api::AnthropicMessages),
            ("POST", "/api/v1/messages", Api::AnthropicMessages),
            ("POST", "/v1/threads/t_1/messages", Api::Other),
            (
                "POST",
                "/v1/messages/count_tokens",
                Api::AnthropicCountTokens,
            ),
            ("POST", "/v1/messages/batches", Api::Other),
            ("POST", "/v1/embeddings", Api::Other),
            ("POST", "", Api::Other),
            ("POST", "/", Api::Other),
        ];
        for (method, path, api) in cases {
            assert_eq!(classify(method, path), api, "{method} {path}");
        }
    }
}
