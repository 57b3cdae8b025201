//! The figures: told to the client, kept in the ledger, counted here again.

use serde_json::{Value, json};
use weir_emulator::{Ended, Told, UsageTold, tokens};

use crate::client::{BOTH, Http, LIMIT, Reply, SURFACES, Surface, call, emulator, request};

const PROMPT: &str = "How does a weir keep a naïve river 🌊 in its bed?";

/// What an answer says, and what it says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    id: String,
    text: String,
    input: u64,
    output: u64,
}

impl Said {
    fn of(surface: Surface, reply: &Reply, stream: bool) -> Self {
        match (surface, stream) {
            (Surface::Chat, false) => Self::of_chat(&[reply.json()], "message"),
            (Surface::Chat, true) => Self::of_chat(&reply.events(), "delta"),
            (Surface::Responses, false) => Self::of_response(&reply.json()),
            (Surface::Responses, true) => {
                let events = reply.events();
                let said = Self::of_response(&events[events.len() - 1]["response"]);
                let deltas = events
                    .iter()
                    .filter(|event| event["type"] == "response.output_text.delta");
                let text: String = deltas.map(|event| string(&event["delta"])).collect();
                assert_eq!(said.text, text, "the deltas add up to the text");
                said
            }
            (Surface::Messages, false) => {
                let message = reply.json();
                Self {
                    id: string(&message["id"]),
                    text: string(&message["content"][0]["text"]),
                    input: number(&message["usage"]["input_tokens"]),
                    output: number(&message["usage"]["output_tokens"]),
                }
            }
            (Surface::Messages, true) => Self::of_message_events(&reply.events()),
        }
    }

    fn of_chat(parts: &[Value], member: &str) -> Self {
        let mut said = Self::default();
        for part in parts {
            said.id = string(&part["id"]);
            if let Some(text) = part["choices"][0][member]["content"].as_str() {
                said.text.push_str(text);
            }
            if part["usage"].is_object() {
                said.input = number(&part["usage"]["prompt_tokens"]);
                said.output = number(&part["usage"]["completion_tokens"]);
                let total = number(&part["usage"]["total_tokens"]);
                assert_eq!(total, said.input + said.output);
            }
        }
        said
    }

    fn of_response(response: &Value) -> Self {
        Self {
            id: string(&response["id"]),
            text: string(&response["output"][0]["content"][0]["text"]),
            input: number(&response["usage"]["input_tokens"]),
            output: number(&response["usage"]["output_tokens"]),
        }
    }

    fn of_message_events(events: &[Value]) -> Self {
        let mut said = Self::default();
        for event in events {
            match event["type"].as_str().expect("a type") {
                "message_start" => {
                    said.id = string(&event["message"]["id"]);
                    said.input = number(&event["message"]["usage"]["input_tokens"]);
                }
                "content_block_delta" => said.text.push_str(&string(&event["delta"]["text"])),
                "message_delta" => said.output = number(&event["usage"]["output_tokens"]),
                _ => {}
            }
        }
        said
    }
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The ledger's entry for an answer.
async fn told(emulator: &weir_emulator::Emulator, id: &str) -> Told {
    let has = |entries: &[Told]| {
        entries
            .iter()
            .any(|it| it.response_id.as_deref() == Some(id))
    };
    let entries = emulator.wait_ledger(LIMIT, has).await.expect("an entry");
    let mut entries = entries.into_iter();
    let entry = entries.find(|it| it.response_id.as_deref() == Some(id));
    entry.expect("the condition held")
}

#[tokio::test]
async fn what_is_told_is_what_was_sent_and_what_the_ledger_says() {
    let emulator = emulator().await;
    for surface in SURFACES {
        for http in BOTH {
            for stream in [false, true] {
                let case = format!("{surface:?} {http:?} stream={stream}");
                let nonce = [("x-emulator-nonce", case.as_str())];
                let body = surface.ask(PROMPT, stream);
                let reply = call(&emulator, http, request(surface.path(), &body, &nonce)).await;
                assert_eq!(reply.status, 200, "{case}");
                assert_eq!(reply.headers["x-weir-emulator"], "1", "{case}");

                let said = Said::of(surface, &reply, stream);
                assert_eq!(said.input, u64::from(tokens::count(PROMPT)), "{case}");
                assert_eq!(said.output, u64::from(tokens::count(&said.text)), "{case}");
                assert!(said.output > 0, "{case}");

                let told = told(&emulator, &said.id).await;
                assert_eq!(u64::from(told.input_tokens), said.input, "{case}");
                assert_eq!(u64::from(told.output_tokens), said.output, "{case}");
                assert_eq!(told.usage_told, UsageTold::Complete, "{case}");
                assert_eq!(told.ended, Ended::Complete, "{case}");
                assert_eq!(told.stream, stream, "{case}");
                assert_eq!(told.status, Some(200), "{case}");
                assert_eq!(
                    told.server_name.as_deref(),
                    Some("api.openai.com"),
                    "{case}"
                );
                let version = if http == Http::One { "1.1" } else { "2" };
                assert_eq!(told.http, version, "{case}");
            }
        }
    }
    assert_eq!(emulator.ledger().len(), 12);
}

#[tokio::test]
async fn asking_for_usage_adds_only_what_it_asks_for() {
    let emulator = emulator().await;
    for http in BOTH {
        for extra in [
            json!({}),
            json!({"n": 2}),
            json!({"reasoning_effort": "low"}),
        ] {
            let mut body = json!({
                "model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": PROMPT}],
            });
            for (name, value) in extra.as_object().expect("an object") {
                body[name] = value.clone();
            }
            let without = call(&emulator, http, request(Surface::Chat.path(), &body, &[])).await;
            body["stream_options"] = json!({"include_usage": true});
            let with = call(&emulator, http, request(Surface::Chat.path(), &body, &[])).await;

            assert!(!without.text().contains("usage"));
            let (usage, rest): (Vec<&str>, Vec<&str>) = with
                .text()
                .split_inclusive("\n\n")
                .partition(|event| event.contains(r#""choices":[],"usage":{"#));
            assert_eq!(usage.len(), 1);
            assert_eq!(rest[rest.len() - 1], "data: [DONE]\n\n");
            assert_eq!(
                rest.concat().matches(r#","usage":null"#).count(),
                rest.len() - 1
            );
            assert_eq!(
                rest.concat().replace(r#","usage":null"#, ""),
                without.text()
            );
        }
    }
}

#[tokio::test]
async fn a_budget_is_kept_to_the_token_and_said_to_be_the_reason() {
    let emulator = emulator().await;
    for (surface, budget, reason) in [
        (Surface::Chat, "max_tokens", "length"),
        (Surface::Chat, "max_completion_tokens", "length"),
        (Surface::Responses, "max_output_tokens", "incomplete"),
        (Surface::Messages, "max_tokens", "max_tokens"),
    ] {
        for stream in [false, true] {
            for limit in [1, 2, 7, 16] {
                let mut body = surface.ask(PROMPT, stream);
                body[budget] = json!(limit);
                let reply = call(&emulator, Http::Two, request(surface.path(), &body, &[])).await;
                let said = Said::of(surface, &reply, stream);
                assert_eq!(tokens::count(&said.text), limit, "{surface:?} {stream}");
                assert_eq!(said.output, u64::from(limit), "{surface:?} {stream}");
                let quoted = format!("\"{reason}\"");
                assert!(
                    reply.text().contains(&quoted),
                    "{surface:?} {stream}: {}",
                    reply.text()
                );
            }
        }
    }
}

#[tokio::test]
async fn the_number_of_tokens_can_be_asked_for() {
    let emulator = emulator().await;
    for surface in SURFACES {
        let body = surface.ask(PROMPT, true);
        let wanted = [("x-emulator-tokens", "333")];
        let reply = call(
            &emulator,
            Http::One,
            request(surface.path(), &body, &wanted),
        )
        .await;
        let said = Said::of(surface, &reply, true);
        assert_eq!(tokens::count(&said.text), 333, "{surface:?}");
    }
}

#[tokio::test]
async fn hidden_reasoning_is_counted_and_thinking_is_shown() {
    let emulator = emulator().await;
    for stream in [false, true] {
        let mut chat = Surface::Chat.ask(PROMPT, stream);
        chat["reasoning_effort"] = json!("low");
        let mut responses = Surface::Responses.ask(PROMPT, stream);
        responses["reasoning"] = json!({"effort": "low"});
        let mut messages = Surface::Messages.ask(PROMPT, stream);
        messages["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        for (surface, body) in [
            (Surface::Chat, chat),
            (Surface::Responses, responses),
            (Surface::Messages, messages),
        ] {
            call(&emulator, Http::Two, request(surface.path(), &body, &[])).await;
        }
    }
    let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 6).await;
    for told in entries.expect("six entries") {
        assert!(told.reasoning_tokens >= 12, "{told:?}");
        assert!(told.output_tokens > told.reasoning_tokens, "{told:?}");
    }
}

#[tokio::test]
async fn a_cached_prefix_is_written_once_then_read() {
    let emulator = emulator().await;
    let system = "You are a patient lock keeper.";
    let mut body = Surface::Messages.ask(PROMPT, false);
    body["system"] = json!([{
        "type": "text", "text": system, "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }]);
    let prefix = u64::from(tokens::count(system));
    let rest = u64::from(tokens::count(PROMPT));
    for (written, read) in [(prefix, 0), (0, prefix), (0, prefix)] {
        let reply = call(&emulator, Http::One, request("/v1/messages", &body, &[])).await;
        let usage = &reply.json()["usage"];
        assert_eq!(number(&usage["input_tokens"]), rest);
        assert_eq!(number(&usage["cache_creation_input_tokens"]), written);
        assert_eq!(
            number(&usage["cache_creation"]["ephemeral_1h_input_tokens"]),
            written
        );
        assert_eq!(number(&usage["cache_read_input_tokens"]), read);
    }
    let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 3).await;
    for told in entries.expect("three entries") {
        assert_eq!(u64::from(told.input_tokens), prefix + rest);
        assert_eq!(
            u64::from(told.cache_read_tokens + told.cache_write_tokens),
            prefix
        );
    }
}

#[tokio::test]
async fn a_longer_conversation_reads_what_the_shorter_one_wrote() {
    let emulator = emulator().await;
    let turn = |text: &str| {
        json!({"role": "user", "content": [
            {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}},
        ]})
    };
    let (first, second) = ("Tell me about weirs.", "And about locks.");
    let mut body = json!({"model": "claude", "max_tokens": 9, "messages": [turn(first)]});
    call(&emulator, Http::One, request("/v1/messages", &body, &[])).await;
    body["messages"] = json!([turn(first), turn(second)]);
    let reply = call(&emulator, Http::One, request("/v1/messages", &body, &[])).await;
    let usage = &reply.json()["usage"];
    let counted = |text| u64::from(tokens::count(text));
    assert_eq!(number(&usage["input_tokens"]), 0);
    assert_eq!(number(&usage["cache_read_input_tokens"]), counted(first));
    assert_eq!(
        number(&usage["cache_creation_input_tokens"]),
        counted(second)
    );
}

#[tokio::test]
async fn a_long_prompt_is_read_from_openais_cache_when_repeated() {
    let emulator = emulator().await;
    let long = "All rivers run into the sea. ".repeat(300);
    let prompt = u64::from(tokens::count(&long));
    assert!(prompt > 1024);
    let body = Surface::Chat.ask(&long, false);
    for cached in [0, prompt / 128 * 128] {
        let reply = call(
            &emulator,
            Http::Two,
            request(Surface::Chat.path(), &body, &[]),
        )
        .await;
        let usage = &reply.json()["usage"];
        assert_eq!(number(&usage["prompt_tokens"]), prompt);
        assert_eq!(
            number(&usage["prompt_tokens_details"]["cached_tokens"]),
            cached
        );
    }
}
