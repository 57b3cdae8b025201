use super::*;
use crate::llm::observation::Claim;
use crate::llm::share::{Share, Split};
use crate::llm::usage::{Provenance, Usage};

/// Headers of a body.
fn body_of(content_type: Option<&str>, encoding: Option<&str>) -> Headers {
    Headers::of_response(|name| match name {
        "content-type" => content_type.map(str::to_owned),
        "content-encoding" => encoding.map(str::to_owned),
        _ => None,
    })
}

fn observe(
    api: Api,
    request: &str,
    (status, content_type): (u16, &str),
    response: &str,
    ending: Ending,
) -> Observation {
    let mut inspector = Inspector::new(api.into(), &Headers::default());
    inspector.request_body(request.as_bytes());
    inspector.request_end();
    inspector.response_head(status, &body_of(Some(content_type), None));
    inspector.response_body(response.as_bytes());
    inspector.finish(ending)
}

const JSON: (u16, &str) = (200, "application/json");
const SSE: (u16, &str) = (200, "text/event-stream; charset=utf-8");

/// Twelve bytes of text: three tokens, estimated.
const CHAT: &str = r#"{"model":"m","messages":[{"content":"twelve bytes"}],"stream":true}"#;

fn counts(seen: &Observation) -> (Option<u64>, Option<u64>, Provenance) {
    (seen.usage.input, seen.usage.output, seen.provenance)
}

#[test]
fn nothing_seen_is_nothing_known() {
    let seen = Inspector::new(Api::OpenAiChat.into(), &Headers::default()).finish(Ending::Cut);
    assert_eq!(seen, Observation::default());

    let seen = observe(Api::OpenAiChat, CHAT, SSE, "", Ending::Cut);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    let seen = observe(Api::OpenAiChat, CHAT, SSE, ": keep-alive\n\n", Ending::Cut);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.stream, Some(true));
}

#[test]
fn a_stream_without_usage_is_estimated_from_its_text() {
    let stream = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"twelve \"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"bytes!\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    );
    for ending in [Ending::Complete, Ending::Cut] {
        let seen = observe(Api::OpenAiChat, CHAT, SSE, stream, ending);
        assert_eq!(
            counts(&seen),
            (Some(3), Some(4), Provenance::Estimated),
            "{ending:?}"
        );
        assert_eq!(seen.finish_reason.as_deref(), Some("stop"));
    }
}

#[test]
fn no_text_is_no_estimate_of_output() {
    let stream = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    let seen = observe(Api::OpenAiChat, CHAT, SSE, stream, Ending::Cut);
    assert_eq!(counts(&seen), (Some(3), None, Provenance::Estimated));
}

#[test]
fn running_totals_are_final_only_at_the_end() {
    let chunk = |text: &str, output: u32, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}],\
             \"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{output}}}}}\n\n"
        )
    };
    let stream = chunk("a", 1, "null") + &chunk("b", 2, "\"stop\"");
    let unfinished =
        chunk("a", 1, "null") + "data: {\"choices\":[{\"delta\":{\"content\":\"12345\"}}]}\n\n";
    let see = |stream: &str, ending| counts(&observe(Api::OpenAiChat, CHAT, SSE, stream, ending));
    assert_eq!(
        see(&stream, Ending::Cut),
        (Some(9), Some(2), Provenance::Estimated)
    );
    assert_eq!(
        see(&stream, Ending::Complete),
        (Some(9), Some(2), Provenance::Measured)
    );
    let done = stream + "data: [DONE]\n\n";
    assert_eq!(
        see(&done, Ending::Cut),
        (Some(9), Some(2), Provenance::Measured)
    );
    // What was generated after the last total is estimated and added to it.
    assert_eq!(
        see(&unfinished, Ending::Cut),
        (Some(9), Some(3), Provenance::Estimated)
    );
}

#[test]
fn a_chunk_without_choices_and_usage_is_not_the_last() {
    let stream = concat!(
        "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n",
    );
    let seen = observe(Api::OpenAiChat, CHAT, SSE, stream, Ending::Cut);
    assert_eq!(counts(&seen), (Some(3), Some(1), Provenance::Estimated));
}

#[test]
fn failed_requests_are_never_estimated() {
    let text = r#"{"choices":[{"message":{"content":"not really an answer"}}]}"#;
    let error =
        r#"{"error":{"message":"secret prose","type":"tokens","code":"rate_limit_exceeded"}}"#;
    for (body, name) in [(text, None), (error, Some("rate_limit_exceeded"))] {
        let seen = observe(Api::OpenAiChat, CHAT, (429, JSON.1), body, Ending::Complete);
        assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
        assert_eq!(seen.provider_error.as_deref(), name);
        assert_eq!(seen.stream, Some(true));
    }
    let seen = observe(
        Api::OpenAiChat,
        CHAT,
        (502, "text/html"),
        "<html>",
        Ending::Complete,
    );
    assert_eq!((seen.provider_error, seen.problems), (None, vec![]));
}

#[test]
fn an_error_in_place_of_an_answer_is_not_estimated() {
    let body = r#"{"error":{"code":502,"type":"upstream","message":"x"}}"#;
    let seen = observe(Api::OpenAiChat, CHAT, JSON, body, Ending::Complete);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.provider_error.as_deref(), Some("upstream"));

    let stream = format!("data: {body}\n\n");
    let seen = observe(Api::OpenAiChat, CHAT, SSE, &stream, Ending::Complete);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));

    let after =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"hello\"}}}}]}}\n\n{stream}");
    let seen = observe(Api::OpenAiChat, CHAT, SSE, &after, Ending::Complete);
    assert_eq!(counts(&seen), (Some(3), Some(1), Provenance::Estimated));
    assert_eq!(seen.provider_error.as_deref(), Some("upstream"));
}

#[test]
fn an_anthropic_stream_that_is_cut_keeps_its_input() {
    let start = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c\",",
        "\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":100,",
        "\"cache_creation_input_tokens\":20,\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,",
        "\"ephemeral_1h_input_tokens\":0},\"output_tokens\":2,\"service_tier\":\"standard\"}}}\n\n",
    );
    let delta = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let see = |stream: &str| {
        let seen = observe(Api::AnthropicMessages, "{}", SSE, stream, Ending::Cut);
        assert_eq!(seen.usage.cache_read, Some(100));
        counts(&seen)
    };
    assert_eq!(see(start), (Some(124), Some(2), Provenance::Estimated));
    assert_eq!(see(&(start.to_owned() + &delta("abc"))).1, Some(2));
    assert_eq!(
        see(&(start.to_owned() + &delta("sixteen bytes .."))).1,
        Some(4)
    );
    let stop = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":37,\"input_tokens\":null}}\n\n";
    assert_eq!(
        see(&(start.to_owned() + &delta("abc") + stop)),
        (Some(124), Some(37), Provenance::Measured)
    );
}

#[test]
fn cache_writes_without_a_split_take_the_lifetime_asked_for() {
    let body = r#"{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":30}}"#;
    let request = |ttl: &str| {
        format!(
            r#"{{"system":[{{"text":"s","cache_control":{{"type":"ephemeral","ttl":"{ttl}"}}}}]}}"#
        )
    };
    let see = |request: &str| {
        let seen = observe(
            Api::AnthropicMessages,
            request,
            JSON,
            body,
            Ending::Complete,
        );
        (
            seen.usage.input,
            seen.usage.cache_write_5m,
            seen.usage.cache_write_1h,
        )
    };
    assert_eq!(see("{}"), (Some(31), Some(30), None));
    assert_eq!(see(&request("5m")), (Some(31), Some(30), None));
    assert_eq!(see(&request("1h")), (Some(31), None, Some(30)));
}

#[test]
fn compactions_and_advisors_are_added_to_the_totals() {
    let body = r#"{"usage":{"input_tokens":10,"output_tokens":5,"iterations":[
        {"type":"compaction","input_tokens":1000,"output_tokens":50,"cache_read_input_tokens":7},
        {"type":"message","input_tokens":10,"output_tokens":5},
        {"type":"advisor_message","input_tokens":999,"output_tokens":999}]}}"#;
    let seen = observe(Api::AnthropicMessages, "{}", JSON, body, Ending::Complete);
    assert_eq!(
        counts(&seen),
        (Some(2016), Some(1054), Provenance::Measured)
    );
    let split = seen.split.expect("an advisor has a price of its own");
    assert_eq!(
        split
            .own
            .and_then(|own| own.input)
            .zip(split.own.and_then(|own| own.output)),
        Some((1017, 55))
    );
    assert_eq!(split.others, [share(None, 999, 999)]);
}

fn share(model: Option<&str>, input: u64, output: u64) -> Share {
    Share {
        model: model.map(str::to_owned),
        usage: Usage {
            input: Some(input),
            output: Some(output),
            ..Usage::default()
        },
    }
}

/// Who used what, after models that declined.
#[test]
fn what_models_used_that_declined_is_told_by_the_sums() {
    let see = |input: u64, output: u64| {
        let body = format!(
            r#"{{"model":"a","usage":{{"input_tokens":{input},"output_tokens":{output},"iterations":[
            {{"type":"message","model":"a","input_tokens":10,"output_tokens":2}},
            {{"type":"fallback_message","model":"b","input_tokens":12,"output_tokens":5}}]}}}}"#
        );
        let seen = observe(Api::AnthropicMessages, "{}", JSON, &body, Ending::Complete);
        assert_eq!(seen.response_model.as_deref(), Some("b"));
        (seen.usage.input, seen.split.map(|split| *split))
    };
    let own = |input, output| Some(share(None, input, output).usage);
    assert_eq!(see(12, 5), (Some(12), None));
    let split = Split {
        own: own(12, 5),
        others: vec![share(Some("a"), 10, 2)],
    };
    assert_eq!(see(22, 7), (Some(22), Some(split)));
    // Whose the rest is, nobody says.
    let unclear = Split {
        own: own(20, 6),
        others: vec![Share::default()],
    };
    assert_eq!(see(20, 6), (Some(20), Some(unclear)));
}

#[test]
fn the_model_that_fell_in_is_the_one_that_answered() {
    let body = r#"{"model":"claude-opus-4-8","usage":{"input_tokens":10,"output_tokens":5,"iterations":[
        {"type":"message","input_tokens":10,"output_tokens":0},
        {"type":"fallback_message","model":"claude-sonnet-4-6","input_tokens":10,"output_tokens":5}]}}"#;
    let seen = observe(Api::AnthropicMessages, "{}", JSON, body, Ending::Complete);
    assert_eq!(counts(&seen), (Some(10), Some(5), Provenance::Measured));
    assert_eq!(seen.response_model.as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!(seen.split, None);
}

#[test]
fn a_response_in_the_background_is_left_to_whoever_fetches_it() {
    let body = r#"{"id":"resp_1","status":"queued","usage":null,"output":[]}"#;
    let request = r#"{"model":"m","input":"text","background":true}"#;
    let seen = observe(Api::OpenAiResponses, request, JSON, body, Ending::Complete);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.finish_reason.as_deref(), Some("queued"));
    assert_eq!(seen.claim, Claim::Deferred);
    // The stream of it was cut, or left to be resumed.
    let stream = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hello\"}\n\n";
    let seen = observe(Api::OpenAiResponses, request, SSE, stream, Ending::Cut);
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.claim, Claim::Deferred);
    let done =
        r#"{"id":"resp_1","status":"completed","usage":{"input_tokens":3,"output_tokens":4}}"#;
    let fetch = |body: &str| observe(Api::OpenAiResponsesFetch, "", JSON, body, Ending::Complete);
    let seen = fetch(done);
    assert_eq!(counts(&seen), (Some(3), Some(4), Provenance::Measured));
    assert_eq!(seen.claim, Claim::Repeat);
    assert_eq!(seen.response_id.as_deref(), Some("resp_1"));
    let seen = fetch(&done.replace("\"id\"", "\"background\":true,\"id\""));
    assert_eq!(seen.claim, Claim::Collected);
    // Not done yet: a guess would be counted each time one looks.
    let seen = fetch(
        r#"{"id":"resp_1","status":"in_progress","output":[{"content":[{"text":"so far"}]}]}"#,
    );
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
}

#[test]
fn a_prompt_kept_by_the_provider_is_not_estimated() {
    let request = r#"{"model":"m","input":"text","previous_response_id":"resp_0"}"#;
    let stream = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hello\"}\n\n";
    let seen = observe(Api::OpenAiResponses, request, SSE, stream, Ending::Cut);
    assert_eq!(counts(&seen), (None, Some(1), Provenance::Estimated));
}

#[test]
fn free_and_unknown_calls_have_no_usage() {
    let seen = observe(
        Api::AnthropicCountTokens,
        r#"{"model":"c"}"#,
        JSON,
        r#"{"input_tokens":9}"#,
        Ending::Complete,
    );
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.request_model.as_deref(), Some("c"));
    let seen = observe(
        Api::Other,
        "x",
        JSON,
        r#"{"usage":{"prompt_tokens":9}}"#,
        Ending::Complete,
    );
    assert_eq!(counts(&seen), (None, None, Provenance::Unknown));
    assert_eq!(seen.stream, Some(false));
}

#[test]
fn the_content_type_may_be_wrong_or_missing() {
    let body = "\n\n {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    let stream =
        "\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    for (content, is_stream) in [(body, false), (stream, true)] {
        for content_type in ["", "text/plain", "application/octet-stream"] {
            let seen = observe(
                Api::OpenAiChat,
                CHAT,
                (200, content_type),
                content,
                Ending::Complete,
            );
            assert_eq!(
                counts(&seen),
                (Some(1), Some(2), Provenance::Measured),
                "{content}"
            );
            assert_eq!(seen.stream, Some(is_stream));
        }
    }
}

#[test]
fn what_keeps_from_seeing_is_a_problem() {
    let problems = |request: &str, encoding, response: &str, response_encoding| {
        let mut inspector = Inspector::new(Api::OpenAiChat.into(), &body_of(None, encoding));
        inspector.request_body(request.as_bytes());
        inspector.request_end();
        inspector.response_head(200, &body_of(Some(JSON.1), response_encoding));
        inspector.response_body(response.as_bytes());
        inspector.finish(Ending::Complete).problems
    };
    assert_eq!(problems("{}", None, "{}", None), []);
    assert_eq!(
        problems("{}", Some("x"), "{}", Some("y")),
        [Problem::UnknownEncoding]
    );
    assert_eq!(
        problems("{}", Some("gzip"), "{}", None),
        [Problem::BadEncoding]
    );
    assert_eq!(
        problems("x=1", None, "{\"a\":", None),
        [Problem::BadJson, Problem::Truncated]
    );
    assert_eq!(
        problems(&"[".repeat(999), None, "{}", None),
        [Problem::TooDeep]
    );
    let large = format!("{{\"model\":\"{}\"}}", "m".repeat(100_000));
    assert_eq!(problems(&large, None, "{}", None), [Problem::ValueTooLarge]);
}

#[test]
fn content_is_seen_with_its_first_byte() {
    let seen_after = |api, content_type, pieces: &[&str]| {
        let mut inspector = Inspector::new(Target::from(api), &Headers::default());
        inspector.response_head(200, &body_of(Some(content_type), None));
        pieces
            .iter()
            .map(|piece| {
                inspector.response_body(piece.as_bytes());
                inspector.has_seen_content()
            })
            .collect::<Vec<_>>()
    };
    let stream = [": alive\n\n", "data:", " {", "}"];
    assert_eq!(
        seen_after(Api::OpenAiChat, SSE.1, &stream),
        [false, false, true, true]
    );
    assert_eq!(
        seen_after(Api::OpenAiChat, JSON.1, &["", "\n", "{"]),
        [false, false, true]
    );
    assert_eq!(
        seen_after(Api::Other, "audio/mpeg", &["", "x"]),
        [false, true]
    );
}

#[test]
fn what_follows_an_array_does_not_unsay_its_end() {
    let mut inspector = Inspector::new(Api::GeminiGenerate.into(), &Headers::default());
    inspector.response_head(200, &body_of(Some("application/json"), None));
    inspector.response_body(b"[{}]");
    assert!(inspector.has_seen_end());
    inspector.response_body(b"x");
    assert!(inspector.has_seen_end());
    let seen = inspector.finish(Ending::Complete);
    assert_eq!(seen.problems, [Problem::BadJson]);
}

#[test]
fn a_message_or_a_task_that_is_over_ends_a_stream_of_agents() {
    let cases = [
        (r#"{"result":{"message":{"messageId":"1"}}}"#, true),
        (r#"{"message":{"messageId":"1"}}"#, true),
        (r#"{"result":{"kind":"message","messageId":"1"}}"#, true),
        (
            r#"{"result":{"kind":"task","id":"1","status":{"state":"completed"}}}"#,
            true,
        ),
        (
            r#"{"result":{"kind":"task","id":"1","status":{"state":"working","message":{}}}}"#,
            false,
        ),
        (r#"{"result":{"artifactUpdate":{"taskId":"1"}}}"#, false),
    ];
    for (event, ends) in cases {
        let mut inspector = Inspector::new(Api::A2a.into(), &Headers::default());
        inspector.request_body(br#"{"method":"message/stream","id":1}"#);
        inspector.request_end();
        inspector.response_head(SSE.0, &body_of(Some(SSE.1), None));
        inspector.response_body(format!("data: {event}\n\n").as_bytes());
        assert_eq!(inspector.has_seen_end(), ends, "{event}");
        let rpc = inspector.finish(Ending::Cut).rpc;
        let outcome = rpc.and_then(|rpc| rpc.outcome);
        assert_eq!(outcome, Some(RpcOutcome::Ok), "{event}");
    }
}
