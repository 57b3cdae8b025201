//! Bedrock: two surfaces, four families, and a binary stream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_emulator::{Api, Ended, Told, UsageTold, tokens};

use crate::client::{BOTH, Http, LIMIT, Reply, call, emulator, request};

const CLAUDE: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
const PROMPT: &str = "How does a weir keep a naïve river 🌊 in its bed?";

/// A message of an event stream.
struct Message {
    headers: Vec<(String, String)>,
    payload: Value,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(header, value)| (header == name).then_some(value.as_str()))
    }
}

/// The messages of a stream, whose lengths and checksums must hold.
fn messages(reply: &Reply) -> Vec<Message> {
    assert_eq!(
        reply.headers["content-type"],
        "application/vnd.amazon.eventstream"
    );
    let mut rest = &reply.body[..];
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("a word"));
        let (length, headers) = (word(0) as usize, word(4) as usize);
        assert_eq!(word(8), crc32fast::hash(&rest[..8]));
        assert_eq!(word(length - 4), crc32fast::hash(&rest[..length - 4]));
        messages.push(Message {
            headers: fields(&rest[12..12 + headers]),
            payload: serde_json::from_slice(&rest[12 + headers..length - 4]).expect("JSON"),
        });
        rest = &rest[length..];
    }
    messages
}

fn fields(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut take = |count: usize| {
        let (taken, rest) = bytes.split_at(count);
        bytes = rest;
        taken.to_vec()
    };
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    // Each has a name, the type of strings, and a value.
    for _ in 0..3 {
        let length = usize::from(take(1)[0]);
        let name = text(take(length));
        assert_eq!(take(1), [7]);
        let length = take(2);
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        fields.push((name, text(take(length))));
    }
    assert!(bytes.is_empty());
    fields
}

/// What is in the chunks of a stream.
fn chunks(reply: &Reply) -> Vec<Value> {
    messages(reply)
        .iter()
        .map(|message| {
            assert_eq!(message.header(":event-type"), Some("chunk"));
            let bytes = message.payload["bytes"].as_str().expect("base64");
            let json = STANDARD.decode(bytes).expect("base64");
            serde_json::from_slice(&json).expect("JSON")
        })
        .collect()
}

/// What an answer says: a text, and how many tokens went in and came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    text: String,
    input: u64,
    output: u64,
}

impl Said {
    /// From documents whose members at these pointers add up to it; of counts,
    /// the last ones.
    fn at(documents: &[Value], text: &str, input: &str, output: &str) -> Self {
        let mut said = Self::default();
        for document in documents {
            let texts = document.pointer(text).and_then(Value::as_str);
            said.text.push_str(texts.unwrap_or_default());
            let count = |path: &str| document.pointer(path).and_then(Value::as_u64);
            said.input = count(input).unwrap_or(said.input);
            said.output = count(output).unwrap_or(said.output);
        }
        said
    }
}

fn converse() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": PROMPT}]}]})
}

/// A request, and how its answer is read.
struct Case {
    path: &'static str,
    body: Value,
    said: fn(&Reply) -> Said,
}

fn cases() -> Vec<Case> {
    let claude = json!({
        "anthropic_version": "bedrock-2023-05-31", "max_tokens": 4096,
        "messages": [{"role": "user", "content": PROMPT}],
    });
    let llama = json!({"prompt": PROMPT});
    let case = |path, body: &Value, said| Case {
        path,
        body: body.clone(),
        said,
    };
    vec![
        case("/model/m/converse", &converse(), |reply| {
            let text = "/output/message/content/0/text";
            Said::at(
                &[reply.json()],
                text,
                "/usage/inputTokens",
                "/usage/outputTokens",
            )
        }),
        case("/model/m/converse-stream", &converse(), |reply| {
            let payloads: Vec<_> = messages(reply).into_iter().map(|it| it.payload).collect();
            Said::at(
                &payloads,
                "/delta/text",
                "/usage/inputTokens",
                "/usage/outputTokens",
            )
        }),
        case("/model/m/invoke", &claude, |reply| {
            Said::at(
                &[reply.json()],
                "/content/0/text",
                "/usage/input_tokens",
                "/usage/output_tokens",
            )
        }),
        case("/model/m/invoke-with-response-stream", &claude, |reply| {
            let metrics = "/amazon-bedrock-invocationMetrics";
            let [input, output] = ["input", "output"].map(|it| format!("{metrics}/{it}TokenCount"));
            Said::at(&chunks(reply), "/delta/text", &input, &output)
        }),
        case("/model/m/invoke", &converse(), |reply| {
            let text = "/output/message/content/0/text";
            Said::at(
                &[reply.json()],
                text,
                "/usage/inputTokens",
                "/usage/outputTokens",
            )
        }),
        case(
            "/model/m/invoke-with-response-stream",
            &converse(),
            |reply| {
                let usage = "/metadata/usage";
                let [input, output] = ["input", "output"].map(|it| format!("{usage}/{it}Tokens"));
                Said::at(
                    &chunks(reply),
                    "/contentBlockDelta/delta/text",
                    &input,
                    &output,
                )
            },
        ),
        case("/model/m/invoke", &llama, |reply| {
            let [input, output] = ["/prompt_token_count", "/generation_token_count"];
            Said::at(&[reply.json()], "/generation", input, output)
        }),
        case("/model/m/invoke-with-response-stream", &llama, |reply| {
            let [input, output] = ["/prompt_token_count", "/generation_token_count"];
            Said::at(&chunks(reply), "/generation", input, output)
        }),
        case("/model/m/invoke", &json!({"inputText": PROMPT}), |reply| {
            let embedding = reply.json();
            assert_eq!(embedding["embedding"].as_array().map(Vec::len), Some(1024));
            Said::at(&[embedding], "", "/inputTextTokenCount", "/none")
        }),
    ]
}

/// The last entry of a ledger that has `count` of them.
async fn last(emulator: &weir_emulator::Emulator, count: usize) -> Told {
    let entries = emulator
        .wait_ledger(LIMIT, |told| told.len() == count)
        .await;
    entries.expect("entries").pop().expect("an entry")
}

#[tokio::test]
async fn every_family_is_told_what_was_sent_and_what_the_ledger_says() {
    let emulator = emulator().await;
    let mut count = 0;
    for http in BOTH {
        for (number, case) in cases().into_iter().enumerate() {
            let name = format!("{http:?} {number} {}", case.path);
            let nonce = [("x-emulator-nonce", name.as_str())];
            let reply = call(&emulator, http, request(case.path, &case.body, &nonce)).await;
            count += 1;
            assert_eq!(reply.status, 200, "{name}");
            let said = (case.said)(&reply);
            let expected = Said {
                input: tokens::count(PROMPT).into(),
                output: tokens::count(&said.text).into(),
                text: said.text.clone(),
            };
            assert_eq!(said, expected, "{name}");
            let embeds = case.body.get("inputText").is_some();
            assert_eq!(said.output == 0, embeds, "{name}");

            let told = last(&emulator, count).await;
            assert_eq!(u64::from(told.input_tokens), said.input, "{name}");
            assert_eq!(u64::from(told.output_tokens), said.output, "{name}");
            assert_eq!(told.usage_told, UsageTold::Complete, "{name}");
            assert_eq!(told.stream, case.path.ends_with("stream"), "{name}");
            assert_eq!(told.model.as_deref(), Some("m"), "{name}");
            let id = reply.headers["x-amzn-requestid"].to_str().expect("ASCII");
            assert_eq!(told.response_id.as_deref(), Some(id), "{name}");
            if case.path.ends_with("/invoke") {
                let field =
                    |side: &str| &reply.headers[format!("x-amzn-bedrock-{side}-token-count")];
                assert_eq!(field("input"), &said.input.to_string(), "{name}");
                assert_eq!(field("output"), &said.output.to_string(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn models_are_told_as_they_were_asked_for() {
    let emulator = emulator().await;
    let arn =
        "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.anthropic.claude-x-v1%3A0";
    for (number, (path, model)) in [
        (
            format!("{CLAUDE}/converse"),
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            format!("/model/{arn}/converse"),
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-x-v1:0",
        ),
        ("/model/a.b-v1:0/converse".to_owned(), "a.b-v1:0"),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = call(&emulator, Http::One, request(&path, &converse(), &[])).await;
        assert_eq!(reply.status, 200, "{path}");
        let told = last(&emulator, number + 1).await;
        assert_eq!(told.model.as_deref(), Some(model));
        assert_eq!(told.api, Api::Converse);
    }
}

#[tokio::test]
async fn converse_writes_and_reads_a_cache() {
    let emulator = emulator().await;
    let kept = "A weir is a low dam. ".repeat(50);
    let body = json!({
        "system": [{"text": kept}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
    });
    let (kept, asked) = (tokens::count(&kept), tokens::count(PROMPT));
    for (read, written) in [(0, kept), (kept, 0)] {
        let path = format!("{CLAUDE}/converse");
        let reply = call(&emulator, Http::Two, request(&path, &body, &[])).await;
        let usage = reply.json()["usage"].clone();
        assert_eq!(usage["inputTokens"], asked);
        assert_eq!(usage["cacheReadInputTokens"], read);
        assert_eq!(usage["cacheWriteInputTokens"], written);
        let details = usage["cacheDetails"][0].clone();
        assert_eq!(
            details["inputTokens"].as_u64().unwrap_or(0),
            u64::from(written)
        );
        let output = usage["outputTokens"].as_u64().expect("a count");
        assert_eq!(
            usage["totalTokens"].as_u64(),
            Some(u64::from(kept + asked) + output)
        );
    }
    let told = last(&emulator, 2).await;
    assert_eq!(
        (told.cache_read_tokens, told.input_tokens),
        (kept, kept + asked)
    );
}

#[tokio::test]
async fn converse_calls_a_tool_and_takes_its_result() {
    let emulator = emulator().await;
    let schema = json!({"type": "object", "properties": {"place": {"type": "string"}}});
    let tools = json!([{"toolSpec": {"name": "gauge", "inputSchema": {"json": schema}}}]);
    let mut body = json!({
        "messages": [{"role": "user", "content": [{"text": "Read the gauge."}]}],
        "toolConfig": {"tools": tools},
    });
    let whole = call(
        &emulator,
        Http::One,
        request("/model/m/converse", &body, &[]),
    )
    .await
    .json();
    assert_eq!(whole["stopReason"], "tool_use");
    let used = &whole["output"]["message"]["content"][0]["toolUse"];
    assert_eq!(used["name"], "gauge");
    assert!(used["input"]["place"].is_string(), "{used}");

    let stream = call(
        &emulator,
        Http::One,
        request("/model/m/converse-stream", &body, &[]),
    )
    .await;
    let stream = messages(&stream);
    let inputs = stream
        .iter()
        .filter_map(|it| it.payload["delta"]["toolUse"]["input"].as_str());
    let input: Value = serde_json::from_str(&inputs.collect::<String>()).expect("JSON");
    assert!(input["place"].is_string(), "{input}");
    assert!(
        stream
            .iter()
            .any(|it| it.payload["start"]["toolUse"]["name"] == "gauge")
    );
    let last = stream.last().expect("messages");
    assert_eq!(last.header(":event-type"), Some("metadata"));

    let result = json!({"toolUseId": used["toolUseId"], "content": [{"json": {"metres": 2}}]});
    let turns = body["messages"].as_array_mut().expect("messages");
    turns.push(whole["output"]["message"].clone());
    turns.push(json!({"role": "user", "content": [{"toolResult": result}]}));
    let answer = call(
        &emulator,
        Http::One,
        request("/model/m/converse", &body, &[]),
    )
    .await
    .json();
    assert_eq!(answer["stopReason"], "end_turn");
}

#[tokio::test]
async fn a_count_is_that_of_the_same_prompt() {
    let emulator = emulator().await;
    let body = json!({"messages": [{"role": "user", "content": PROMPT}]});
    let body = STANDARD.encode(body.to_string());
    for input in [
        json!({"converse": converse()}),
        json!({"invokeModel": {"body": body}}),
    ] {
        let body = json!({"input": input});
        let reply = call(
            &emulator,
            Http::One,
            request("/model/m/count-tokens", &body, &[]),
        )
        .await;
        assert_eq!(reply.json(), json!({"inputTokens": tokens::count(PROMPT)}));
    }
}

#[tokio::test]
async fn a_failure_within_a_stream_is_an_exception() {
    let emulator = emulator().await;
    let fault = [("x-emulator-fault", "error-event")];
    for (number, path) in ["/model/m/converse", "/model/m/invoke"]
        .into_iter()
        .enumerate()
    {
        let suffix = ["-stream", "-with-response-stream"][number];
        let streamed = format!("{path}{suffix}");
        let reply = call(
            &emulator,
            Http::One,
            request(&streamed, &converse(), &fault),
        )
        .await;
        assert_eq!(reply.status, 200);
        let messages = messages(&reply);
        let last = messages.last().expect("messages");
        assert!(messages.len() > 1);
        assert_eq!(last.header(":message-type"), Some("exception"));
        assert_eq!(last.header(":exception-type"), Some("throttlingException"));
        assert!(last.payload["message"].is_string());
        assert_eq!(last_ended(&emulator, 2 * number + 1).await, Ended::Fault);

        let reply = call(&emulator, Http::One, request(path, &converse(), &fault)).await;
        assert_eq!(reply.status, 500);
        assert_eq!(exception(&reply), "InternalServerException");
        assert_eq!(last_ended(&emulator, 2 * number + 2).await, Ended::Fault);
    }
}

async fn last_ended(emulator: &weir_emulator::Emulator, count: usize) -> Ended {
    last(emulator, count).await.ended
}

fn exception(reply: &Reply) -> &str {
    assert!(reply.json()["message"].is_string());
    let kind = reply.headers["x-amzn-errortype"].to_str().expect("ASCII");
    kind.split(':').next().expect("a name")
}

#[tokio::test]
async fn refusals_have_the_shape_of_aws() {
    let emulator = emulator().await;
    let wrong = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00";
    for (path, body, headers, status, expected) in [
        (
            "converse",
            converse(),
            ("x-emulator-fault", "429"),
            429,
            "ThrottlingException",
        ),
        (
            "converse",
            converse(),
            ("x-emulator-fault", "529"),
            503,
            "ServiceUnavailableException",
        ),
        (
            "converse",
            converse(),
            ("authorization", ""),
            403,
            "IncompleteSignatureException",
        ),
        (
            "converse",
            converse(),
            ("authorization", wrong),
            403,
            "IncompleteSignatureException",
        ),
        (
            "converse",
            json!([]),
            ("x", "y"),
            400,
            "ValidationException",
        ),
        (
            "converse",
            json!({}),
            ("x", "y"),
            400,
            "ValidationException",
        ),
        ("invoke", json!({}), ("x", "y"), 400, "ValidationException"),
        (
            "converse-stream",
            converse(),
            ("x-emulator-stamp", "1"),
            400,
            "ValidationException",
        ),
        (
            "invoke-with-response-stream",
            json!({"inputText": "x"}),
            ("x", "y"),
            400,
            "ValidationException",
        ),
        (
            "nothing",
            json!({}),
            ("x", "y"),
            404,
            "UnknownOperationException",
        ),
    ] {
        for http in BOTH {
            let path = format!("/model/m/{path}");
            let reply = call(&emulator, http, request(&path, &body, &[headers])).await;
            assert_eq!(reply.status, status, "{path} {headers:?}");
            assert_eq!(exception(&reply), expected, "{path} {headers:?}");
            assert!(!reply.headers.contains_key("retry-after"));
        }
    }
}

#[tokio::test]
async fn a_fault_can_be_for_the_first_attempts_of_an_aws_sdk() {
    let emulator = emulator().await;
    for (attempt, status) in [("attempt=1; max=3", 429), ("attempt=2; max=3", 200)] {
        let headers = [
            ("x-emulator-fault", "429"),
            ("x-emulator-fault-times", "1"),
            ("amz-sdk-request", attempt),
        ];
        let request = request("/model/m/converse", &converse(), &headers);
        assert_eq!(
            call(&emulator, Http::One, request).await.status,
            status,
            "{attempt}"
        );
    }
}
