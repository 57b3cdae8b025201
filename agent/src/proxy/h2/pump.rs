//! Moves the data of a stream from one leg to the other, as fast as that takes it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason as Code, RecvStream, SendStream};
use http::HeaderMap;

use super::departures::Departures;
use crate::tap::Filtered;

/// Which end of a pump stopped it.
pub(super) enum Stopped {
    /// The end data comes from.
    Sender(h2::Error),
    /// The end data goes to.
    Receiver(h2::Error),
}

/// What a pump has moved.
pub(super) enum Passed<'a> {
    Data(&'a [u8]),
    Trailers(&'a HeaderMap),
}

/// Where data goes to.
pub(super) struct Outgoing<'a> {
    pub(super) stream: &'a mut SendStream<Bytes>,
    /// What may be sent without having been asked for.
    pub(super) unasked: usize,
    pub(super) departures: &'a Departures,
}

impl Outgoing<'_> {
    /// Sends as much at a time as may go. Done when it has left.
    pub(super) async fn send(&mut self, mut data: Bytes, ends: bool) -> Result<(), h2::Error> {
        loop {
            let piece = data.split_to(self.room(data.len()).await?);
            let departure = self.departures.next();
            self.stream.send_data(piece, ends && data.is_empty())?;
            if data.is_empty() {
                departure.await;
                return Ok(());
            }
        }
    }

    /// How much of that may go, of which there is some if any is wanted: what may
    /// go unasked, and then what the receiver's window allows.
    async fn room(&mut self, wanted: usize) -> Result<usize, h2::Error> {
        let mut room = wanted.min(self.unasked);
        self.unasked -= room;
        while room == 0 && wanted > 0 {
            self.stream.reserve_capacity(wanted);
            let capacity = poll_fn(|context| self.stream.poll_capacity(context)).await;
            room = wanted.min(capacity.ok_or(Code::CANCEL)??);
        }
        Ok(room)
    }
}

/// Moves data and trailers until the stream ends; `see` is shown each piece
/// of data after it left, and trailers before they do.
pub(super) async fn pump(
    from: &mut RecvStream,
    to: &mut Outgoing<'_>,
    mut filter: Option<Filtered>,
    mut see: impl FnMut(Passed<'_>),
) -> Result<(), Stopped> {
    let mut ended = false;
    while !ended {
        let data = tokio::select! {
            biased;
            data = poll_fn(|context| from.poll_data(context)) => data,
            code = poll_fn(|context| to.stream.poll_reset(context)) => {
                return Err(Stopped::Receiver(match code {
                    Ok(code) => code.into(),
                    Err(error) => error,
                }));
            }
        };
        let Some(data) = data else { break };
        let data = data.map_err(Stopped::Sender)?;
        ended = from.is_end_stream();
        let outgoing = match &mut filter {
            None => data.clone(),
            Some(filter) => {
                let mut outgoing = filter.push(&data);
                if ended {
                    outgoing.extend_from_slice(&filter.finish());
                }
                outgoing.into()
            }
        };
        if !outgoing.is_empty() || ended {
            to.send(outgoing, ended).await.map_err(Stopped::Receiver)?;
        }
        // Only now may the sender send as much again.
        from.flow_control()
            .release_capacity(data.len())
            .map_err(Stopped::Sender)?;
        see(Passed::Data(&data));
    }
    if ended {
        return Ok(());
    }
    if let Some(filter) = &mut filter {
        let rest = filter.finish();
        if !rest.is_empty() {
            let sent = to.send(rest.into(), false).await;
            sent.map_err(Stopped::Receiver)?;
        }
    }
    match poll_fn(|context| from.poll_trailers(context))
        .await
        .map_err(Stopped::Sender)?
    {
        Some(trailers) => {
            see(Passed::Trailers(&trailers));
            to.stream.send_trailers(trailers).map_err(Stopped::Receiver)
        }
        None => to
            .stream
            .send_data(Bytes::new(), true)
            .map_err(Stopped::Receiver),
    }
}
