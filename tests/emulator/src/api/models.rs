//! The models on offer, and the snapshots that their aliases stand for.

use http::StatusCode;
use serde_json::json;

use super::Provider;
use crate::answer::Answer;
use crate::seed::Seed;

/// Alias and snapshot. Any other name is served as it is.
const SNAPSHOTS: [(&str, &str); 4] = [
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("gpt-4.1", "gpt-4.1-2025-04-14"),
    ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
];

const ANTHROPIC: [(&str, &str); 2] = [
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5"),
];

/// The model that answers for `asked`.
pub(super) fn resolve(asked: &str) -> &str {
    SNAPSHOTS
        .iter()
        .find_map(|(alias, snapshot)| (*alias == asked).then_some(*snapshot))
        .unwrap_or(asked)
}

/// `GET /v1/models`
pub(super) fn answer(provider: Provider) -> Answer {
    let body = match provider {
        // Some have a list of their own, which nobody here asks for.
        Provider::OpenAi
        | Provider::Bedrock
        | Provider::Cohere
        | Provider::Google
        | Provider::Mistral
        | Provider::Ollama => {
            let models: Vec<_> = SNAPSHOTS
                .iter()
                .flat_map(|(alias, snapshot)| [alias, snapshot])
                .map(|id| {
                    json!({"id": id, "object": "model", "created": 1_715_367_049, "owned_by": "system"})
                })
                .collect();
            json!({"object": "list", "data": models})
        }
        Provider::Anthropic => {
            let models: Vec<_> = ANTHROPIC
                .iter()
                .map(|(id, name)| {
                    json!({"type": "model", "id": id, "display_name": name, "created_at": "2025-09-29T00:00:00Z"})
                })
                .collect();
            json!({
                "data": models,
                "has_more": false,
                "first_id": ANTHROPIC[0].0,
                "last_id": ANTHROPIC[1].0,
            })
        }
    };
    let body = body.to_string();
    let fields = provider.fields(Seed::of_text(&body));
    Answer::json(StatusCode::OK, fields, body)
}
