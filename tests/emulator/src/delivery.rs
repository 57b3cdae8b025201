//! Puts an answer on the wire the way the controls ask, and keeps the book.
//!
//! Between two writes the client is watched, so that one that leaves is
//! noticed at once and not with the next event.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::time::{ClockId, clock_gettime};

use crate::answer::{Answer, Content, Event};
use crate::coding::{Codings, Encoder};
use crate::controls::{Chunking, Controls, Encoding, PlainFraming};
use crate::fault::Fault;
use crate::ledger::{Ended, Entry};
use crate::wire::fields::Fields;
use crate::wire::{Framing, Gone, Head, HeadPace, Wire};

/// How late a slow head is when the request does not say.
const SLOW_HEAD_DELAY: Duration = Duration::from_secs(3);

/// Why a delivery stopped before its end.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("cannot code the body: {0}")]
    Coding(#[from] io::Error),
}

/// Sends an answer and closes its ledger entry.
pub(crate) async fn deliver(
    answer: Answer,
    accept_encoding: Option<&str>,
    controls: &Controls,
    wire: &mut Wire<'_>,
    mut entry: Entry,
) {
    let ended = match send(answer, accept_encoding, controls, wire, &mut entry).await {
        Ok(ended) => ended,
        Err(Cut::Gone(Gone)) => Ended::ClientGone,
        Err(error @ Cut::Coding(_)) => {
            tracing::error!(%error, "answer broken off");
            wire.reset().await;
            Ended::Fault
        }
    };
    entry.end(ended);
}

async fn send(
    answer: Answer,
    accept_encoding: Option<&str>,
    controls: &Controls,
    wire: &mut Wire<'_>,
    entry: &mut Entry,
) -> Result<Ended, Cut> {
    let told = entry.told();
    let figures = answer.figures;
    told.response_id = figures.response_id;
    told.model = figures.model;
    told.stream = figures.stream;
    told.input_tokens = figures.input_tokens;
    told.cache_read_tokens = figures.cache_read_tokens;
    told.cache_write_tokens = figures.cache_write_tokens;
    told.fault = controls.fault;

    let delay = match controls.fault {
        Some(Fault::SlowHeaders) if controls.delay.is_zero() => SLOW_HEAD_DELAY,
        _ => controls.delay,
    };
    pause(wire, delay).await?;
    if controls.fault == Some(Fault::EarlyHints) {
        wire.informational(&Head {
            status: http::StatusCode::EARLY_HINTS,
            fields: Fields::new().with("Link", "</emulated>; rel=preload"),
        })
        .await?;
    }

    let codings = match &controls.encoding {
        Encoding::Fixed(codings) => codings.clone(),
        Encoding::Auto => accept_encoding.map_or_else(Codings::identity, Codings::preferred),
    };
    let mut head = answer.head;
    head.fields.push("x-weir-emulator", "1");
    if !codings.is_identity() {
        head.fields.push("Content-Encoding", codings.to_string());
        head.fields.push("Vary", "Accept-Encoding");
    }
    let delivery = Delivery {
        wire,
        entry,
        controls,
        encoder: Encoder::new(&codings)?,
    };
    match answer.content {
        Content::Plain(document) => delivery.plain(head, document).await,
        Content::Stream { events, failure } => delivery.stream(head, events, failure).await,
    }
}

/// An answer on its way.
struct Delivery<'a, 'wire> {
    wire: &'a mut Wire<'wire>,
    entry: &'a mut Entry,
    controls: &'a Controls,
    encoder: Encoder,
}

impl Delivery<'_, '_> {
    async fn plain(mut self, head: Head, document: Event) -> Result<Ended, Cut> {
        let mut body = BytesMut::from(&self.encoder.event(document.bytes.clone())?[..]);
        body.extend_from_slice(&self.encoder.finish()?);
        let mut body = body.freeze();
        let framing = match self.controls.framing {
            PlainFraming::Length => Framing::Length(body.len() as u64),
            PlainFraming::Chunked => Framing::Chunked,
            PlainFraming::Close => Framing::UntilClose,
        };
        send_head(self.wire, self.entry, self.controls, &head, framing).await?;
        let refused = !head.status.is_success();
        match self.controls.fault.filter(|_| !refused) {
            Some(fault @ (Fault::ResetMidStream | Fault::CloseEarly)) => {
                body.truncate(body.len() / 2);
                write(self.wire, self.controls, body).await?;
                break_off(self.wire, fault).await;
                return Ok(Ended::Fault);
            }
            _ => write(self.wire, self.controls, body).await?,
        }
        count(self.entry, &document);
        self.wire.finish(None).await?;
        let replaced = refused && self.controls.fault.is_some_and(replaces);
        Ok(if replaced {
            Ended::Fault
        } else {
            Ended::Complete
        })
    }

    async fn stream(
        mut self,
        head: Head,
        mut events: Vec<Event>,
        failure: Bytes,
    ) -> Result<Ended, Cut> {
        let fault = self.controls.fault.filter(|fault| cuts(*fault));
        if fault.is_some() {
            events.truncate(events.len().div_ceil(2));
        }
        if fault == Some(Fault::ErrorEvent) {
            events.push(Event::bare(failure));
        }
        send_head(
            self.wire,
            self.entry,
            self.controls,
            &head,
            Framing::Chunked,
        )
        .await?;
        if self.controls.chunking == Chunking::Whole {
            self.events_at_once(&events).await?;
        } else {
            self.events_one_by_one(&events).await?;
        }
        if let Some(fault @ (Fault::ResetMidStream | Fault::CloseEarly)) = fault {
            break_off(self.wire, fault).await;
            return Ok(Ended::Fault);
        }
        write(self.wire, self.controls, self.encoder.finish()?).await?;
        self.wire.finish(None).await?;
        Ok(if fault.is_some() {
            Ended::Fault
        } else {
            Ended::Complete
        })
    }

    async fn events_one_by_one(&mut self, events: &[Event]) -> Result<(), Cut> {
        for (index, event) in events.iter().enumerate() {
            let gap = if index == 0 {
                Duration::ZERO
            } else {
                self.controls.gap
            };
            pause(self.wire, gap).await?;
            let bytes = self.stamped(event);
            let coded = self.encoder.event(bytes)?;
            write(self.wire, self.controls, coded).await?;
            count(self.entry, event);
        }
        Ok(())
    }

    async fn events_at_once(&mut self, events: &[Event]) -> Result<(), Cut> {
        let mut body = BytesMut::new();
        for event in events {
            let bytes = self.stamped(event);
            body.extend_from_slice(&self.encoder.event(bytes)?);
        }
        write(self.wire, self.controls, body.freeze()).await?;
        for event in events {
            count(self.entry, event);
        }
        Ok(())
    }

    /// The event, behind the time of its writing if that was asked for.
    fn stamped(&self, event: &Event) -> Bytes {
        if !self.controls.stamp {
            return event.bytes.clone();
        }
        let mut bytes = format!(": t={}\n", monotonic_nanoseconds()).into_bytes();
        bytes.extend_from_slice(&event.bytes);
        bytes.into()
    }
}

async fn send_head(
    wire: &mut Wire<'_>,
    entry: &mut Entry,
    controls: &Controls,
    head: &Head,
    framing: Framing,
) -> Result<(), Gone> {
    let pace = if controls.fault == Some(Fault::SlowHeaders) {
        HeadPace::ByteByByte
    } else {
        HeadPace::AtOnce
    };
    wire.head(head, framing, pace).await?;
    entry.told().status = Some(head.status.as_u16());
    Ok(())
}

/// Writes bytes cut as the controls ask.
pub(crate) async fn write(
    wire: &mut Wire<'_>,
    controls: &Controls,
    mut bytes: Bytes,
) -> Result<(), Gone> {
    let Chunking::Bytes(size) = controls.chunking else {
        return wire.write(bytes).await;
    };
    while !bytes.is_empty() {
        let piece = bytes.split_to(size.get().min(bytes.len()));
        wire.write(piece).await?;
    }
    Ok(())
}

/// Waits, unless the client leaves; looks at least once.
pub(crate) async fn pause(wire: &mut Wire<'_>, wait: Duration) -> Result<(), Gone> {
    if wait.is_zero() {
        return watched(wire, std::future::ready(())).await;
    }
    watched(wire, tokio::time::sleep(wait)).await
}

/// Waits for `until`, unless the client leaves first.
async fn watched(wire: &mut Wire<'_>, until: impl Future<Output = ()>) -> Result<(), Gone> {
    tokio::select! {
        biased;
        gone = wire.gone() => Err(gone),
        () = until => Ok(()),
    }
}

async fn break_off(wire: &mut Wire<'_>, fault: Fault) {
    if fault == Fault::ResetMidStream {
        wire.reset().await;
    } else {
        wire.close_early().await;
    }
}

fn count(entry: &mut Entry, event: &Event) {
    let told = entry.told();
    told.output_tokens += event.output_tokens;
    told.reasoning_tokens += event.reasoning_tokens;
    if event.usage != crate::ledger::UsageTold::No {
        told.usage_told = event.usage;
    }
}

/// Whether a fault ends a stream before its time.
fn cuts(fault: Fault) -> bool {
    match fault {
        Fault::ResetMidStream | Fault::ErrorEvent | Fault::CloseEarly => true,
        Fault::NoUsage
        | Fault::RateLimited
        | Fault::Overloaded
        | Fault::HtmlError
        | Fault::SlowHeaders
        | Fault::EarlyHints
        | Fault::ExpectRefuse => false,
    }
}

/// Whether a fault puts an error in place of the answer.
fn replaces(fault: Fault) -> bool {
    match fault {
        Fault::RateLimited
        | Fault::Overloaded
        | Fault::HtmlError
        | Fault::ExpectRefuse
        | Fault::ErrorEvent => true,
        Fault::ResetMidStream
        | Fault::CloseEarly
        | Fault::NoUsage
        | Fault::SlowHeaders
        | Fault::EarlyHints => false,
    }
}

/// CLOCK_MONOTONIC, in nanoseconds: the same for every process of a machine.
fn monotonic_nanoseconds() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}
