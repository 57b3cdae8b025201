use serde_json::Value;

use super::*;

fn asked(body: &str) -> Option<String> {
    match ask(Api::OpenAiChat, body.as_bytes()) {
        Ask::Unchanged => None,
        Ask::Edited(edited) => Some(String::from_utf8(edited).expect("edits are text")),
    }
}

#[test]
fn a_stream_without_usage_is_asked_for_it() {
    let cases = [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            "{\n  \"stream\": true,\n  \"messages\": []\n}\n",
            "{\n  \"stream\": true,\n  \"messages\": []\n,\"stream_options\":{\"include_usage\":true}}\n",
        ),
        (
            r#"{"stream":true,"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options": { } ,"x":1}"#,
            r#"{"stream":true,"stream_options": { "include_usage":true} ,"x":1}"#,
        ),
        (
            r#"{"stream_options":{"include_obfuscation":false},"stream":true}"#,
            r#"{"stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false ,"x":{}},"stream":true}"#,
            r#"{"stream_options":{"include_usage": true ,"x":{}},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream_options":null,"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream":false,"\u0073tream":true,"stream_options":{},"stream_options":{"x":1}}"#,
            r#"{"stream":false,"\u0073tream":true,"stream_options":{},"stream_options":{"x":1,"include_usage":true}}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(asked(body).as_deref(), Some(expected), "{body}");
        let value: Value = serde_json::from_str(expected).expect("an edit leaves JSON");
        assert_eq!(value["stream_options"]["include_usage"], true);
        // What asks already is left alone.
        assert_eq!(asked(expected), None, "{expected}");
    }
}

#[test]
fn anything_else_is_left_alone() {
    let cases = [
        r#"{"model":"m"}"#,
        r#"{"stream":false}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"messages":[{"stream":true}]}"#,
        r#"{"stream":true,"stream_options":7}"#,
        r#"{"stream":true,"stream_options":{"include_usage":"yes"}}"#,
        r#"{"stream":true"#,
        r#"{"stream":true}{"#,
        r#"[{"stream":true}]"#,
        "",
        "\u{1f}\u{8b}",
    ];
    for body in cases {
        assert_eq!(asked(body), None, "{body}");
    }
    let body = br#"{"stream":true}"#;
    for api in [Api::OpenAiResponses, Api::AnthropicMessages, Api::Other] {
        assert_eq!(ask(api, body), Ask::Unchanged);
    }
}

fn filtered(pieces: &[&[u8]]) -> String {
    let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
    for piece in pieces {
        filter.push(piece, &mut out);
    }
    filter.finish(&mut out);
    String::from_utf8(out).expect("text stays text")
}

fn check(stream: &str, expected: &str) {
    let bytes = stream.as_bytes();
    assert_eq!(filtered(&[bytes]), expected);
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(
            filtered(&[head, tail]),
            expected,
            "split at {at} of {stream:?}"
        );
    }
    assert_eq!(
        filtered(&bytes.chunks(1).collect::<Vec<_>>()),
        expected,
        "byte by byte"
    );
}

#[test]
fn what_the_option_added_is_removed_to_the_byte() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = |text: &str| text.replace('\n', end);
        check(
            &lines(concat!(
                "data: {\"id\":\"a\",\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n",
                ": keep-alive\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null,\"obfuscation\":\"x\"}\n\n",
                "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 1}}\n\n",
                "data: [DONE]\n\n",
            )),
            &lines(concat!(
                "data: {\"id\":\"a\",\"choices\":[],\"prompt_filter_results\":[]}\n\n",
                ": keep-alive\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"obfuscation\":\"x\"}\n\n",
                "data: [DONE]\n\n",
            )),
        );
    }
}

#[test]
fn a_member_goes_with_one_comma() {
    let cases = [
        (r#"{"a":1,"usage":null}"#, r#"{"a":1}"#),
        (r#"{"usage":null,"a":1}"#, r#"{"a":1}"#),
        (r#"{"usage": null, "a": 1}"#, r#"{"a": 1}"#),
        (
            r#"{"a": 1 , "usage" : null , "b": 2}"#,
            r#"{"a": 1 , "b": 2}"#,
        ),
        (r#"{"usage":null}"#, r"{}"),
        // Not at the top, not a member, or not null: nothing that was added.
        (r#"{"a":{"usage":null}}"#, r#"{"a":{"usage":null}}"#),
        (r#"{"a":"\"usage\":null"}"#, r#"{"a":"\"usage\":null"}"#),
        (
            r#"{"choices":[{}],"usage":{"n":1}}"#,
            r#"{"choices":[{}],"usage":{"n":1}}"#,
        ),
        (r#"{"usage":{"n":1}}"#, r#"{"usage":{"n":1}}"#),
        (
            r#"{"choices":null,"usage":{}}"#,
            r#"{"choices":null,"usage":{}}"#,
        ),
        (r#"{"usage":null"#, r#"{"usage":null"#),
    ];
    for (data, expected) in cases {
        check(
            &format!("data: {data}\n\n"),
            &format!("data: {expected}\n\n"),
        );
        check(&format!("data:{data}\n\n"), &format!("data:{expected}\n\n"));
        check(
            &format!("event: e\ndata: {data}\nid: 1\n\n"),
            &format!("event: e\ndata: {expected}\nid: 1\n\n"),
        );
    }
    check(
        "data: {\ndata: \"usage\":null}\n\n",
        "data: {\ndata: \"usage\":null}\n\n",
    );
}

#[test]
fn an_event_without_end_is_filtered_at_the_end() {
    check("data: {\"choices\":[],\"usage\":{}}", "");
    check("data: {\"choices\":[],\"usage\":{}}\n", "");
    check("data: {\"choices\":[],\"usa", "data: {\"choices\":[],\"usa");
}

#[test]
fn an_event_leaves_with_its_last_byte() {
    let event = b"data: {\"choices\":[{}],\"usage\":null}\r\n\r\n";
    let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
    for (at, byte) in event.iter().enumerate() {
        filter.push(&[*byte], &mut out);
        // The empty line is over at its carriage return.
        assert_eq!(out.is_empty(), at + 2 < event.len(), "at {at}");
    }
    assert_eq!(out, b"data: {\"choices\":[{}]}\r\n\r\n");
}

#[test]
fn a_comment_leaves_with_its_line() {
    let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
    filter.push(b": alive\n", &mut out);
    assert_eq!(out, b": alive\n");
    filter.push(b"data: {\"a\":1,\"usage\":null}\n\n", &mut out);
    assert_eq!(out, b": alive\ndata: {\"a\":1}\n\n");
}

#[test]
fn comments_before_an_event_stay_when_it_goes() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = |text: &str| text.replace('\n', end);
        check(
            &lines(": one\n: two\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n"),
            &lines(": one\n: two\ndata: [DONE]\n\n"),
        );
        check(
            &lines(": one\ndata: {\"a\":1,\"usage\":null}\n: two\n\n"),
            &lines(": one\ndata: {\"a\":1}\n: two\n\n"),
        );
    }
}

#[test]
fn large_events_pass_unheld() {
    let large = format!(
        "data: {{\"x\":\"{}\",\"usage\":null}}\n\n",
        "y".repeat(2 * HELD_MAX)
    );
    let stream = format!("{large}data: {{\"a\":1,\"usage\":null}}\n\n");
    let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
    for piece in stream.as_bytes().chunks(1000) {
        filter.push(piece, &mut out);
        assert!(filter.held.capacity() <= 2 * HELD_MAX);
    }
    filter.finish(&mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        format!("{large}data: {{\"a\":1}}\n\n")
    );
}
