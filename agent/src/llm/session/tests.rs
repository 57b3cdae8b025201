use super::*;
use crate::llm::observation::Problem;
use crate::llm::usage::Provenance;

/// A message, unmasked: who reads does not mind.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("test messages are short");
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

type Message<'a> = (Side, &'a str);
use Side::{Client, Server};

fn target(api: Api) -> Target {
    Target {
        model: Some("asked".into()),
        ..Target::from(api)
    }
}

/// What became of the turns, a line each, in the order of their end; then the
/// number that began; then the connection's own.
fn follow(api: Api, conversation: &[Message<'_>], piece_len: usize) -> (Vec<String>, Observation) {
    let mut session = Session::begin(&target(api), Compression::None).expect("read");
    let (mut lines, mut open) = (Vec::new(), Vec::new());
    let mut note = |event| match event {
        Event::Begun { turn, api } => {
            assert!(!open.iter().any(|(known, _)| *known == turn));
            open.push((turn, api));
        }
        Event::Heard(turn) => assert!(open.iter().any(|(known, _)| *known == turn)),
        Event::Ended(ended) => {
            let at = open.iter().position(|(known, _)| *known == ended.turn);
            let (_, api) = open.remove(at.expect("a turn ends once, after it began"));
            lines.push(line(api, &ended));
        }
    };
    for (side, text) in conversation {
        for piece in frame(text).chunks(piece_len) {
            session.push(*side, piece, &mut note);
        }
    }
    let connection = session.finish(&mut note);
    assert_eq!(open, [], "every turn ends");
    (lines, connection)
}

fn line(api: Api, ended: &Ended) -> String {
    let seen = &ended.observation;
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".into());
    let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
    let Ended { ending, status, .. } = ended;
    format!(
        "{} {}>{} id={} {} in={} out={} {} err={} {:?}{}",
        api.operation(),
        word(&seen.request_model),
        word(&seen.response_model),
        word(&seen.response_id),
        word(&seen.finish_reason),
        count(seen.usage.input),
        count(seen.usage.output),
        seen.provenance.as_str(),
        word(&seen.provider_error),
        ending,
        status.map_or(String::new(), |status| format!(" {status}")),
    )
}

/// The same however the bytes come.
fn check(api: Api, conversation: &[Message<'_>], expected: &[&str]) -> Observation {
    let (lines, connection) = follow(api, conversation, usize::MAX);
    assert_eq!(lines, expected);
    for piece_len in [1, 2, 7, 64] {
        let split = follow(api, conversation, piece_len);
        assert_eq!(split, (lines.clone(), connection.clone()), "by {piece_len}");
    }
    connection
}

const RESPONSES: Api = Api::OpenAiResponsesSocket;
const CREATE: Message<'_> = (
    Client,
    r#"{"type":"response.create","model":"gpt-5","input":"twelve bytes"}"#,
);
const CREATED_A: Message<'_> = (
    Server,
    r#"{"type":"response.created","response":{"id":"resp_a","model":"gpt-5-1","usage":null}}"#,
);
const DELTA: Message<'_> = (
    Server,
    r#"{"type":"response.output_text.delta","item_id":"m","delta":"sixteen bytes .."}"#,
);
const DONE_A: Message<'_> = (
    Server,
    r#"{"type":"response.completed","response":{"id":"resp_a","status":"completed","usage":{"input_tokens":11,"output_tokens":5}}}"#,
);

#[test]
fn each_response_of_a_socket_is_a_turn() {
    let again: Message<'_> = (
        Client,
        r#"{"input":[],"previous_response_id":"resp_a","type":"response.create"}"#,
    );
    let created_b: Message<'_> = (
        Server,
        r#"{"response":{"id":"resp_b","model":"gpt-5-1"},"type":"response.created"}"#,
    );
    let done_b: Message<'_> = (
        Server,
        r#"{"type":"response.incomplete","response":{"id":"resp_b","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":30,"output_tokens":8}}}"#,
    );
    let connection = check(
        RESPONSES,
        // What follows the last word of a response does not begin another.
        &[
            CREATE, CREATED_A, DELTA, DONE_A, DONE_A, again, created_b, DELTA, done_b,
        ],
        &[
            "chat gpt-5>gpt-5-1 id=resp_a completed in=11 out=5 measured err=- Complete",
            "chat gpt-5>gpt-5-1 id=resp_b max_output_tokens in=30 out=8 measured err=- Complete",
        ],
    );
    assert_eq!(connection.usage.input, None);
    assert_eq!(connection.problems, []);
}

#[test]
fn lanes_are_answered_each_in_its_own_order() {
    let create = |lane: &str, model: &str| {
        format!(
            r#"{{"type":"response.create","stream_id":"{lane}","model":"{model}","input":"x"}}"#
        )
    };
    let event = |kind: &str, lane: &str, id: &str, tokens: u32| {
        format!(
            r#"{{"type":"response.{kind}","stream_id":"{lane}","response":{{"id":"{id}","usage":{{"input_tokens":{tokens},"output_tokens":1}}}}}}"#
        )
    };
    let texts = [
        (Client, create("one", "m1")),
        (Client, create("two", "m2")),
        (Client, create("one", "m3")),
        (Server, event("created", "two", "b", 0)),
        (Server, event("created", "one", "a", 0)),
        (Server, event("completed", "one", "a", 1)),
        (Server, event("created", "one", "c", 0)),
        (Server, event("completed", "one", "c", 3)),
        (Server, event("completed", "two", "b", 2)),
    ];
    let conversation: Vec<Message<'_>> = texts
        .iter()
        .map(|(side, text)| (*side, text.as_str()))
        .collect();
    check(
        RESPONSES,
        &conversation,
        &[
            "chat m1>- id=a completed in=1 out=1 measured err=- Complete",
            "chat m3>- id=c completed in=3 out=1 measured err=- Complete",
            "chat m2>- id=b completed in=2 out=1 measured err=- Complete",
        ],
    );
}

#[test]
fn a_steered_response_is_followed_by_one_that_nobody_asked_for() {
    let steered: Message<'_> = (
        Server,
        r#"{"type":"response.incomplete","response":{"id":"resp_a","incomplete_details":{"reason":"steered"},"usage":{"input_tokens":4,"output_tokens":2}}}"#,
    );
    let successor: Message<'_> = (
        Server,
        r#"{"type":"response.created","response":{"id":"resp_b"}}"#,
    );
    let done: Message<'_> = (
        Server,
        r#"{"type":"response.completed","response":{"id":"resp_b","usage":{"input_tokens":9,"output_tokens":6}}}"#,
    );
    check(
        RESPONSES,
        &[CREATE, CREATED_A, steered, successor, done],
        &[
            "chat gpt-5>gpt-5-1 id=resp_a steered in=4 out=2 measured err=- Complete",
            "chat gpt-5>- id=resp_b completed in=9 out=6 measured err=- Complete",
        ],
    );
}

#[test]
fn a_connection_that_is_cut_ends_every_turn_once() {
    let two_asked = [CREATE, CREATE, CREATED_A];
    check(
        RESPONSES,
        &two_asked,
        &[
            "chat gpt-5>gpt-5-1 id=resp_a - in=3 out=- estimated err=- Cut",
            "chat gpt-5>- id=- - in=- out=- unknown err=- Cut",
        ],
    );
    check(
        RESPONSES,
        &[CREATE, CREATED_A, DELTA],
        &["chat gpt-5>gpt-5-1 id=resp_a - in=3 out=4 estimated err=- Cut"],
    );
}

#[test]
fn an_error_stands_in_the_place_of_a_response() {
    let error: Message<'_> = (
        Server,
        r#"{"type":"error","status":429,"error":{"type":"tokens","code":"rate_limit_exceeded","message":"prose"}}"#,
    );
    check(
        RESPONSES,
        &[CREATE, error],
        &["chat gpt-5>- id=- - in=- out=- unknown err=rate_limit_exceeded Complete 429"],
    );
    let connection = check(RESPONSES, &[error], &[]);
    assert_eq!(
        connection.provider_error.as_deref(),
        Some("rate_limit_exceeded")
    );
    let failed: Message<'_> = (
        Server,
        r#"{"type":"response.failed","response":{"id":"resp_a","status":"failed","error":{"code":"server_error","message":"prose"}}}"#,
    );
    check(
        RESPONSES,
        &[CREATE, CREATED_A, failed],
        &["chat gpt-5>gpt-5-1 id=resp_a failed in=- out=- unknown err=server_error Complete"],
    );
}

#[test]
fn what_warms_a_cache_is_a_turn_only_if_it_is_answered() {
    let warm: Message<'_> = (
        Client,
        r#"{"type":"response.create","model":"gpt-5","generate":false,"input":"x"}"#,
    );
    check(RESPONSES, &[warm], &[]);
    check(
        RESPONSES,
        &[warm, CREATED_A, DONE_A],
        &["chat gpt-5>gpt-5-1 id=resp_a completed in=11 out=5 measured err=- Complete"],
    );
}

#[test]
fn turns_past_the_bound_are_recorded_as_cut() {
    let conversation = vec![CREATE; 70];
    let (lines, _) = follow(RESPONSES, &conversation, usize::MAX);
    assert_eq!(lines.len(), 70);
    let mut session = Session::begin(&target(RESPONSES), Compression::None).expect("read");
    let mut lost = Vec::new();
    for (side, text) in conversation {
        session.push(side, &frame(text), &mut |event| {
            if let Event::Ended(ended) = event {
                lost.push(ended.observation.problems);
            }
        });
    }
    assert_eq!(lost, vec![vec![Problem::TooManyTurns]; 6]);
}

const REALTIME: Api = Api::OpenAiRealtime;
const SESSION: Message<'_> = (
    Server,
    r#"{"type":"session.created","session":{"id":"s","model":"gpt-realtime-1","audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
);

#[test]
fn a_realtime_session_has_responses_and_transcriptions() {
    let conversation: [Message<'_>; 9] = [
        SESSION,
        (
            Client,
            r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
        ),
        (
            Server,
            r#"{"type":"conversation.item.input_audio_transcription.delta","item_id":"i1","delta":"hel"}"#,
        ),
        (
            Server,
            r#"{"type":"response.created","response":{"id":"r1","status":"in_progress"}}"#,
        ),
        (
            Server,
            r#"{"type":"response.output_audio.delta","response_id":"r1","delta":"AAAA"}"#,
        ),
        (
            Server,
            r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i1","transcript":"hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":3,"total_tokens":17,"input_token_details":{"audio_tokens":14,"text_tokens":0}}}"#,
        ),
        (
            Server,
            r#"{"type":"response.done","response":{"id":"r1","status":"cancelled","status_details":{"type":"cancelled","reason":"turn_detected"},"usage":{"total_tokens":150,"input_tokens":120,"output_tokens":30,"input_token_details":{"text_tokens":20,"audio_tokens":100,"cached_tokens":64},"output_token_details":{"text_tokens":5,"audio_tokens":25}}}}"#,
        ),
        (
            Server,
            r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i2","transcript":"x","usage":{"type":"duration","seconds":1.5}}"#,
        ),
        (
            Server,
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"bad"}}"#,
        ),
    ];
    let connection = check(
        REALTIME,
        &conversation,
        &[
            "transcription whisper-1>whisper-1 id=- - in=14 out=3 measured err=- Complete",
            "chat asked>gpt-realtime-1 id=r1 turn_detected in=120 out=30 measured err=- Complete",
            "transcription whisper-1>whisper-1 id=- - in=- out=- measured err=- Complete",
        ],
    );
    assert_eq!(connection.provider_error.as_deref(), Some("bad"));
    assert_eq!(connection.response_model.as_deref(), Some("gpt-realtime-1"));
}

#[test]
fn details_of_realtime_usage_are_kept() {
    let done: Message<'_> = (
        Server,
        r#"{"type":"response.done","response":{"id":"r1","status":"completed","usage":{"input_tokens":120,"output_tokens":30,"input_token_details":{"text_tokens":20,"audio_tokens":90,"image_tokens":10,"cached_tokens":64},"output_token_details":{"text_tokens":5,"audio_tokens":25}}}}"#,
    );
    let mut session = Session::begin(&target(REALTIME), Compression::None).expect("read");
    let mut seen = None;
    session.push(Server, &frame(done.1), &mut |event| {
        if let Event::Ended(ended) = event {
            seen = Some(ended.observation);
        }
    });
    let seen = seen.expect("the response has ended");
    let usage = seen.usage;
    assert_eq!(
        (
            usage.input_audio,
            usage.input_image,
            usage.cache_read,
            usage.output_audio
        ),
        (Some(90), Some(10), Some(64), Some(25))
    );
    assert_eq!(seen.provenance, Provenance::Measured);
}

#[test]
fn sound_that_is_cut_off_is_not_estimated() {
    let created: Message<'_> = (
        Server,
        r#"{"type":"response.created","response":{"id":"r1"}}"#,
    );
    let sound: Message<'_> = (
        Server,
        r#"{"type":"response.output_audio.delta","response_id":"r1","delta":"AAAAAAAA"}"#,
    );
    let text: Message<'_> = (
        Server,
        r#"{"type":"response.output_text.delta","response_id":"r1","delta":"sixteen bytes .."}"#,
    );
    check(
        REALTIME,
        &[SESSION, created, text],
        &["chat asked>gpt-realtime-1 id=r1 - in=- out=4 estimated err=- Cut"],
    );
    check(
        REALTIME,
        &[SESSION, created, text, sound],
        &["chat asked>gpt-realtime-1 id=r1 - in=- out=- unknown err=- Cut"],
    );
}

#[test]
fn seconds_of_a_live_session_are_the_connections() {
    let seconds: [Message<'_>; 2] = [
        (
            Server,
            r#"{"type":"session.usage.updated","usage":{"seconds":1.5}}"#,
        ),
        (
            Server,
            r#"{"type":"session.usage.updated","usage":{"seconds":4.25}}"#,
        ),
    ];
    let created: Message<'_> = (
        Server,
        r#"{"type":"response.event","delegation_id":"d","event":{"type":"response.created","response":{"id":"r","model":"gpt-5"}}}"#,
    );
    let done: Message<'_> = (
        Server,
        r#"{"type":"response.event","delegation_id":"d","event":{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":7,"output_tokens":2}}}}"#,
    );
    let connection = check(
        Api::OpenAiLive,
        &[seconds[0], created, done, seconds[1]],
        &["chat ->gpt-5 id=r completed in=7 out=2 measured err=- Complete"],
    );
    let seconds = connection.usage.seconds.map(|seconds| seconds.to_string());
    assert_eq!(seconds.as_deref(), Some("4.25"));
}

const LIVE: Api = Api::GeminiLive;
const SETUP: Message<'_> = (
    Client,
    r#"{"setup":{"model":"models/gemini-live","generationConfig":{}}}"#,
);
const SAY: Message<'_> = (
    Client,
    r#"{"client_content":{"turns":[{"parts":[{"text":"hi"}]}],"turn_complete":true}}"#,
);
const TEXT: Message<'_> = (
    Server,
    r#"{"serverContent":{"modelTurn":{"parts":[{"text":"sixteen bytes .."}]}}}"#,
);
const END_WITH_USAGE: Message<'_> = (
    Server,
    r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":10,"responseTokenCount":4,"totalTokenCount":14}}"#,
);
const END: Message<'_> = (Server, r#"{"serverContent":{"turnComplete":true}}"#);
const USAGE: Message<'_> = (
    Server,
    r#"{"usageMetadata":{"promptTokenCount":20,"responseTokenCount":5,"totalTokenCount":25}}"#,
);

#[test]
fn a_turn_of_gemini_ends_with_its_usage() {
    let line = |input, output| {
        format!(
            "generate_content gemini-live>- id=- turn_complete in={input} out={output} measured err=- Complete"
        )
    };
    let (first, second) = (line(10, 4), line(20, 5));
    let ready: Message<'_> = (Server, r#"{"setupComplete":{}}"#);
    // Within the message that completes it, before it, and after it.
    for end in [
        &[END_WITH_USAGE, SAY, TEXT, USAGE, END][..],
        &[END_WITH_USAGE, SAY, TEXT, END, USAGE],
        &[END_WITH_USAGE, TEXT, END, USAGE],
    ] {
        let conversation = [&[SETUP, ready, SAY, TEXT], end].concat();
        check(LIVE, &conversation, &[&first, &second]);
    }
}

#[test]
fn turns_of_gemini_without_usage_are_estimated() {
    let estimated =
        "generate_content gemini-live>- id=- turn_complete in=- out=4 estimated err=- Complete";
    let cut = "generate_content gemini-live>- id=- - in=- out=4 estimated err=- Cut";
    check(LIVE, &[SETUP, SAY, TEXT, END, SAY, TEXT], &[estimated, cut]);
    let asked = "generate_content gemini-live>- id=- - in=- out=- unknown err=- Cut";
    check(LIVE, &[SETUP, SAY], &[asked]);
    check(LIVE, &[SETUP], &[]);
}

#[test]
fn the_answer_of_a_tool_begins_a_generation_if_the_last_was_counted() {
    let call: Message<'_> = (
        Server,
        r#"{"toolCall":{"functionCalls":[{"id":"f","name":"n","args":{"a":1}}]},"usageMetadata":{"promptTokenCount":8,"responseTokenCount":2,"totalTokenCount":10}}"#,
    );
    let answer: Message<'_> = (
        Client,
        r#"{"tool_response":{"functionResponses":[{"id":"f","response":{}}]}}"#,
    );
    check(
        LIVE,
        &[SETUP, SAY, call, answer, TEXT, END_WITH_USAGE],
        &[
            "generate_content gemini-live>- id=- - in=8 out=2 measured err=- Complete",
            "generate_content gemini-live>- id=- turn_complete in=10 out=4 measured err=- Complete",
        ],
    );
    let uncounted: Message<'_> = (Server, r#"{"toolCall":{"functionCalls":[{"id":"f"}]}}"#);
    check(
        LIVE,
        &[SETUP, SAY, uncounted, answer, TEXT, END_WITH_USAGE],
        &["generate_content gemini-live>- id=- turn_complete in=10 out=4 measured err=- Complete"],
    );
}

#[test]
fn what_is_no_document_is_a_problem_of_the_connection() {
    let noise: Message<'_> = (Server, "{\"type\":");
    let connection = check(
        RESPONSES,
        &[CREATE, CREATED_A, noise, (Client, "hello"), DONE_A],
        &["chat gpt-5>gpt-5-1 id=resp_a completed in=11 out=5 measured err=- Complete"],
    );
    assert_eq!(connection.problems, [Problem::Truncated, Problem::BadJson]);
    let mut session = Session::begin(&target(RESPONSES), Compression::None).expect("read");
    session.push(Server, b"\xf1\x00\x81\x00", &mut |_| {});
    assert_eq!(session.finish(&mut |_| {}).problems, [Problem::BadFraming]);
}

#[test]
fn whoever_closes_first_closed() {
    let mut session = Session::begin(&target(REALTIME), Compression::None).expect("read");
    session.push(Server, b"\x88\x02\x03", &mut |_| {});
    assert_eq!(session.closed_by(), None);
    session.push(Server, b"\xe8", &mut |_| {});
    session.push(Client, b"\x88\x00", &mut |_| {});
    assert_eq!(session.closed_by(), Some(Server));
}

#[test]
fn other_connections_are_not_read() {
    for api in [Api::Other, Api::OpenAiResponses, Api::OpenAiChat] {
        assert!(Session::begin(&target(api), Compression::None).is_none());
    }
}
