//! What the relay of HTTP/2 does with calls, as [`relayed`](crate::relayed) has it
//! for HTTP/1: frames made beforehand go in, and of those that come out only
//! their ends are read.

use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::proxy::driven::Relay;

use crate::callgrind::counted;
use crate::driven::Measured;
use crate::relayed::pair;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of a frame, before its payload.
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// How much more the connection may carry than the 64 KiB of the start: all.
const WINDOW: u32 = 0x7fff_0000;

/// A call, always the same one.
pub(crate) struct Call {
    asked: Message,
    answered: Message,
    /// How many are under way together.
    at_once: usize,
}

/// Fields and a body.
struct Message {
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call {
    /// Answered by a document, so many at once.
    pub(crate) fn unary(document: String, at_once: usize) -> Self {
        let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"?"}]}"#;
        let field = |name, value: &str| (name, value.to_owned());
        Self {
            asked: Message {
                fields: vec![
                    field(":method", "POST"),
                    field(":scheme", "https"),
                    field(":authority", "api.openai.com"),
                    field(":path", "/v1/chat/completions"),
                    field("authorization", "Bearer sk-bench"),
                    field("content-type", "application/json"),
                    field("accept", "application/json"),
                    field("user-agent", "OpenAI/Python 1.99.0"),
                    field("x-stainless-lang", "python"),
                    field("content-length", &body.len().to_string()),
                ],
                body: body.into(),
            },
            answered: Message {
                fields: vec![
                    field(":status", "200"),
                    field("content-type", "application/json"),
                    field("content-length", &document.len().to_string()),
                ],
                body: document.into_bytes(),
            },
            at_once,
        }
    }

    /// Of both bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.asked.body.len() + self.answered.body.len()
    }

    /// Of both bodies.
    pub(crate) fn pieces(&self) -> usize {
        2
    }
}

impl Message {
    /// As frames of a stream. The first tells the fields, and further ones refer
    /// to them, as all peers do it (RFC 7541 §6).
    fn frames(&self, stream: u32, is_first: bool) -> Vec<u8> {
        let mut block = Vec::new();
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if is_first {
                block.push(0x40);
                for text in [*name, value] {
                    block.push(low(text.len()));
                    block.extend_from_slice(text.as_bytes());
                }
            } else {
                // The last one told is the first behind the 61 that all know.
                block.push(0x80 | low(61 + self.fields.len() - index));
            }
        }
        let mut frames = frame(HEADERS, END_HEADERS, stream, &block);
        frames.extend(frame(DATA, END_STREAM, stream, &self.body));
        frames
    }
}

/// A length that fits into one byte here.
fn low(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Relays a call so many times, on one connection.
pub(crate) fn drive(call: &Call, times: u32) -> Result<()> {
    let at_once = u32::try_from(call.at_once)?;
    ensure!(times.is_multiple_of(at_once), "{at_once} are made at once");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let relay = Relay::new(Arc::<Measured>::default()).map_err(|error| anyhow!(error))?;
    let (mut ends, relaying) = runtime.block_on(async {
        let (client, near) = pair().await?;
        let (far, provider) = pair().await?;
        let relaying = tokio::spawn(async move { relay.http2(near, far).await });
        let mut ends = Ends {
            client: End::new(client),
            provider: End::new(provider),
            stream: 1,
        };
        ends.begin().await?;
        // The first ones make what all others find.
        ends.relay(call, 1).await?;
        ends.relay(call, call.at_once).await?;
        anyhow::Ok((ends, relaying))
    })?;
    let turns = times / at_once;
    counted(|| {
        runtime.block_on(async {
            for _ in 0..turns {
                ends.relay(call, call.at_once).await?;
            }
            anyhow::Ok(())
        })
    })?;
    drop(ends);
    runtime.block_on(relaying)??;
    Ok(())
}

/// Both ends of a relay.
struct Ends {
    client: End,
    provider: End,
    /// The next one.
    stream: u32,
}

impl Ends {
    /// Prefaces and settings.
    async fn begin(&mut self) -> Result<()> {
        let settings = [
            frame(SETTINGS, 0, 0, &[]),
            frame(SETTINGS, ACK, 0, &[]),
            frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()),
        ]
        .concat();
        self.provider.tcp.write_all(&settings).await?;
        self.client.tcp.write_all(PREFACE).await?;
        self.client.tcp.write_all(&settings).await?;
        self.provider.skip(PREFACE.len()).await
    }

    /// So many calls at once.
    async fn relay(&mut self, call: &Call, count: usize) -> Result<()> {
        let is_first = self.stream == 1;
        let mut requests = Vec::new();
        for _ in 0..count {
            requests.extend(call.asked.frames(self.stream, is_first));
            self.stream += 2;
        }
        self.client.tcp.write_all(&requests).await?;
        let mut answers = Vec::new();
        for _ in 0..count {
            let stream = self.provider.next_end().await?;
            answers.extend(call.answered.frames(stream, is_first));
        }
        self.provider.tcp.write_all(&answers).await?;
        for _ in 0..count {
            self.client.next_end().await?;
        }
        Ok(())
    }
}

/// One of them.
struct End {
    tcp: TcpStream,
    /// What was read.
    buffer: Vec<u8>,
    /// Of that, what is done with.
    used: usize,
}

impl End {
    fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            buffer: Vec::with_capacity(64 * 1024),
            used: 0,
        }
    }

    /// The next stream that ends.
    async fn next_end(&mut self) -> Result<u32> {
        loop {
            let head = self.peek(FRAME_HEAD).await?;
            let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = head.try_into()?;
            let length = u32::from_be_bytes([0, l2, l1, l0]);
            let stream = u32::from_be_bytes([s3, s2, s1, s0]);
            self.skip(FRAME_HEAD + usize::try_from(length)?).await?;
            let has_end = matches!(kind, DATA | HEADERS);
            if has_end && flags & END_STREAM != 0 {
                return Ok(stream);
            }
        }
    }

    async fn peek(&mut self, count: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.used < count {
            self.buffer.drain(..self.used);
            self.used = 0;
            let read = self.tcp.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the relay has ended");
        }
        Ok(&self.buffer[self.used..self.used + count])
    }

    async fn skip(&mut self, count: usize) -> Result<()> {
        self.peek(count).await?;
        self.used += count;
        Ok(())
    }
}
