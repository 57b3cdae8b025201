//! HTTP/1 on both legs: one connection upstream for each of the application's, at
//! any time.
//!
//! Messages are forwarded as the bytes they are: field names keep their case
//! and order, chunks their sizes, trailers and interim responses their place.
//! That is why this relay reads heads itself instead of running an HTTP server
//! and a client back to back, which would write every message anew, answer
//! `Expect: 100-continue` on its own, and lose 103.
//!
//! Reading and writing of both directions go on at the same time, so that a
//! response that begins before the request has ended passes too. The end of one
//! leg becomes the end of the other, in kind: a half-close stays a half-close, a
//! reset becomes a reset. But where the application ends an idle connection in
//! order, its leg upstream is kept for the next one (`pool`).

mod body;
mod chunked;
mod head;
pub(super) mod invariant;
mod outgoing;
#[cfg(test)]
mod tests;

use std::{
    io,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

pub(super) use self::head::{HEAD_LEN_MAX, RequestHead, request as read_request_head};
use self::{
    body::Body,
    chunked::ChunkError,
    head::{Framing, ResponseHead},
    outgoing::{Outgoing, send_request},
};
use super::{
    Intercepted, LINGER_BYTES_MAX, LINGER_WAIT, authority,
    io::{Connection, Reader},
    leg::{Leg, Mark},
    refusal::Refusal,
    splice::{Passed, tunnel},
    supply::Spoken,
};
use crate::{
    llm::{
        classify::{Api, classify},
        headers::Headers,
    },
    meter::{
        exchange::{Exchange, Outcome},
        reason::Reason,
        record::Protocol,
        socket::Socket,
    },
    tap::{self, Filtered},
    tls::downstream::refused_certificate,
};

/// Requests a client may have sent ahead while an earlier one is answered.
const PIPELINED_MAX: usize = 64 * 1024;
/// Bodies up to this size are copied behind their head to leave in one write,
/// one TLS record and one packet.
const JOINED_BODY_MAX: usize = 8 * 1024;

/// Relays until either leg ends. `is_kept`: upstream has served a connection
/// before this one.
pub(super) fn relay<C: Connection>(
    client: C,
    upstream: Leg,
    is_kept: bool,
    call: Intercepted,
) -> impl Future<Output = ()> + Send {
    // Outside of the future, which would have room for both connections twice.
    let (client_read, client_write) = split(client);
    let mark = upstream.mark().filter(|_| is_kept);
    let (upstream_read, upstream_write) = split(upstream);
    let legs = Legs {
        client: Reader::new(client_read),
        client_write,
        upstream: Reader::new(upstream_read),
        upstream_write,
        requests: 0,
        mark,
        keep_alive: None,
    };
    relay_between(legs, call)
}

async fn relay_between<C: Connection>(mut legs: Legs<C>, call: Intercepted) {
    let ending = loop {
        match legs.exchange(&call).await {
            Next::Request => {
                legs.requests = legs.requests.saturating_add(1);
                // What fails from now on would have failed without weir, too.
                legs.mark = None;
            }
            Next::End(ending) => break ending,
        }
    };
    legs.end(ending, &call).await;
}

/// How the connection goes on after an exchange.
enum Next {
    Request,
    End(Ending),
}

/// How both legs end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Orderly: close_notify and FIN.
    Close,
    /// The application's orderly, and upstream's not at all.
    Keep,
    /// Orderly, after listening to a client that is still sending.
    Linger,
    /// Without close_notify, as the other end did.
    Drop,
    /// With a TCP reset on both legs.
    Reset,
}

/// Who ended an exchange before its time.
#[derive(Debug)]
enum Gone {
    Client(io::Error),
    Upstream(io::Error),
    BadRequest(ChunkError),
    BadResponse(String),
}

/// What the two directions of an exchange share.
struct Shared {
    exchange: Exchange,
    request_done: bool,
    /// The client sends nothing any more.
    client_ended: bool,
    /// Upstream has begun to answer, if only with an interim response.
    heard: bool,
    /// The response has begun to leave for the client.
    answering: bool,
    /// The request was changed by the rule, so the response has to be.
    rule: bool,
}

type Sharing = Mutex<Shared>;

fn lock(shared: &Sharing) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Legs<C> {
    client: Reader<ReadHalf<C>>,
    client_write: WriteHalf<C>,
    upstream: Reader<ReadHalf<Leg>>,
    upstream_write: WriteHalf<Leg>,
    requests: u64,
    /// Where upstream was before the first request, while that may be sent again:
    /// the leg was kept from an earlier call.
    mark: Option<Mark>,
    /// How long upstream says that it waits for the next request.
    keep_alive: Option<Duration>,
}

/// A finished response.
enum Answered {
    Whole {
        reusable: bool,
        clean: bool,
        keep_alive: Option<Duration>,
    },
    /// With these headers.
    Upgraded(Headers),
}

impl<C: Connection> Legs<C> {
    /// One request and its response.
    async fn exchange(&mut self, call: &Intercepted) -> Next {
        let mut head = match self.next_head(call).await {
            Ok(head) => head,
            Err(ending) => return Next::End(ending),
        };
        let received = Instant::now();
        let provider = Some(&call.provider);
        let target = classify(&head.method, &head.target, provider, &head.headers);
        let api = target.api;
        let headers = std::mem::take(&mut head.headers);
        let opening = call.opening(Protocol::H1, target, headers);
        let exchange = Exchange::open(opening, SystemTime::now(), &call.proxy.meter);
        if let Some(refusal) = objection(&head, call) {
            return Next::End(self.refuse(&refusal, call, exchange).await);
        }
        let shared = Mutex::new(Shared {
            exchange,
            request_done: false,
            client_ended: false,
            heard: false,
            answering: false,
            rule: false,
        });
        let mut outgoing = Outgoing::new(&head, api, received, self.mark.is_some());
        let result = loop {
            match self.run(&mut outgoing, call, &shared).await {
                Err(Gone::Upstream(error))
                    if is_end(&error) && self.is_untouched(&outgoing, &shared) =>
                {
                    let Some(upstream) = call.another(&error).await else {
                        break Err(Gone::Upstream(error));
                    };
                    self.replace_upstream(upstream);
                }
                result => break result,
            }
        };
        let Shared {
            exchange,
            request_done,
            client_ended,
            answering,
            ..
        } = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(Answered::Whole {
                reusable,
                clean,
                keep_alive,
            }) => {
                exchange.finish(Outcome::Complete);
                self.keep_alive = keep_alive;
                match (request_done, reusable && !head.close, clean) {
                    (true, true, _) => Next::Request,
                    (true, false, true) => Next::End(Ending::Close),
                    (true, false, false) => Next::End(Ending::Drop),
                    (false, ..) => Next::End(Ending::Linger),
                }
            }
            // Boxed, because few connections get here and all would be as large.
            Ok(Answered::Upgraded(headers)) => Box::pin(self.upgraded(exchange, &headers)).await,
            Err(Gone::Client(error)) => {
                tracing::debug!(%error, "client left during an exchange");
                exchange.finish(Outcome::ClientGone);
                Next::End(Ending::Reset)
            }
            Err(Gone::Upstream(error)) => {
                let reset = error.kind() == io::ErrorKind::ConnectionReset;
                exchange.finish(if client_ended {
                    // Servers stop answering a client that has closed.
                    Outcome::ClientGone
                } else {
                    Outcome::UpstreamGone(format!("upstream: {error}"))
                });
                Next::End(if reset { Ending::Reset } else { Ending::Drop })
            }
            Err(Gone::BadResponse(problem)) => {
                exchange.finish(Outcome::UpstreamGone(format!("upstream: {problem}")));
                Next::End(Ending::Reset)
            }
            Err(Gone::BadRequest(error)) if answering => {
                // An answer of ours would land in the middle of upstream's.
                exchange.finish(Outcome::Refused {
                    reason: Reason::BadRequest,
                    error: error.to_string(),
                });
                Next::End(Ending::Reset)
            }
            Err(Gone::BadRequest(error)) => {
                self.refuse(&Refusal::bad_request(error), call, exchange)
                    .await;
                Next::End(Ending::Reset)
            }
        }
    }

    /// Waits for the next request, or for either leg to end.
    async fn next_head(&mut self, call: &Intercepted) -> Result<RequestHead, Ending> {
        loop {
            while self.client.buffer.starts_with(b"\r\n") {
                // RFC 9112 §2.2: empty lines before a request mean nothing.
                self.client.buffer.advance(2);
            }
            match head::request(&self.client.buffer) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(error) => {
                    let opening = call.opening(Protocol::H1, Api::Other.into(), Headers::default());
                    let exchange = Exchange::open(opening, SystemTime::now(), &call.proxy.meter);
                    return Err(self
                        .refuse(&Refusal::bad_request(error), call, exchange)
                        .await);
                }
            }
            let idle = self.client.buffer.is_empty();
            tokio::select! {
                biased;
                read = self.client.fill() => match read {
                    Ok(0) => {
                        if self.requests == 0 && idle {
                            call.closed_by_client();
                        }
                        return Err(if idle { Ending::Keep } else { Ending::Close });
                    }
                    Ok(_) if self.requests == 0 && idle => call.accepted_by_client(),
                    Ok(_) => {}
                    Err(error) => {
                        if self.requests == 0 && refused_certificate(&error) {
                            call.refused_by_client(&error);
                        } else if self.requests == 0 && idle {
                            call.closed_by_client();
                        }
                        return Err(Ending::Drop);
                    }
                },
                read = self.upstream.fill(), if idle => match read {
                    Ok(0) => return Err(Ending::Close),
                    // A response nobody asked for, such as 408 before closing.
                    Ok(_) => {
                        let unasked = self.upstream.buffer.split();
                        if send(&mut self.client_write, &unasked).await.is_err() {
                            return Err(Ending::Drop);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                        return Err(Ending::Reset);
                    }
                    Err(_) => return Err(Ending::Drop),
                },
            }
        }
    }

    /// Whether a request that failed on a kept connection has had no effect: of
    /// what was sent, nothing has reached the peer.
    fn is_untouched(&self, outgoing: &Outgoing<'_>, shared: &Sharing) -> bool {
        let Some(mark) = self.mark.as_ref().filter(|_| outgoing.can_begin_again()) else {
            return false;
        };
        let shared = lock(shared);
        let is_unheard = !shared.heard && self.upstream.buffer.is_empty();
        is_unheard && !shared.client_ended && mark.is_unmoved()
    }

    fn replace_upstream(&mut self, upstream: Leg) {
        let (read, write) = split(upstream);
        self.upstream = Reader::new(read);
        self.upstream_write = write;
        // Once is enough: this one is new.
        self.mark = None;
    }

    /// Both directions of an exchange, at once.
    async fn run(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        call: &Intercepted,
        shared: &Sharing,
    ) -> Result<Answered, Gone> {
        let Self {
            client,
            client_write,
            upstream,
            upstream_write,
            ..
        } = self;
        let method = outgoing.method();
        let mut request = pin!(async {
            match send_request(client, upstream_write, outgoing, call, shared).await {
                Err(gone) => gone,
                Ok(()) => {
                    lock(shared).request_done = true;
                    watch_client(client, upstream_write, shared).await
                }
            }
        });
        let mut response = pin!(receive_response(upstream, client_write, method, shared));
        let mut sending = true;
        loop {
            tokio::select! {
                biased;
                answered = &mut response => return answered,
                gone = &mut request, if sending => match gone {
                    // Upstream may have answered before it stopped listening.
                    Gone::Upstream(_) => sending = false,
                    gone @ (Gone::Client(_) | Gone::BadRequest(_) | Gone::BadResponse(_)) => {
                        return Err(gone);
                    }
                },
            }
        }
    }

    /// After 101: bytes both ways as they are, and shown once they have left.
    async fn upgraded(&mut self, exchange: Exchange, headers: &Headers) -> Next {
        let socket = Mutex::new(Socket::begin(exchange, headers));
        let tunnelled = tunnel(
            &mut self.client,
            &mut self.client_write,
            &mut self.upstream,
            &mut self.upstream_write,
            |passed| {
                let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                match passed {
                    Passed::Bytes(side, bytes) => socket.passed(side, bytes),
                    Passed::End(side) => socket.ended(side),
                }
            },
        )
        .await;
        let socket = socket.into_inner().unwrap_or_else(PoisonError::into_inner);
        socket.finish(tunnelled.outcome());
        Next::End(match tunnelled.broken {
            None => Ending::Close,
            Some(_) => Ending::Reset,
        })
    }

    async fn refuse(
        &mut self,
        refusal: &Refusal,
        call: &Intercepted,
        mut exchange: Exchange,
    ) -> Ending {
        exchange.answered(refusal.status);
        let response = refusal.http1(&call.provider);
        let told = send(&mut self.client_write, &response).await;
        exchange.finish(Outcome::Refused {
            reason: refusal.reason,
            error: refusal.message.clone(),
        });
        if told.is_ok() {
            Ending::Linger
        } else {
            Ending::Drop
        }
    }

    async fn end(mut self, ending: Ending, call: &Intercepted) {
        match ending {
            Ending::Drop => {}
            Ending::Close => self.shut_down().await,
            Ending::Keep => {
                let upstream = self.upstream.into_half().unsplit(self.upstream_write);
                call.keep(Spoken::Http1(upstream), self.keep_alive);
                // The application may not wait for it.
                let _ = self.client_write.shutdown().await;
            }
            Ending::Linger => {
                // Errors here mean that the client has left.
                let _ = self.client_write.shutdown().await;
                let mut half = self.client.into_half();
                let _ = tokio::time::timeout(LINGER_WAIT, discard(&mut half)).await;
            }
            Ending::Reset => {
                self.client
                    .into_half()
                    .unsplit(self.client_write)
                    .reset_on_close();
                self.upstream
                    .into_half()
                    .unsplit(self.upstream_write)
                    .reset_on_close();
            }
        }
    }

    async fn shut_down(&mut self) {
        // Either leg may have left already; then there is nobody to tell.
        let _ = self.upstream_write.shutdown().await;
        let _ = self.client_write.shutdown().await;
    }
}

/// Whether it is the end of the connection, and not that of a wait.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Why a request is not forwarded, if it is not.
fn objection(head: &RequestHead, call: &Intercepted) -> Option<Refusal> {
    if head.method == "CONNECT" {
        return Some(Refusal::bad_request(
            "CONNECT to a server that is not a proxy",
        ));
    }
    let absolute = authority::of_absolute_form(&head.target);
    for asked in [head.host.as_deref(), absolute].into_iter().flatten() {
        if !authority::names(asked, &call.route.host, call.route.origin.port()) {
            return Some(Refusal::misdirected(asked, &call.route.host));
        }
    }
    if head.host.is_none() && absolute.is_none() {
        return Some(Refusal::misdirected("", &call.route.host));
    }
    None
}

/// After the request: keeps an eye on the client until the response has ended.
/// Passes its half-close on, reports its reset, takes requests sent ahead.
async fn watch_client<C: AsyncRead + Unpin, U: AsyncWrite + Unpin>(
    client: &mut Reader<C>,
    upstream: &mut U,
    shared: &Sharing,
) -> Gone {
    while client.buffer.len() < PIPELINED_MAX {
        match client.fill().await {
            Ok(0) => {
                lock(shared).client_ended = true;
                // Upstream sees what it would see of the client itself.
                if let Err(error) = upstream.shutdown().await {
                    return Gone::Upstream(error);
                }
                break;
            }
            Ok(_) => {}
            Err(error) => return Gone::Client(error),
        }
    }
    std::future::pending().await
}

async fn receive_response<C: AsyncWrite + Unpin>(
    upstream: &mut Reader<ReadHalf<Leg>>,
    client: &mut C,
    method: &str,
    shared: &Sharing,
) -> Result<Answered, Gone> {
    let (head, wire_head, received) = loop {
        let head = loop {
            match head::response(&upstream.buffer, method) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(error) => return Err(Gone::BadResponse(error.to_string())),
            }
            if upstream.fill().await.map_err(Gone::Upstream)? == 0 {
                return Err(Gone::Upstream(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        let received = Instant::now();
        let wire_head = upstream.buffer.split_to(head.len).freeze();
        if head.status == 101 || head.status >= 200 {
            break (head, wire_head, received);
        }
        lock(shared).heard = true;
        send(client, &wire_head).await.map_err(Gone::Client)?;
    };
    let mut filter = {
        let mut shared = lock(shared);
        let filters = shared.rule
            && !matches!(head.framing, Framing::Length(_))
            && tap::filters_response(
                head.headers.get("content-type"),
                head.headers.get("content-encoding"),
            );
        shared.heard = true;
        shared.answering = true;
        filters.then(Filtered::begin)
    };
    let mut unseen = Some(UnseenHead {
        head: &head,
        shared,
    });
    if head.status == 101 {
        send(client, &wire_head).await.map_err(Gone::Client)?;
        drop(unseen);
        return Ok(Answered::Upgraded(head.headers));
    }
    let mut body = Body::new(head.framing);
    let mut front = Some(wire_head);
    loop {
        let wire = body
            .take(&mut upstream.buffer)
            .map_err(|error| Gone::BadResponse(error.to_string()))?;
        let outgoing = match &mut filter {
            None => wire.clone(),
            Some(filter) => filtered(filter, &body, &wire),
        };
        if let Some(head) = front.take() {
            send_joined(client, &head, &outgoing)
                .await
                .map_err(Gone::Client)?;
            lock(shared).exchange.overhead(received.elapsed());
            drop(unseen.take());
        } else if !outgoing.is_empty() {
            send(client, &outgoing).await.map_err(Gone::Client)?;
        }
        {
            let mut shared = lock(shared);
            for part in body.payload(&wire) {
                shared.exchange.response_body(part);
            }
        }
        if body.is_done() {
            return Ok(Answered::Whole {
                reusable: !head.close,
                clean: true,
                keep_alive: head.keep_alive,
            });
        }
        let ended = match upstream.fill().await {
            Ok(0) => true,
            Ok(_) => continue,
            // An end without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(Gone::Upstream(error)),
        };
        if head.framing != Framing::Close {
            return Err(Gone::Upstream(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed before the end of the response",
            )));
        }
        if let Some(filter) = &mut filter {
            send(client, &filter.finish()).await.map_err(Gone::Client)?;
        }
        return Ok(Answered::Whole {
            reusable: false,
            clean: ended,
            keep_alive: None,
        });
    }
}

/// The head of a response that has yet to be read by whoever meters: that is done once it
/// has left, or will not.
struct UnseenHead<'a> {
    head: &'a ResponseHead,
    shared: &'a Sharing,
}

impl Drop for UnseenHead<'_> {
    fn drop(&mut self) {
        let ResponseHead {
            status, headers, ..
        } = self.head;
        lock(self.shared).exchange.response_head(*status, headers);
    }
}

/// What the application gets in the place of `wire`.
fn filtered(filter: &mut Filtered, body: &Body, wire: &Bytes) -> Bytes {
    let mut payload = Vec::new();
    for part in body.payload(wire) {
        payload.extend_from_slice(&filter.push(part));
    }
    if !body.is_done() {
        return body.encode(payload).into();
    }
    payload.extend_from_slice(&filter.finish());
    let mut out = body.encode(payload);
    out.extend_from_slice(&body.replaced_end());
    out.into()
}

async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

async fn send_joined(
    to: &mut (impl AsyncWrite + Unpin),
    head: &Bytes,
    body: &Bytes,
) -> io::Result<()> {
    if body.is_empty() {
        return send(to, head).await;
    }
    if body.len() <= JOINED_BODY_MAX {
        return send(to, &[head.as_ref(), body.as_ref()].concat()).await;
    }
    to.write_all(head).await?;
    send(to, body).await
}

async fn discard(half: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = LINGER_BYTES_MAX;
    while let Ok(count @ 1..) = half.read(&mut buffer).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}
