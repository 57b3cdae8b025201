//! A request on its way upstream: its head and body as they come, and what a
//! rule makes of them.
//!
//! On a connection that was kept from an earlier call it may turn out that the
//! server has closed it meanwhile. So that the application, which knows of no
//! earlier call, does not have to bear it, what was sent is remembered, within a
//! bound, and can be sent again.

use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Gone, Sharing,
    body::Body,
    head::{self, Edit, Framing, RequestHead},
    lock, send, send_joined,
};
use crate::{
    config::Propagate,
    llm::classify::Api,
    proxy::{Intercepted, io::Reader},
    tap,
};

/// What is remembered to be sent again. Prompts are mostly shorter; what is
/// longer takes longer than the race it is about.
const REMEMBERED_MAX: usize = 64 * 1024;

/// A request, and how far it has come.
pub(super) struct Outgoing<'a> {
    head: &'a RequestHead,
    api: Api,
    received: Instant,
    body: Body,
    /// The head as it is sent, once it was taken from the client.
    wire_head: Option<Bytes>,
    /// What there is of a body that a rule needs whole.
    held: Option<Held>,
    /// The head has been sent.
    has_begun: bool,
    /// Taken from the client, and not known to be sent.
    leaving: Option<Bytes>,
    /// All that was sent, as long as that is within the bound.
    remembered: Option<Vec<Bytes>>,
    remembered_len: usize,
}

impl<'a> Outgoing<'a> {
    /// `received`: when its head had come. `remember`: it may have to be sent
    /// again.
    pub(super) fn new(head: &'a RequestHead, api: Api, received: Instant, remember: bool) -> Self {
        Self {
            head,
            api,
            received,
            body: Body::new(head.framing),
            wire_head: None,
            held: None,
            has_begun: false,
            leaving: None,
            remembered: remember.then(Vec::new),
            remembered_len: 0,
        }
    }

    pub(super) fn method(&self) -> &'a str {
        &self.head.method
    }

    /// Whether it can be sent again: all that was sent is remembered, or nothing
    /// was sent.
    pub(super) fn can_begin_again(&self) -> bool {
        self.remembered.is_some()
    }

    fn remember(&mut self, wire: &Bytes) {
        let Some(remembered) = &mut self.remembered else {
            return;
        };
        self.remembered_len = self.remembered_len.saturating_add(wire.len());
        if self.remembered_len > REMEMBERED_MAX {
            self.remembered = None;
        } else if !wire.is_empty() {
            remembered.push(wire.clone());
        }
    }

    /// All that was sent so far, once more, and for the last time.
    async fn send_again<U: AsyncWrite + Unpin>(
        &mut self,
        upstream: &mut U,
        shared: &Sharing,
    ) -> Result<(), Gone> {
        let Some(remembered) = self.remembered.take() else {
            return Ok(());
        };
        send(upstream, &remembered.concat())
            .await
            .map_err(Gone::Upstream)?;
        lock(shared).exchange.request_head_forwarded();
        if let Some(wire) = self.leaving.take() {
            self.observe(shared, &wire);
        }
        Ok(())
    }

    fn observe(&self, shared: &Sharing, wire: &Bytes) {
        let mut shared = lock(shared);
        for part in self.body.payload(wire) {
            shared.exchange.request_body(part);
        }
    }

    /// The head as it is to be sent.
    fn made(&self, wire_head: Bytes, call: &Intercepted, shared: &Sharing) -> Bytes {
        let mut wire_head = wire_head;
        if self.head.upgrades_to_h2c {
            let tokens = ["upgrade", "http2-settings"];
            wire_head = head::edited(
                &wire_head,
                &[
                    Edit::Remove("upgrade"),
                    Edit::Remove("http2-settings"),
                    Edit::RemoveTokens("connection", &tokens),
                ],
            )
            .into();
        }
        if call.proxy.propagate == Propagate::On {
            let signatures = tap::SIGNATURES
                .iter()
                .flat_map(|it| head::values(&wire_head, it));
            let signatures = signatures.chain([self.head.target.as_bytes()]);
            let context = tap::trace_context(&mut lock(shared).exchange, signatures);
            if let Some(context) = context {
                let edit = Edit::Set(tap::TRACEPARENT, &context);
                wire_head = head::edited(&wire_head, &[edit]).into();
            }
        }
        wire_head
    }

    /// Begins to hold the body if a rule needs it whole.
    fn hold(&mut self, call: &Intercepted) {
        let is_held = tap::holds_request(
            call.asks_usage(),
            self.api,
            self.head.is_encoded,
            self.head.expects_continue,
        );
        if !is_held {
            return;
        }
        let (length, wire) = match self.head.framing {
            Framing::Length(0) => return,
            Framing::Length(length) => (Some(length), None),
            Framing::Chunked | Framing::Close => (None, Some(Vec::new())),
        };
        self.held = tap::Held::begin(length).map(|payload| Held { payload, wire });
    }
}

/// A body on hold.
struct Held {
    payload: tap::Held,
    /// The same as it came, where that differs.
    wire: Option<Vec<u8>>,
}

/// Sends the request to its end, from where it stopped if it has begun before.
pub(super) async fn send_request<C: AsyncRead + Unpin, U: AsyncWrite + Unpin>(
    client: &mut Reader<C>,
    upstream: &mut U,
    outgoing: &mut Outgoing<'_>,
    call: &Intercepted,
    shared: &Sharing,
) -> Result<(), Gone> {
    if outgoing.has_begun {
        outgoing.send_again(upstream, shared).await?;
    } else {
        let wire_head = if let Some(wire_head) = &outgoing.wire_head {
            wire_head.clone()
        } else {
            let wire_head = client.buffer.split_to(outgoing.head.len).freeze();
            let wire_head = outgoing.made(wire_head, call, shared);
            outgoing.hold(call);
            outgoing.wire_head.insert(wire_head).clone()
        };
        if outgoing.held.is_some() {
            send_held(client, upstream, wire_head, outgoing, shared).await?;
        } else {
            let body = &mut outgoing.body;
            let wire = body.take(&mut client.buffer).map_err(Gone::BadRequest)?;
            outgoing.leaving = Some(wire.clone());
            let received = outgoing.received;
            begin(upstream, outgoing, &wire_head, &wire, received, shared).await?;
            outgoing.leaving = None;
            outgoing.observe(shared, &wire);
        }
    }
    while !outgoing.body.is_done() {
        if client.buffer.is_empty() {
            read_more(client).await?;
        }
        let body = &mut outgoing.body;
        let wire = body.take(&mut client.buffer).map_err(Gone::BadRequest)?;
        if !wire.is_empty() {
            outgoing.remember(&wire);
            outgoing.leaving = Some(wire.clone());
            send(upstream, &wire).await.map_err(Gone::Upstream)?;
            outgoing.leaving = None;
            outgoing.observe(shared, &wire);
        } else if !outgoing.body.is_done() {
            read_more(client).await?;
        }
    }
    lock(shared).exchange.request_end();
    Ok(())
}

/// Sends the head, and what there is of the body.
async fn begin<U: AsyncWrite + Unpin>(
    upstream: &mut U,
    outgoing: &mut Outgoing<'_>,
    wire_head: &Bytes,
    wire: &Bytes,
    since: Instant,
    shared: &Sharing,
) -> Result<(), Gone> {
    outgoing.has_begun = true;
    outgoing.remember(wire_head);
    outgoing.remember(wire);
    send_joined(upstream, wire_head, wire)
        .await
        .map_err(Gone::Upstream)?;
    let mut shared = lock(shared);
    shared.exchange.overhead(since.elapsed());
    shared.exchange.request_head_forwarded();
    Ok(())
}

/// A request that a rule needs whole, from where it stopped.
async fn send_held<C: AsyncRead + Unpin, U: AsyncWrite + Unpin>(
    client: &mut Reader<C>,
    upstream: &mut U,
    wire_head: Bytes,
    outgoing: &mut Outgoing<'_>,
    shared: &Sharing,
) -> Result<(), Gone> {
    let mut is_too_long = false;
    loop {
        let body = &mut outgoing.body;
        let wire = body.take(&mut client.buffer).map_err(Gone::BadRequest)?;
        let (body, Some(held)) = (&outgoing.body, &mut outgoing.held) else {
            break;
        };
        for part in body.payload(&wire) {
            is_too_long |= !held.payload.push(part);
        }
        if let Some(all) = &mut held.wire {
            all.extend_from_slice(&wire);
        }
        if body.is_done() || is_too_long {
            outgoing.leaving = Some(wire);
            break;
        }
        outgoing.observe(shared, &wire);
        read_more(client).await?;
    }
    let whole = Instant::now();
    let Some(Held { payload, wire }) = outgoing.held.take() else {
        return Ok(());
    };
    let body = &outgoing.body;
    let (payload, is_changed) = if body.is_done() {
        payload.end()
    } else {
        (payload.give_up(), false)
    };
    let (wire_head, wire_body) = if is_changed {
        let mut shared = lock(shared);
        shared.rule = true;
        tap::note_rule(&mut shared.exchange);
        let length = payload.len().to_string();
        // An encoded stream could not be filtered without encoding it anew.
        let edits = [
            Edit::Replace("content-length", &length),
            Edit::Replace("accept-encoding", "identity"),
        ];
        let mut coded = body.encode(payload);
        coded.extend_from_slice(&body.replaced_end());
        (head::edited(&wire_head, &edits).into(), coded)
    } else {
        (wire_head, wire.unwrap_or(payload))
    };
    begin(
        upstream,
        outgoing,
        &wire_head,
        &wire_body.into(),
        whole,
        shared,
    )
    .await?;
    if let Some(wire) = outgoing.leaving.take() {
        outgoing.observe(shared, &wire);
    }
    Ok(())
}

async fn read_more<C: AsyncRead + Unpin>(client: &mut Reader<C>) -> Result<(), Gone> {
    match client.fill().await {
        Ok(0) => Err(Gone::Client(std::io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => Ok(()),
        Err(error) => Err(Gone::Client(error)),
    }
}
