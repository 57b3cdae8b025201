//! The words of each API for what a response over HTTP would say.

use serde_json::{Value, json};

use crate::ledger::Api;
use crate::wire::Request;
use crate::wire::websocket::{BINARY, TEXT};

/// The model of a session that names none.
const MODEL: &str = "gpt-realtime";

/// A conversation.
pub(super) enum Speech {
    Responses,
    Realtime {
        model: String,
        said: Vec<String>,
        /// Of the response under way.
        id: Value,
    },
    Gemini {
        model: String,
        said: Vec<String>,
    },
}

impl Speech {
    pub(super) fn new(api: Api, request: &Request) -> Self {
        let model = request.query("model").unwrap_or(MODEL).to_owned();
        let said = Vec::new();
        if api == Api::Realtime {
            let id = Value::Null;
            Self::Realtime { model, said, id }
        } else if api == Api::GeminiLive {
            Self::Gemini { model, said }
        } else {
            Self::Responses
        }
    }

    /// Google's servers send their JSON in binary messages.
    pub(super) fn opcode(&self) -> u8 {
        match self {
            Self::Gemini { .. } => BINARY,
            Self::Responses | Self::Realtime { .. } => TEXT,
        }
    }

    /// What is said before anything is asked.
    pub(super) fn opening(&self) -> Vec<Value> {
        match self {
            Self::Realtime { model, .. } => vec![json!({
                "type": "session.created",
                "event_id": "event_0",
                "session": {"type": "realtime", "id": "sess_0", "object": "realtime.session",
                            "model": model},
            })],
            Self::Responses | Self::Gemini { .. } => Vec::new(),
        }
    }

    /// Takes a message that asks nothing, and says what is said to it at once.
    pub(super) fn hear(&mut self, event: &Value) -> Vec<Value> {
        match self {
            Self::Responses => Vec::new(),
            Self::Realtime { said, .. } => {
                if event["type"] == "conversation.item.create" {
                    said.extend(texts(&event["item"]["content"]));
                }
                Vec::new()
            }
            Self::Gemini { model, said } => {
                let content = content(event);
                for turn in content["turns"].as_array().into_iter().flatten() {
                    said.extend(texts(&turn["parts"]));
                }
                match event["setup"]["model"].as_str() {
                    Some(asked) => {
                        asked.clone_into(model);
                        vec![json!({"setupComplete": {}})]
                    }
                    None => Vec::new(),
                }
            }
        }
    }

    /// The request over HTTP that a message stands for, if it asks something.
    pub(super) fn question(&self, event: &Value) -> Option<Value> {
        let (model, said) = match self {
            Self::Responses => {
                let mut question = event.clone();
                let members = question.as_object_mut()?;
                (members.remove("type")? == "response.create").then_some(())?;
                members.remove("stream_id");
                members.insert("stream".into(), true.into());
                return Some(question);
            }
            Self::Realtime { model, said, .. } => {
                (event["type"] == "response.create").then_some((model, said))?
            }
            Self::Gemini { model, said } => {
                let content = content(event);
                let ends = content["turnComplete"] == true || content["turn_complete"] == true;
                ends.then_some((model, said))?
            }
        };
        Some(json!({"model": model, "input": said.join("\n"), "stream": true}))
    }

    /// An event of a response over HTTP, in the words of this API.
    pub(super) fn say(&mut self, asked: &Value, event: &Value) -> Vec<Value> {
        match self {
            Self::Responses => {
                let mut event = event.clone();
                let lane = &asked["stream_id"];
                if let (false, Some(members)) = (lane.is_null(), event.as_object_mut()) {
                    members.insert("stream_id".into(), lane.clone());
                }
                vec![event]
            }
            Self::Realtime { id, .. } => {
                if let Some(begun) = event["response"].get("id") {
                    id.clone_from(begun);
                }
                realtime(event, id).into_iter().collect()
            }
            Self::Gemini { .. } => gemini(event),
        }
    }
}

fn content(event: &Value) -> &Value {
    event
        .get("clientContent")
        .unwrap_or(&event["client_content"])
}

fn texts(parts: &Value) -> impl Iterator<Item = String> {
    let parts = parts.as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str().map(str::to_owned))
}

fn realtime(event: &Value, id: &Value) -> Option<Value> {
    let response = &event["response"];
    match event["type"].as_str()? {
        "response.created" => Some(json!({
            "type": "response.created",
            "event_id": "event_1",
            "response": {"object": "realtime.response", "id": response["id"],
                         "status": "in_progress", "output": [], "usage": null},
        })),
        "response.output_text.delta" => Some(json!({
            "type": "response.output_text.delta",
            "event_id": "event_2",
            "response_id": id,
            "item_id": event["item_id"],
            "output_index": 0,
            "content_index": 0,
            "delta": event["delta"],
        })),
        "response.completed" | "response.incomplete" => {
            let usage = &response["usage"];
            let usage = (!usage.is_null()).then(|| {
                json!({
                    "total_tokens": usage["total_tokens"],
                    "input_tokens": usage["input_tokens"],
                    "output_tokens": usage["output_tokens"],
                    "input_token_details": {
                        "text_tokens": usage["input_tokens"],
                        "audio_tokens": 0,
                        "cached_tokens": usage["input_tokens_details"]["cached_tokens"],
                    },
                    "output_token_details": {
                        "text_tokens": usage["output_tokens"],
                        "audio_tokens": 0,
                    },
                })
            });
            Some(json!({
                "type": "response.done",
                "event_id": "event_3",
                "response": {"object": "realtime.response", "id": response["id"],
                             "status": response["status"], "output": [], "usage": usage},
            }))
        }
        _ => None,
    }
}

fn gemini(event: &Value) -> Vec<Value> {
    let usage = &event["response"]["usage"];
    match event["type"].as_str() {
        Some("response.output_text.delta") => vec![json!({
            "serverContent": {"modelTurn": {"role": "model", "parts": [{"text": event["delta"]}]}},
        })],
        Some("response.completed" | "response.incomplete") => vec![
            json!({"serverContent": {"generationComplete": true}}),
            json!({
                "serverContent": {"turnComplete": true},
                "usageMetadata": {
                    "promptTokenCount": usage["input_tokens"],
                    "cachedContentTokenCount": usage["input_tokens_details"]["cached_tokens"],
                    "responseTokenCount": usage["output_tokens"],
                    "totalTokenCount": usage["total_tokens"],
                },
            }),
        ],
        _ => Vec::new(),
    }
}
