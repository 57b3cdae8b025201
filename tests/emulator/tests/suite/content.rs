//! Shapes beyond a plain text: tools, choices, stored responses, lists.

use std::collections::HashMap;

use serde_json::{Value, json};
use weir_emulator::{Emulator, Ids, Told, tokens};

use crate::client::{BOTH, Http, LIMIT, SURFACES, Surface, call, emulator, get, loopback, request};

const QUESTION: &str = "Please call get_level for the lower lock.";

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "lock": {"type": "string", "enum": ["lower", "upper"]},
            "depth": {"type": "integer"},
        },
        "required": ["lock", "depth"],
    })
}

/// A request with one tool, in the surface's own shape.
fn with_tool(surface: Surface, question: &str, stream: bool) -> Value {
    let mut body = surface.ask(question, stream);
    body["tools"] = match surface {
        Surface::Chat => json!([{
            "type": "function", "function": {"name": "get_level", "parameters": schema()},
        }]),
        Surface::Responses => json!([{
            "type": "function", "name": "get_level", "parameters": schema(),
        }]),
        Surface::Messages => json!([{"name": "get_level", "input_schema": schema()}]),
    };
    body
}

/// Name and arguments of the call in an answer, and its stated reason to stop.
fn called(
    surface: Surface,
    stream: bool,
    reply: &crate::client::Reply,
) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (surface, stream) {
        (Surface::Chat, false) => {
            let choice = reply.json()["choices"][0].clone();
            let function = &choice["message"]["tool_calls"][0]["function"];
            assert_eq!(choice["message"]["content"], Value::Null);
            (
                text(&function["name"]),
                text(&function["arguments"]),
                text(&choice["finish_reason"]),
            )
        }
        (Surface::Chat, true) => {
            let mut call = (String::new(), String::new(), String::new());
            for event in reply.events() {
                let choice = &event["choices"][0];
                let part = &choice["delta"]["tool_calls"][0];
                call.0 += &text(&part["function"]["name"]);
                call.1 += &text(&part["function"]["arguments"]);
                call.2 += &text(&choice["finish_reason"]);
            }
            call
        }
        (Surface::Responses, _) => {
            let response = if stream {
                let events = reply.events();
                let fragments: String = events
                    .iter()
                    .filter(|event| event["type"] == "response.function_call_arguments.delta")
                    .map(|event| text(&event["delta"]))
                    .collect();
                let response = events[events.len() - 1]["response"].clone();
                assert_eq!(text(&response["output"][0]["arguments"]), fragments);
                response
            } else {
                reply.json()
            };
            let item = &response["output"][0];
            assert_eq!(item["type"], "function_call");
            (
                text(&item["name"]),
                text(&item["arguments"]),
                text(&response["status"]),
            )
        }
        (Surface::Messages, false) => {
            let message = reply.json();
            let block = &message["content"][0];
            assert_eq!(block["type"], "tool_use");
            (
                text(&block["name"]),
                block["input"].to_string(),
                text(&message["stop_reason"]),
            )
        }
        (Surface::Messages, true) => {
            let mut call = (String::new(), String::new(), String::new());
            for event in reply.events() {
                call.0 += &text(&event["content_block"]["name"]);
                call.1 += &text(&event["delta"]["partial_json"]);
                call.2 += &text(&event["delta"]["stop_reason"]);
            }
            call
        }
    }
}

#[tokio::test]
async fn a_tool_is_called_with_arguments_to_its_schema() {
    let emulator = emulator().await;
    for surface in SURFACES {
        for stream in [false, true] {
            let case = format!("{surface:?} stream={stream}");
            let body = with_tool(surface, QUESTION, stream);
            let reply = call(&emulator, Http::Two, request(surface.path(), &body, &[])).await;
            let (name, arguments, stop) = called(surface, stream, &reply);
            assert_eq!(name, "get_level", "{case}");
            let values: Value = serde_json::from_str(&arguments).expect("JSON arguments");
            assert!(
                ["lower", "upper"].contains(&values["lock"].as_str().expect("a lock")),
                "{case}"
            );
            assert!(values["depth"].is_i64(), "{case}");
            let expected = match surface {
                Surface::Chat => "tool_calls",
                Surface::Responses => "completed",
                Surface::Messages => "tool_use",
            };
            assert_eq!(stop, expected, "{case}");

            let written = usize::from(stream) + 1;
            let entries = emulator.wait_ledger(LIMIT, |told| {
                told.iter()
                    .filter(|it| it.request.ends_with(surface.path()))
                    .count()
                    == written
            });
            let told = entries.await.expect("an entry").pop().expect("an entry");
            let counted = tokens::count(&name) + tokens::count(&arguments);
            assert_eq!(told.output_tokens, counted, "{case}");
        }
    }
}

#[tokio::test]
async fn a_tool_is_not_called_unasked_nor_after_its_result() {
    let emulator = emulator().await;
    let unasked = with_tool(Surface::Chat, "Good morning.", false);
    let mut forbidden = with_tool(Surface::Chat, QUESTION, false);
    forbidden["tool_choice"] = json!("none");
    let mut answered = with_tool(Surface::Chat, QUESTION, false);
    answered["messages"] = json!([
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "tool_calls": [{
            "id": "call_1", "type": "function",
            "function": {"name": "get_level", "arguments": "{}"},
        }]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2 m"},
    ]);
    for body in [unasked, forbidden, answered] {
        let reply = call(
            &emulator,
            Http::One,
            request(Surface::Chat.path(), &body, &[]),
        )
        .await;
        assert_eq!(reply.json()["choices"][0]["finish_reason"], "stop");
    }
    let mut required = with_tool(Surface::Chat, "Good morning.", false);
    required["tool_choice"] = json!({"type": "function", "function": {"name": "get_level"}});
    let reply = call(
        &emulator,
        Http::One,
        request(Surface::Chat.path(), &required, &[]),
    )
    .await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn several_choices_are_different_texts_and_all_are_billed() {
    let emulator = emulator().await;
    for stream in [false, true] {
        let mut body = Surface::Chat.ask("Say something.", stream);
        body["n"] = json!(3);
        let reply = call(
            &emulator,
            Http::One,
            request(Surface::Chat.path(), &body, &[]),
        )
        .await;
        let parts = if stream {
            reply.events()
        } else {
            vec![reply.json()]
        };
        let mut texts: HashMap<u64, String> = HashMap::new();
        let mut billed = 0;
        for part in &parts {
            for choice in part["choices"].as_array().expect("choices") {
                let content = choice["message"]["content"]
                    .as_str()
                    .or_else(|| choice["delta"]["content"].as_str());
                let text = texts
                    .entry(choice["index"].as_u64().expect("an index"))
                    .or_default();
                text.push_str(content.unwrap_or_default());
            }
            billed += part["usage"]["completion_tokens"].as_u64().unwrap_or(0);
        }
        assert_eq!(texts.len(), 3);
        assert!(texts[&0] != texts[&1] && texts[&1] != texts[&2]);
        let counted: u32 = texts.values().map(|text| tokens::count(text)).sum();
        assert_eq!(billed, u64::from(counted));
    }
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_unless_ids_are_to_be_unique() {
    let same = emulator().await;
    let unique = Emulator::builder()
        .listen(loopback())
        .ids(Ids::Unique)
        .start()
        .await;
    let unique = unique.expect("loopback has a free port");
    for surface in SURFACES {
        let ask = || request(surface.path(), &surface.ask("Again.", true), &[]);
        let bodies = [
            call(&same, Http::One, ask()).await,
            call(&same, Http::Two, ask()).await,
        ];
        assert_eq!(bodies[0].body, bodies[1].body, "{surface:?}");
        call(&unique, Http::One, ask()).await;
        call(&unique, Http::One, ask()).await;
    }
    let entries = unique
        .wait_ledger(LIMIT, |told: &[Told]| told.len() == 6)
        .await;
    let mut ids: Vec<_> = entries
        .expect("six entries")
        .into_iter()
        .map(|it| it.response_id)
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[tokio::test]
async fn the_events_of_a_responses_stream_are_in_order_and_numbered() {
    let emulator = emulator().await;
    let body = Surface::Responses.ask("In order, please.", true);
    let reply = call(&emulator, Http::Two, request("/v1/responses", &body, &[])).await;
    let events = reply.events();
    let mut kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number));
        let told = event["response"]["usage"].is_object();
        assert_eq!(told, event["type"] == "response.completed");
    }
    for event in reply.text().split("\n\n").filter(|event| !event.is_empty()) {
        let (name, data) = event.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("a name");
        assert!(data.starts_with(&format!("data: {{\"type\":\"{name}\"")));
    }
}

#[tokio::test]
async fn the_events_of_a_messages_stream_are_in_order() {
    let emulator = emulator().await;
    let body = Surface::Messages.ask("In order, please.", true);
    let reply = call(&emulator, Http::One, request("/v1/messages", &body, &[])).await;
    let mut kinds: Vec<_> = reply
        .events()
        .into_iter()
        .map(|event| event["type"].clone())
        .collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
}

#[tokio::test]
async fn a_stored_response_can_be_fetched_and_one_not_to_be_stored_cannot() {
    let emulator = emulator().await;
    for (store, status) in [(true, 200), (false, 404)] {
        let mut body = Surface::Responses.ask("Keep this.", false);
        body["store"] = json!(store);
        let created = call(&emulator, Http::One, request("/v1/responses", &body, &[])).await;
        let path = format!(
            "/v1/responses/{}",
            created.json()["id"].as_str().expect("an id")
        );
        let fetched = call(&emulator, Http::One, get(&path, &[])).await;
        assert_eq!(fetched.status, status);
        assert_eq!(fetched.body == created.body, store);
    }
}

#[tokio::test]
async fn counting_tokens_counts_the_prompt() {
    let emulator = emulator().await;
    let prompt = "How many tokens is this? 🤔";
    let body = Surface::Messages.ask(prompt, false);
    for http in BOTH {
        let reply = call(
            &emulator,
            http,
            request("/v1/messages/count_tokens", &body, &[]),
        )
        .await;
        assert_eq!(reply.json(), json!({"input_tokens": tokens::count(prompt)}));
    }
}

#[tokio::test]
async fn models_are_listed_in_the_providers_own_shape() {
    let emulator = emulator().await;
    let openai = call(&emulator, Http::One, get("/v1/models", &[]))
        .await
        .json();
    assert_eq!(openai["object"], "list");
    let anthropic = get("/v1/models", &[("anthropic-version", "2023-06-01")]);
    let anthropic = call(&emulator, Http::One, anthropic).await.json();
    assert_eq!(anthropic["data"][0]["type"], "model");
    assert_eq!(anthropic["has_more"], false);
}

#[tokio::test]
async fn a_compressed_request_is_read_as_what_it_holds() {
    let emulator = emulator().await;
    let plain = Surface::Chat.ask("Compressed.", false);
    let expected = call(
        &emulator,
        Http::One,
        request(Surface::Chat.path(), &plain, &[]),
    )
    .await;
    let mut packed = request(
        Surface::Chat.path(),
        &plain,
        &[("content-encoding", "zstd")],
    );
    let coded = zstd::encode_all(plain.to_string().as_bytes(), 1).expect("coded");
    *packed.body_mut() = http_body_util::Full::new(coded.into());
    let reply = call(&emulator, Http::One, packed).await;
    assert_eq!(reply.body, expected.body);
}
