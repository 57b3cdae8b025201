//! What metering does, and nothing else: exchanges with bodies that are always the
//! same, in pieces as a relay reads them.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde_json::json;
use weir::export::prometheus::Metrics;
use weir::llm::catalogue::Provider;
use weir::llm::classify::Api;
use weir::llm::headers::Headers;
use weir::llm::usage::Provenance;
use weir::meter::exchange::{Exchange, Meter, Opening, Outcome};
use weir::meter::prices::PriceTable;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{Protocol, Record, RecordSink};
use weir::tap::Filtered;

use crate::callgrind::counted;
use crate::{relayed, streamed};

/// Events of a stream.
const EVENTS: usize = 1000;
/// Bytes of text in a long answer, and in a document.
const ANSWER: usize = 64 * 1000;
const DOCUMENT: usize = 400 * 1000;
/// What one read of a large body brings: a TLS record.
const READ: usize = 16 * 1024;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Input {
    /// OpenAI's chat stream.
    ChatEvents,
    /// The same, with the answer to weir's own question taken out again.
    ChatEventsFiltered,
    /// Anthropic's stream.
    MessageEvents,
    /// The same, coded event by event.
    MessageEventsGzip,
    /// The same in brotli.
    MessageEventsBrotli,
    /// The stream of Bedrock's Converse.
    ConverseEvents,
    /// A whole answer, of text, as long as a model can say at once.
    ChatAnswer,
    /// One that is longer.
    ChatDocument,
    /// A request with an image in it.
    ImageRequest,
    /// Short calls, relayed: heads read, bodies metered, all written again.
    RelayedCall,
    /// OpenAI's chat stream, relayed.
    RelayedEvents,
    /// Short calls, relayed as streams of HTTP/2, one at a time.
    RelayedStream,
    /// The same, as many at once as the benchmark beside others has.
    RelayedStreams,
}

impl Input {
    /// Every one.
    pub(crate) const ALL: [Self; 13] = [
        Self::ChatEvents,
        Self::ChatEventsFiltered,
        Self::MessageEvents,
        Self::MessageEventsGzip,
        Self::MessageEventsBrotli,
        Self::ConverseEvents,
        Self::ChatAnswer,
        Self::ChatDocument,
        Self::ImageRequest,
        Self::RelayedCall,
        Self::RelayedEvents,
        Self::RelayedStream,
        Self::RelayedStreams,
    ];

    /// The call that is relayed, where that is done.
    fn relayed(self) -> Option<Relayed> {
        let document = || chat_document_of(&"weir ".repeat(120));
        match self {
            Self::RelayedCall => Some(Relayed::Http1(relayed::Call::unary(&document()))),
            Self::RelayedEvents => Some(Relayed::Http1(relayed::Call::streamed(chat_events()))),
            Self::RelayedStream => Some(Relayed::Http2(streamed::Call::unary(document(), 1))),
            Self::RelayedStreams => Some(Relayed::Http2(streamed::Call::unary(document(), 32))),
            Self::ChatEvents
            | Self::ChatEventsFiltered
            | Self::MessageEvents
            | Self::MessageEventsGzip
            | Self::MessageEventsBrotli
            | Self::ConverseEvents
            | Self::ChatAnswer
            | Self::ChatDocument
            | Self::ImageRequest => None,
        }
    }

    /// How often it is driven to be counted: short ones more often, as what
    /// happens once in a while is a larger part of them.
    pub(crate) fn times(self) -> u64 {
        match self {
            Self::RelayedCall | Self::RelayedStream => 200,
            Self::RelayedStreams => 320,
            Self::ChatAnswer => 20,
            Self::ChatEvents
            | Self::ChatEventsFiltered
            | Self::MessageEvents
            | Self::MessageEventsGzip
            | Self::MessageEventsBrotli
            | Self::ConverseEvents
            | Self::ChatDocument
            | Self::ImageRequest
            | Self::RelayedEvents => 3,
        }
    }

    /// Bytes and pieces, both ways.
    pub(crate) fn size(self) -> Result<(usize, usize)> {
        Ok(match self.relayed() {
            Some(Relayed::Http1(call)) => (call.bytes(), call.pieces()),
            Some(Relayed::Http2(call)) => (call.bytes(), call.pieces()),
            None => {
                let fed = Fed::new(self)?;
                (fed.bytes(), fed.pieces())
            }
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => out.pad(value.get_name()),
            None => Ok(()),
        }
    }
}

/// A call that is relayed, by what it speaks.
enum Relayed {
    Http1(relayed::Call),
    Http2(streamed::Call),
}

/// An exchange, piece by piece.
struct Fed {
    api: Api,
    filtered: bool,
    request: Vec<Vec<u8>>,
    content_type: &'static str,
    content_encoding: Option<&'static str>,
    response: Vec<Vec<u8>>,
}

impl Fed {
    /// # Errors
    /// A coding fails.
    fn new(input: Input) -> Result<Self> {
        let stream = |api, request: &str, response| Self {
            api,
            filtered: false,
            request: vec![request.into()],
            content_type: "text/event-stream",
            content_encoding: None,
            response,
        };
        let chat =
            r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"?"}]}"#;
        let messages = r#"{"model":"claude-sonnet-4-5","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"?"}]}"#;
        Ok(match input {
            Input::ChatEvents => stream(Api::OpenAiChat, chat, chat_events()),
            Input::ChatEventsFiltered => Self {
                filtered: true,
                ..stream(Api::OpenAiChat, chat, chat_events())
            },
            Input::MessageEvents => stream(Api::AnthropicMessages, messages, message_events()),
            Input::MessageEventsGzip => Self {
                content_encoding: Some("gzip"),
                ..stream(Api::AnthropicMessages, messages, gzip(&message_events())?)
            },
            Input::MessageEventsBrotli => Self {
                content_encoding: Some("br"),
                ..stream(Api::AnthropicMessages, messages, brotli(&message_events())?)
            },
            Input::ConverseEvents => Self {
                content_type: "application/vnd.amazon.eventstream",
                ..stream(Api::BedrockConverse, "{}", converse_events())
            },
            Input::ChatDocument => Self {
                content_type: "application/json",
                ..stream(Api::OpenAiChat, chat, reads(&chat_document(DOCUMENT)))
            },
            Input::ChatAnswer => Self {
                content_type: "application/json",
                ..stream(Api::OpenAiChat, chat, reads(&chat_document(ANSWER)))
            },
            Input::ImageRequest => {
                let document = chat_document_of("No.");
                let fed = stream(Api::OpenAiChat, "", vec![document.into_bytes()]);
                Self {
                    content_type: "application/json",
                    request: reads(&image_request()),
                    ..fed
                }
            }
            Input::RelayedCall
            | Input::RelayedEvents
            | Input::RelayedStream
            | Input::RelayedStreams => bail!("{input} is relayed, not fed"),
        })
    }

    /// Bytes of both bodies.
    fn bytes(&self) -> usize {
        self.request
            .iter()
            .chain(&self.response)
            .map(Vec::len)
            .sum()
    }

    /// Pieces of both bodies.
    fn pieces(&self) -> usize {
        self.request.len() + self.response.len()
    }

    fn exchange(&self, meter: &Meter) {
        let json = |name| (name == "content-type").then(|| "application/json".to_owned());
        let opening = Opening {
            host: Some("api.example.com".into()),
            provider: Some(Provider::OpenAi),
            port: 443,
            target: Some(self.api.into()),
            request_headers: Headers::of_request(json),
            decision: Decision::Intercept,
            reason: Reason::CatalogueHost,
            protocol: Protocol::H1,
            process: None,
        };
        let mut exchange = Exchange::open(opening, SystemTime::now(), meter);
        exchange.request_head_forwarded();
        for piece in &self.request {
            exchange.request_body(piece);
        }
        exchange.request_end();
        let head = Headers::of_response(|name| match name {
            "content-type" => Some(self.content_type.to_owned()),
            "content-encoding" => self.content_encoding.map(str::to_owned),
            _ => None,
        });
        exchange.response_head(200, &head);
        let mut filter = self.filtered.then(Filtered::begin);
        for piece in &self.response {
            if let Some(filter) = &mut filter {
                std::hint::black_box(filter.push(piece));
            }
            exchange.response_body(piece);
        }
        exchange.finish(Outcome::Complete);
    }
}

/// Where records end: in metrics, as those of the proxy do. Each has to say what was
/// fed.
#[derive(Default)]
pub(crate) struct Measured(Metrics);

impl RecordSink for Measured {
    fn record(&self, record: Record) {
        assert!(
            record.tokens_provenance == Provenance::Measured && record.problems.is_empty(),
            "{record:?}"
        );
        self.0.observe(&record);
    }
}

/// Meters an input so many times.
pub(crate) fn drive(input: Input, times: u32) -> Result<()> {
    ensure!(times > 0, "nothing to do");
    match input.relayed() {
        Some(Relayed::Http1(call)) => return relayed::drive(&call, times),
        Some(Relayed::Http2(call)) => return streamed::drive(&call, times),
        None => {}
    }
    let fed = Fed::new(input)?;
    let prices = Arc::new(PriceTable::builtin());
    let meter = Meter::new(Instant::now, Arc::<Measured>::default(), prices);
    // The first makes what all others find.
    fed.exchange(&meter);
    counted(|| {
        for _ in 0..times {
            fed.exchange(&meter);
        }
    });
    Ok(())
}

fn chat_events() -> Vec<Vec<u8>> {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\
             \"object\":\"chat.completion.chunk\",\"created\":1767225600,\
             \"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_560af6e559\",{rest}}}\n\n"
        )
        .into_bytes()
    };
    let delta = |number: usize| {
        chunk(&format!(
            "\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" weir{}\"}},\"logprobs\":null,\
             \"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"Qx7bLw\"",
            number % 10
        ))
    };
    let mut events: Vec<_> = (0..EVENTS).map(delta).collect();
    events.push(chunk(
        "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\
         \"usage\":null",
    ));
    events.push(chunk(
        "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1000,\
         \"total_tokens\":1009,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\
         \"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}}",
    ));
    events.push(b"data: [DONE]\n\n".to_vec());
    events
}

fn message_events() -> Vec<Vec<u8>> {
    let event = |name: &str, data: serde_json::Value| {
        format!("event: {name}\ndata: {data}\n\n").into_bytes()
    };
    let usage = json!({"input_tokens": 9, "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0, "output_tokens": 1, "service_tier": "standard"});
    let mut events = vec![
        event(
            "message_start",
            json!({"type": "message_start", "message": {"id": "msg_01", "type": "message",
                "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": [],
                "stop_reason": null, "usage": usage}}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}}),
        ),
    ];
    events.extend((0..EVENTS).map(|number| {
        event(
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": format!(" weir{}", number % 10)}}),
        )
    }));
    events.push(event(
        "message_delta",
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 1000}}),
    ));
    events.push(event("message_stop", json!({"type": "message_stop"})));
    events
}

fn converse_events() -> Vec<Vec<u8>> {
    let delta = |number: usize| {
        message(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": format!(" weir{}", number % 10)},
                "p": "abcdefghijklmnopqrstuvwxyz"}),
        )
    };
    let mut events: Vec<_> = (0..EVENTS).map(delta).collect();
    events.push(message("messageStop", &json!({"stopReason": "end_turn"})));
    events.push(message(
        "metadata",
        &json!({"usage": {"inputTokens": 9, "outputTokens": 1000, "totalTokens": 1009},
            "metrics": {"latencyMs": 7}}),
    ));
    events
}

/// A message of `application/vnd.amazon.eventstream`.
fn message(event: &str, payload: &serde_json::Value) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":event-type", event),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        const STRING: u8 = 7;
        let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
        headers.push(length(name));
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(&[STRING, 0, length(value)]);
        headers.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let total = 12 + headers.len() + payload.len() + 4;
    let mut message = [size(total), size(headers.len())].concat();
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload.as_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

fn chat_document(length: usize) -> String {
    let sentence = "A weir is a low dam across a river,\nwhich regulates its flow. ";
    chat_document_of(&sentence.repeat(length / sentence.len()))
}

fn chat_document_of(content: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_225_600,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content,
            "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 90_000, "total_tokens": 90_009},
        "service_tier": "default",
    })
    .to_string()
}

fn image_request() -> String {
    let url = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgo".repeat(DOCUMENT / 11)
    );
    json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}}]}], "model": "gpt-4o-mini"})
    .to_string()
}

fn reads(document: &str) -> Vec<Vec<u8>> {
    document
        .as_bytes()
        .chunks(READ)
        .map(<[u8]>::to_vec)
        .collect()
}

fn gzip(events: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut coded = Vec::new();
    for event in events {
        writer.write_all(event)?;
        writer.flush()?;
        coded.push(std::mem::take(writer.get_mut()));
    }
    coded.push(writer.finish()?);
    Ok(coded)
}

fn brotli(events: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    const BUFFER: usize = 4096;
    const QUALITY: u32 = 4;
    const WINDOW: u32 = 20;
    let mut writer = brotli::CompressorWriter::new(Vec::new(), BUFFER, QUALITY, WINDOW);
    let mut coded = Vec::new();
    for event in events {
        writer.write_all(event)?;
        writer.flush()?;
        coded.push(std::mem::take(writer.get_mut()));
    }
    coded.push(writer.into_inner());
    Ok(coded)
}
