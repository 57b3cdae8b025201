//! HTTP/2 on both legs, stream by stream: one connection upstream for each of the
//! application's, at any time, unless it was allowed to serve several.
//!
//! Built on the `h2` crate rather than on an HTTP server and client above it:
//! they hide interim responses and reset codes, and both have to pass. Windows
//! are opened towards one leg only as the other takes the data, so a slow reader
//! slows its writer and nothing piles up in between.

mod bell;
mod cork;
mod departures;
mod pump;
mod served;
mod session;
#[cfg(test)]
mod tests;

use std::{
    future::{Future as _, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

pub(crate) use self::session::{Lent, Session};
use self::{
    cork::cork,
    departures::Departures,
    pump::{Outgoing, Passed, Stopped, pump},
    served::{Event, Served},
};
use super::{
    Intercepted, LINGER_BYTES_MAX, LINGER_WAIT, authority,
    io::Connection,
    refusal::{REASON_HEADER, Refusal},
    supply::Spoken,
};
use crate::{
    config::Propagate,
    llm::{
        classify::{Api, classify},
        headers::Headers,
    },
    meter::{
        exchange::{Exchange, Outcome},
        record::Protocol,
    },
    tap::{self, Filtered},
    tls::downstream::refused_certificate,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use h2::{Reason as Code, RecvStream, client::ResponseFuture, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};

/// What one stream may have in flight: the product of 1 Gbit/s and 8 ms.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// What all streams of a connection may have in flight, and so what one
/// connection can make weir hold.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Streams an application may have open on one connection.
const STREAMS_MAX: u32 = 256;
/// Longest header list; as for HTTP/1.
const HEADERS_LEN_MAX: u32 = 128 * 1024;
/// What is sent of a request before upstream's window for it is known, which is
/// once its head was written: they leave together. If there is no window, so much
/// more waits here; it is the size of a frame.
const UNASKED_MAX: usize = 16 * 1024;
/// How long streams get to note their end after the connection's.
const DRAIN_WAIT: Duration = Duration::from_secs(1);

/// Relays until either leg ends.
pub(super) async fn relay<C: Connection>(client: C, upstream: Session, call: Intercepted) {
    let (client, cork) = cork(client);
    let to_client = cork.departures();
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_LEN_MAX)
        .handshake::<_, Bytes>(client);
    let client = match cork.around(handshake).await {
        Ok(client) => client,
        Err(error) => {
            refused(&error, &call);
            return;
        }
    };
    // Its preface has come.
    call.accepted_by_client();
    let call = Arc::new(call);
    let mut served = Served::new(client, cork, upstream.ended());
    let mut is_open = true;
    loop {
        match poll_fn(|context| served.poll_event(context)).await {
            Event::Gone(ended) => {
                tracing::debug!(?ended, "the application ended an HTTP/2 connection");
                break;
            }
            Event::Asked(request, respond) => {
                let ways = Ways {
                    upstream: upstream.clone(),
                    to_client: to_client.clone(),
                };
                let stream = exchange(request, respond, ways, Arc::clone(&call));
                // Should one of them panic, the others go on.
                served.add(AssertUnwindSafe(stream).catch_unwind());
            }
            Event::UpstreamGone => {
                // Streams in flight get their own errors; new ones go elsewhere.
                is_open = false;
                served.shut_down();
            }
            Event::Done(Ok(Takes::More)) => {}
            Event::Done(Ok(Takes::NoMore)) => {
                is_open = false;
                served.shut_down();
            }
            Event::Done(Err(_panic)) => tracing::error!("a stream panicked"),
        }
    }
    let mut streams = served.into_streams();
    let drain = async {
        while let Some(ended) = streams.next().await {
            is_open &= matches!(ended, Ok(Takes::More));
        }
        if is_open && upstream.is_alive() {
            call.keep(Spoken::Http2(upstream), None);
        } else {
            // Resets of the streams above are still to be written.
            upstream.end().await;
        }
    };
    // What is left after the wait is dropped, and says so in its record.
    let _ = tokio::time::timeout(DRAIN_WAIT, drain).await;
}

/// The client's first frames did not come.
fn refused(error: &h2::Error, call: &Intercepted) {
    match error.get_io() {
        Some(io) if refused_certificate(io) => call.refused_by_client(io),
        Some(_) => call.closed_by_client(),
        // It has come, and is none.
        None => call.accepted_by_client(),
    }
}

/// Who ended a stream before its time.
enum Gone {
    Client(Code),
    Upstream(h2::Error),
    /// Upstream takes no more requests: this one was not sent.
    NotSent(h2::Error),
}

/// Whether upstream takes further requests on this connection.
enum Takes {
    More,
    NoMore,
}

/// What a stream uses of its connections.
struct Ways {
    upstream: Session,
    to_client: Departures,
}

type Sharing = Mutex<Exchange>;

fn observe(shared: &Sharing, see: impl FnOnce(&mut Exchange)) {
    see(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    ways: Ways,
    call: Arc<Intercepted>,
) -> Takes {
    let received = Instant::now();
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let headers = Headers::of_request_fields(fields(request.headers()));
    let provider = Some(&call.provider);
    let target = classify(request.method().as_str(), path, provider, &headers);
    let api = target.api;
    let opening = call.opening(Protocol::H2, target, headers);
    let mut exchange = Exchange::open(opening, SystemTime::now(), &call.proxy.meter);
    if let Some(refusal) = objection(&request, &call) {
        exchange.answered(refusal.status);
        refuse(&refusal, respond, &call);
        let drained = tokio::time::timeout(LINGER_WAIT, discard(request.into_body()));
        if drained.await.is_err() {
            tracing::debug!("a refused client went on sending");
        }
        exchange.finish(Outcome::Refused {
            reason: refusal.reason,
            error: refusal.message,
        });
        return Takes::More;
    }
    let shared = Mutex::new(exchange);
    let result = run(request, &mut respond, ways, api, &call, &shared, received).await;
    let exchange = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(()) => exchange.finish(Outcome::Complete),
        Err(Gone::Client(code)) => {
            tracing::debug!(%code, "client cancelled a stream");
            exchange.finish(Outcome::ClientGone);
        }
        Err(Gone::Upstream(error)) => {
            // The code is upstream's, HTTP_1_1_REQUIRED included.
            let code = error.reason().unwrap_or(Code::INTERNAL_ERROR);
            respond.send_reset(code);
            exchange.finish(Outcome::UpstreamGone(format!("upstream: {error}")));
        }
        Err(Gone::NotSent(error)) => {
            // RFC 9113 §8.7: tells the client that it may try again elsewhere.
            respond.send_reset(Code::REFUSED_STREAM);
            exchange.finish(Outcome::UpstreamGone(format!("upstream: {error}")));
            return Takes::NoMore;
        }
    }
    Takes::More
}

fn objection(request: &Request<RecvStream>, call: &Intercepted) -> Option<Refusal> {
    if request.method() == http::Method::CONNECT {
        return Some(Refusal::bad_request(
            "CONNECT to a server that is not a proxy",
        ));
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .map(|host| host.to_str().ok());
    let mut asked = authority.map(Some).into_iter().chain(host).peekable();
    if asked.peek().is_none() {
        return Some(Refusal::misdirected("", &call.route.host));
    }
    for asked in asked {
        let asked = asked.unwrap_or_default();
        if !authority::names(asked, &call.route.host, call.route.origin.port()) {
            return Some(Refusal::misdirected(asked, &call.route.host));
        }
    }
    None
}

fn refuse(refusal: &Refusal, mut respond: SendResponse<Bytes>, call: &Intercepted) {
    let mut response = Response::new(());
    *response.status_mut() =
        http::StatusCode::from_u16(refusal.status).unwrap_or(http::StatusCode::MISDIRECTED_REQUEST);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        REASON_HEADER,
        HeaderValue::from_static(refusal.reason.as_str()),
    );
    let body = refusal.body(&call.provider);
    let sent = respond
        .send_response(response, false)
        .and_then(|mut stream| stream.send_data(body.into(), true));
    if let Err(error) = sent {
        tracing::debug!(%error, "client left before it was refused");
    }
}

/// Takes what a refused client still sends. Dropping the body at once would reset
/// the stream, and some clients then never look at the answer.
async fn discard(mut body: RecvStream) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(data)) = poll_fn(|context| body.poll_data(context)).await {
        left = left.saturating_sub(data.len());
        if left == 0 || body.flow_control().release_capacity(data.len()).is_err() {
            return;
        }
    }
}

async fn run(
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
    ways: Ways,
    api: Api,
    call: &Intercepted,
    shared: &Sharing,
    received: Instant,
) -> Result<(), Gone> {
    let (mut parts, mut body) = request.into_parts();
    if call.proxy.propagate == Propagate::On {
        carry_context(&mut parts, shared);
    }
    let rule = AtomicBool::new(false);
    let is_held = !body.is_end_stream()
        && tap::holds_request(
            call.asks_usage(),
            api,
            parts.headers.contains_key(header::CONTENT_ENCODING),
            parts.headers.contains_key(header::EXPECT),
        );
    let mut held = Bytes::new();
    let mut received = received;
    if is_held && let Some(empty) = tap::Held::begin(length(&parts.headers)) {
        let is_changed;
        (held, is_changed) = hold_body(&mut body, empty, shared).await?;
        received = Instant::now();
        if is_changed {
            rule.store(true, Ordering::Relaxed);
            observe(shared, tap::note_rule);
            rewrite_headers(&mut parts.headers, held.len());
        }
    }
    let ends = body.is_end_stream() && held.is_empty();
    let mut ready = ways.upstream.ready().await.map_err(Gone::NotSent)?;
    let (response, mut to_upstream) = ready
        .send_request(Request::from_parts(parts, ()), ends)
        .map_err(Gone::NotSent)?;
    observe(shared, |exchange| {
        exchange.overhead(received.elapsed());
        exchange.request_head_forwarded();
    });
    let result = {
        let mut sending = Box::pin(async {
            let mut outgoing = Outgoing {
                stream: &mut to_upstream,
                unasked: UNASKED_MAX,
                departures: ways.upstream.departures(),
            };
            if !held.is_empty() {
                let sent = outgoing.send(held, body.is_end_stream()).await;
                sent.map_err(Stopped::Receiver)?;
            }
            if !ends && !body.is_end_stream() {
                pump(&mut body, &mut outgoing, None, |passed| {
                    if let Passed::Data(data) = passed {
                        observe(shared, |exchange| exchange.request_body(data));
                    }
                })
                .await?;
            }
            observe(shared, Exchange::request_end);
            Ok::<(), Stopped>(())
        });
        let mut answering = Box::pin(answer(response, respond, &ways.to_client, &rule, shared));
        let (mut sent, mut answered) = (false, false);
        loop {
            if sent && answered {
                break Ok(());
            }
            tokio::select! {
                // What has left of the request is seen before what it brings.
                biased;
                end = &mut sending, if !sent => match end {
                    Ok(()) => sent = true,
                    Err(Stopped::Sender(_)) if answered => break Ok(()),
                    // It may be that it has the whole answer.
                    Err(Stopped::Sender(error)) => {
                        let gone = Err(Gone::Client(code(&error)));
                        break answering.now_or_never().unwrap_or(gone);
                    }
                    // Upstream may stop reading and still answer.
                    Err(Stopped::Receiver(_)) => sent = true,
                },
                end = &mut answering, if !answered => match end {
                    // A request that upstream still reads goes on to its end:
                    // cut short, the client may never look at the answer.
                    Ok(()) => answered = true,
                    Err(gone) => break Err(gone),
                },
            }
        }
    };
    if let Err(Gone::Client(code)) = &result {
        to_upstream.send_reset(*code);
    }
    result
}

/// Sets the trace context of a request to the exchange's span.
fn carry_context(parts: &mut http::request::Parts, shared: &Sharing) {
    let target = parts.uri.path_and_query().map(|it| it.as_str().as_bytes());
    let fields = tap::SIGNATURES.iter().flat_map(|name| {
        let values = parts.headers.get_all(*name).iter();
        values.map(HeaderValue::as_bytes)
    });
    let mut context = None;
    observe(shared, |exchange| {
        context = tap::trace_context(exchange, fields.chain(target));
    });
    if let Some(context) = context.and_then(|it| HeaderValue::try_from(it).ok()) {
        parts.headers.insert(tap::TRACEPARENT, context);
    }
}

/// Reads a body that a rule needs whole: to its end, or to the bound.
/// What the rule makes of the body, and whether that is another one.
async fn hold_body(
    body: &mut RecvStream,
    mut held: tap::Held,
    shared: &Sharing,
) -> Result<(Bytes, bool), Gone> {
    loop {
        match poll_fn(|context| body.poll_data(context)).await {
            None => {
                let (held, is_changed) = held.end();
                return Ok((held.into(), is_changed));
            }
            Some(Ok(data)) => {
                observe(shared, |exchange| exchange.request_body(&data));
                // The window is given back although the data is kept: the bound
                // of what is held is what limits it.
                let _ = body.flow_control().release_capacity(data.len());
                if !held.push(&data) {
                    return Ok((held.give_up().into(), false));
                }
            }
            Some(Err(error)) => return Err(Gone::Client(code(&error))),
        }
    }
}

/// How long a body is, if that is stated.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn rewrite_headers(headers: &mut HeaderMap, length: usize) {
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    // An encoded stream could not be filtered without encoding it anew.
    if headers.contains_key(header::ACCEPT_ENCODING) {
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
}

/// Carries the response back, interim ones first.
async fn answer(
    mut response: ResponseFuture,
    respond: &mut SendResponse<Bytes>,
    departures: &Departures,
    rule: &AtomicBool,
    shared: &Sharing,
) -> Result<(), Gone> {
    let response = loop {
        let next = tokio::select! {
            biased;
            next = next_head(&mut response) => next,
            code = poll_fn(|context| respond.poll_reset(context)) => {
                return Err(Gone::Client(code.unwrap_or(Code::CANCEL)));
            }
        };
        match next.map_err(Gone::Upstream)? {
            Head::Interim(interim) => respond
                .send_informational(interim)
                .map_err(|error| Gone::Client(code(&error)))?,
            Head::Final(response) => break response,
        }
    };
    let received = Instant::now();
    let (parts, mut body) = response.into_parts();
    let headers = Headers::of_response_fields(fields(&parts.headers));
    observe(shared, |exchange| {
        exchange.response_head(parts.status.as_u16(), &headers);
    });
    let length = length(&parts.headers);
    let filter = (rule.load(Ordering::Relaxed)
        && length.is_none()
        && tap::filters_response(headers.get("content-type"), headers.get("content-encoding")))
    .then(Filtered::begin);
    let ends = body.is_end_stream();
    let mut to_client = respond
        .send_response(Response::from_parts(parts, ()), ends)
        .map_err(|error| Gone::Client(code(&error)))?;
    observe(shared, |exchange| exchange.overhead(received.elapsed()));
    if ends {
        return Ok(());
    }
    let mut left = length;
    let mut outgoing = Outgoing {
        stream: &mut to_client,
        unasked: 0,
        departures,
    };
    let pumped = pump(&mut body, &mut outgoing, filter, |passed| match passed {
        Passed::Data(data) => {
            left = left.map(|left| left.saturating_sub(data.len() as u64));
            observe(shared, |exchange| exchange.response_body(data));
        }
        Passed::Trailers(trailers) => {
            let headers = Headers::of_response_fields(fields(trailers));
            observe(shared, |exchange| exchange.response_trailers(&headers));
        }
    })
    .await;
    match pumped {
        Ok(()) => Ok(()),
        // It has the whole body, and did not wait for the frame that says so.
        Err(Stopped::Receiver(_)) if left == Some(0) => Ok(()),
        Err(Stopped::Receiver(error)) => Err(Gone::Client(code(&error))),
        Err(Stopped::Sender(error)) => {
            to_client.send_reset(error.reason().unwrap_or(Code::INTERNAL_ERROR));
            Err(Gone::Upstream(error))
        }
    }
}

enum Head {
    Interim(Response<()>),
    Final(Response<RecvStream>),
}

async fn next_head(response: &mut ResponseFuture) -> Result<Head, h2::Error> {
    poll_fn(|context| {
        match response.poll_informational(context) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(Head::Interim(interim))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        Pin::new(&mut *response).poll(context).map_ok(Head::Final)
    })
    .await
}

/// The code to pass on for an error of one leg.
fn code(error: &h2::Error) -> Code {
    error.reason().unwrap_or(Code::CANCEL)
}

/// Names and values.
fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let fields = headers.iter();
    fields.map(|(name, value)| (name.as_str(), value.as_bytes()))
}
