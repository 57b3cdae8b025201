//! The providers' WebSockets: OpenAI's responses and realtime API, and Gemini's
//! live API.
//!
//! What is said on them is what `POST /v1/responses` would say to the same
//! prompt, in the words of each API. The ledger has an entry for the
//! connection, and one for each response or turn on it. Compression is agreed
//! to whenever it is offered. Of the faults only `reset-mid-stream` is known
//! here: it ends the connection half-way through a response.

mod speech;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::answer::Content;
use crate::api::{self, Call};
use crate::controls::Controls;
use crate::fault::Fault;
use crate::ledger::{Api, Ended, Entry, UsageTold};
use crate::serve::Emulation;
use crate::wire::fields::Fields;
use crate::wire::websocket::{
    BINARY, CLOSE, CONTINUATION, DEFLATED, Deflate, FIN, Frame, PROTOCOL_ERROR, TEXT, accept_key,
    take_frame,
};
use crate::wire::{BodyError, Framing, Head, HeadPace, Request, Wire};
use speech::Speech;

/// Answers a request for a WebSocket and closes its ledger entry.
pub(crate) async fn answer(
    api: Api,
    request: &Request,
    controls: &Controls,
    wire: &mut Wire<'_>,
    entry: Entry,
    emulation: &Emulation,
) {
    let mut socket = Socket {
        api,
        request,
        controls,
        wire,
        entry,
        emulation,
        deflate: None,
        speech: Speech::new(api, request),
    };
    let ended = match socket.run().await {
        Ok(ended) => ended,
        Err(_gone_or_malformed) => Ended::ClientGone,
    };
    socket.entry.end(ended);
}

/// A connection.
struct Socket<'a, 'wire> {
    api: Api,
    request: &'a Request,
    controls: &'a Controls,
    wire: &'a mut Wire<'wire>,
    entry: Entry,
    emulation: &'a Emulation,
    deflate: Option<Deflate>,
    speech: Speech,
}

impl Socket<'_, '_> {
    async fn run(&mut self) -> Result<Ended, BodyError> {
        let Some(key) = self.request.header("sec-websocket-key") else {
            self.head(StatusCode::UPGRADE_REQUIRED, Fields::new())
                .await?;
            self.wire.finish(None).await?;
            return Ok(Ended::Complete);
        };
        let mut fields = Fields::new()
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Accept", accept_key(key));
        let offers = self.request.header("sec-websocket-extensions");
        if offers.is_some_and(|offers| offers.contains("permessage-deflate")) {
            self.deflate = Some(Deflate::new());
            fields.push("Sec-WebSocket-Extensions", "permessage-deflate");
        }
        self.head(StatusCode::SWITCHING_PROTOCOLS, fields).await?;
        for event in self.speech.opening() {
            self.say(&event).await?;
        }
        let (mut inbound, mut message) = (BytesMut::new(), Message::default());
        while let Some(piece) = self.wire.body().await? {
            inbound.extend_from_slice(&piece);
            loop {
                let agreed = if self.deflate.is_some() { DEFLATED } else { 0 };
                let frame = match take_frame(&mut inbound, agreed) {
                    Ok(None) => break,
                    Ok(Some(frame)) => frame,
                    Err(code) => return self.close(code).await,
                };
                match frame.opcode() {
                    TEXT | BINARY | CONTINUATION => {
                        let is_last = frame.first & FIN != 0;
                        message.take(&frame);
                        if !is_last {
                            continue;
                        }
                        match self.hear(std::mem::take(&mut message)).await? {
                            Ok(Heard::Answered) => {}
                            Ok(Heard::BrokenOff) => return Ok(Ended::Fault),
                            Err(code) => return self.close(code).await,
                        }
                    }
                    opcode => {
                        if let Some(answer) = frame.answer() {
                            self.wire.write(answer).await?;
                        }
                        if opcode == CLOSE {
                            self.wire.finish(None).await?;
                            return Ok(Ended::Complete);
                        }
                    }
                }
            }
        }
        self.wire.finish(None).await?;
        Ok(Ended::Complete)
    }

    async fn head(&mut self, status: StatusCode, fields: Fields) -> Result<(), BodyError> {
        let fields = fields.with("x-weir-emulator", "1");
        let head = Head { status, fields };
        let framing = if status == StatusCode::SWITCHING_PROTOCOLS {
            Framing::UntilClose
        } else {
            Framing::Length(0)
        };
        self.wire.head(&head, framing, HeadPace::AtOnce).await?;
        self.entry.told().status = Some(status.as_u16());
        Ok(())
    }

    /// Takes a message; fails with a close code.
    async fn hear(&mut self, message: Message) -> Result<Result<Heard, u16>, BodyError> {
        let text = match &mut self.deflate {
            Some(deflate) if message.is_deflated => match deflate.inflate(&message.bytes) {
                Ok(text) => text,
                Err(code) => return Ok(Err(code)),
            },
            Some(_) | None => message.bytes,
        };
        let Ok(event) = serde_json::from_slice::<Value>(&text) else {
            return Ok(Err(PROTOCOL_ERROR));
        };
        for said in self.speech.hear(&event) {
            self.say(&said).await?;
        }
        match self.speech.question(&event) {
            None => Ok(Ok(Heard::Answered)),
            Some(question) => self.respond(&event, &question).await.map(Ok),
        }
    }

    /// Says what is answered to a question, and writes it into the ledger.
    async fn respond(&mut self, event: &Value, question: &Value) -> Result<Heard, BodyError> {
        let number = self.emulation.ledger.number();
        let mut told = self.entry.told().clone();
        (told.number, told.status, told.stream) = (number, None, true);
        told.api = self.api;
        let mut entry = Entry::open(Arc::clone(&self.emulation.ledger), told);
        let call = Call {
            request: self.request,
            received: OffsetDateTime::now_utc(),
            controls: self.controls,
            salt: self.emulation.salt(number),
            memory: &self.emulation.memory,
        };
        let answer = match api::respond(&call, question) {
            Ok(answer) => answer,
            Err(_refusal) => {
                let error = json!({"type": "error", "status": 400,
                    "error": {"type": "invalid_request_error", "code": "invalid_request",
                              "message": "The request cannot be answered."}});
                self.say(&error).await?;
                entry.told().status = Some(400);
                entry.end(Ended::Complete);
                return Ok(Heard::Answered);
            }
        };
        let figures = answer.figures;
        let told = entry.told();
        told.response_id = figures.response_id;
        told.model = figures.model;
        told.input_tokens = figures.input_tokens;
        told.cache_read_tokens = figures.cache_read_tokens;
        let Content::Stream { mut events, .. } = answer.content else {
            unreachable!("a stream was asked for")
        };
        let breaks_off = self.controls.fault == Some(Fault::ResetMidStream);
        if breaks_off {
            events.truncate(events.len().div_ceil(2));
        }
        for (index, part) in events.iter().enumerate() {
            if index > 0 && !self.controls.gap.is_zero() {
                tokio::time::sleep(self.controls.gap).await;
            }
            for said in self.speech.say(event, &payload(&part.bytes)) {
                if let Err(error) = self.say(&said).await {
                    entry.end(Ended::ClientGone);
                    return Err(error);
                }
            }
            let told = entry.told();
            told.output_tokens += part.output_tokens;
            told.reasoning_tokens += part.reasoning_tokens;
            if part.usage != UsageTold::No {
                told.usage_told = part.usage;
            }
        }
        if breaks_off {
            self.wire.reset().await;
            entry.end(Ended::Fault);
            return Ok(Heard::BrokenOff);
        }
        entry.end(Ended::Complete);
        Ok(Heard::Answered)
    }

    /// Sends an event.
    async fn say(&mut self, event: &Value) -> Result<(), BodyError> {
        let text = event.to_string();
        let opcode = self.speech.opcode();
        let frame = match &mut self.deflate {
            Some(deflate) => Frame {
                first: FIN | DEFLATED | opcode,
                payload: deflate.deflate(text.as_bytes()),
            },
            None => Frame {
                first: FIN | opcode,
                payload: text.into(),
            },
        };
        Ok(self.wire.write(frame.encode()).await?)
    }

    async fn close(&mut self, code: u16) -> Result<Ended, BodyError> {
        let frame = Frame {
            first: FIN | CLOSE,
            payload: Bytes::copy_from_slice(&code.to_be_bytes()),
        };
        self.wire.write(frame.encode()).await?;
        self.wire.finish(None).await?;
        Ok(Ended::Complete)
    }
}

/// What became of a message.
enum Heard {
    Answered,
    BrokenOff,
}

/// A message in parts.
#[derive(Default)]
struct Message {
    is_deflated: bool,
    bytes: Vec<u8>,
}

impl Message {
    fn take(&mut self, frame: &Frame) {
        self.is_deflated |= frame.first & DEFLATED != 0;
        self.bytes.extend_from_slice(&frame.payload);
    }
}

/// The document in a server-sent event.
fn payload(event: &[u8]) -> Value {
    let mut lines = event.split(|byte| *byte == b'\n');
    let data = lines.find_map(|line| line.strip_prefix(b"data: "));
    data.and_then(|data| serde_json::from_slice(data).ok())
        .unwrap_or_default()
}
