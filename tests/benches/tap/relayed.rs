//! What a relay does with calls, metering included: over loopback, where a client
//! and a provider that cost next to nothing take turns with it on one thread.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir::proxy::driven::Relay;

use crate::callgrind::counted;
use crate::driven::Measured;

/// A call, always the same one, as it is on the wire.
pub(crate) struct Call {
    request: Vec<u8>,
    /// Each has arrived before the next is sent.
    answer: Vec<Vec<u8>>,
}

impl Call {
    /// Answered by a document.
    pub(crate) fn unary(document: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
            document.len()
        );
        Self {
            request: request(
                r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"?"}]}"#,
            ),
            answer: vec![answer.into_bytes()],
        }
    }

    /// Answered by events. It asks for its usage itself, so that nothing is changed.
    pub(crate) fn streamed(events: Vec<Vec<u8>>) -> Self {
        let body = r#"{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"?"}]}"#;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let mut answer = vec![head.as_bytes().to_vec()];
        answer.extend(events.into_iter().map(|event| {
            let size = format!("{:x}\r\n", event.len());
            [size.as_bytes(), &event, b"\r\n"].concat()
        }));
        answer.push(b"0\r\n\r\n".to_vec());
        Self {
            request: request(body),
            answer,
        }
    }

    /// On the wire, both ways.
    pub(crate) fn bytes(&self) -> usize {
        self.request.len() + self.answer.iter().map(Vec::len).sum::<usize>()
    }

    /// Both ways.
    pub(crate) fn pieces(&self) -> usize {
        1 + self.answer.len()
    }
}

fn request(body: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n\
         Authorization: Bearer sk-bench\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nUser-Agent: OpenAI/Python 1.99.0\r\n\
         X-Stainless-Lang: python\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Relays a call so many times, on one connection.
pub(crate) fn drive(call: &Call, times: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let relay = Relay::new(Arc::<Measured>::default()).map_err(|error| anyhow!(error))?;
    let (mut ends, relaying) = runtime.block_on(async {
        let (client, near) = pair().await?;
        let (far, provider) = pair().await?;
        let relaying = tokio::spawn(async move { relay.http1(near, far).await });
        let mut ends = Ends { client, provider };
        // The first makes what all others find.
        ends.relay(call, 1).await?;
        anyhow::Ok((ends, relaying))
    })?;
    counted(|| runtime.block_on(ends.relay(call, times)))?;
    drop(ends);
    runtime.block_on(relaying)?;
    Ok(())
}

/// Both ends of a relay.
struct Ends {
    client: TcpStream,
    provider: TcpStream,
}

impl Ends {
    async fn relay(&mut self, call: &Call, times: u32) -> Result<()> {
        let Self { client, provider } = self;
        let mut buffer = vec![0; call.request.len()];
        for _ in 0..times {
            client.write_all(&call.request).await?;
            provider.read_exact(&mut buffer).await?;
            for piece in &call.answer {
                provider.write_all(piece).await?;
                buffer.resize(piece.len(), 0);
                client.read_exact(&mut buffer).await?;
            }
            buffer.resize(call.request.len(), 0);
        }
        Ok(())
    }
}

/// Both ends of a connection over loopback.
pub(crate) async fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (connected, (accepted, _)) = (connected?, accepted?);
    connected.set_nodelay(true)?;
    accepted.set_nodelay(true)?;
    Ok((connected, accepted))
}
