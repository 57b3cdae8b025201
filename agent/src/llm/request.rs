//! What is read of a request, whatever its wire format.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{Found, Interest, Path, Want};
use super::protobuf;
use super::reading::{code, label, named};
use super::rpc_session::RpcId;
use super::tokens::{Estimate, Prompt, Tally, Vocabulary};

/// What stands for the method of calls of several methods.
const BATCH: &str = "batch";

/// A row of a table of what is read of requests.
pub(super) const fn request(path: Path, want: Want, slot: RequestSlot) -> Interest<RequestSlot> {
    Interest { path, want, slot }
}

/// Where a value of a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestSlot {
    Model,
    Stream,
    /// How speech is to be streamed; `sse` is a stream of events.
    StreamFormat,
    /// Whether the response is to be made apart from this exchange.
    Background,
    /// The model that is to draw images.
    Drawer,
    /// Text that becomes prompt tokens.
    Text,
    /// Text that is read out, by the character.
    Spoken,
    /// Pages are to be annotated.
    Annotation,
    /// A reference to a prompt that the provider has kept.
    Stateful,
    /// How long a part of the prompt is to be cached.
    CacheLifetime,
    /// The method of a remote procedure call.
    RpcMethod,
    /// The name of what it calls.
    RpcName,
    /// The identifier of the call.
    RpcId,
    /// That of a call that is taken back.
    RpcCancelled,
}

/// The facts about a request.
#[derive(Debug, Default)]
pub(super) struct RequestFacts {
    pub(super) model: Option<String>,
    /// The model that is to draw images.
    pub(super) drawer: Option<String>,
    pub(super) stream: Option<bool>,
    /// Everything that can be counted: text and tool definitions. Images and
    /// documents are not in it.
    pub(super) text: Tally<Prompt>,
    /// Characters of text that is read out.
    pub(super) spoken: u64,
    /// The request was seen whole.
    pub(super) is_whole: bool,
    /// Pages are to be annotated, each at another price.
    pub(super) is_annotated: bool,
    /// Part of the prompt is not in the request.
    pub(super) is_stateful: bool,
    /// The method of a remote procedure call.
    pub(super) rpc_method: Option<String>,
    /// The name of what it calls: a tool, or a prompt.
    pub(super) rpc_name: Option<String>,
    /// The identifier of the call; a notification has none.
    pub(super) rpc_id: Option<RpcId>,
    /// That of the call that a notification takes back.
    pub(super) rpc_cancelled: Option<RpcId>,
    /// The response is to be made apart from this exchange.
    pub(super) is_background: bool,
    /// A cache lifetime was asked for, and every one was an hour.
    pub(super) caches_for_an_hour: Option<bool>,
}

impl RequestFacts {
    pub(super) fn take(&mut self, found: Found<'_, RequestSlot>) {
        match found {
            Found::Value { slot, raw, .. } => match slot {
                RequestSlot::Model => self.model = label(raw).or(self.model.take()),
                RequestSlot::Drawer => self.drawer = label(raw).or(self.drawer.take()),
                RequestSlot::Stream => {
                    self.stream = match raw {
                        b"true" => Some(true),
                        b"false" => Some(false),
                        _ => None,
                    };
                }
                RequestSlot::Background => self.is_background = raw == b"true",
                RequestSlot::StreamFormat => self.stream = Some(raw == b"\"sse\""),
                RequestSlot::RpcMethod => self.take_method(code(raw)),
                RequestSlot::RpcName => self.rpc_name = code(raw),
                RequestSlot::RpcId => self.rpc_id = RpcId::parse(raw),
                RequestSlot::RpcCancelled => self.rpc_cancelled = RpcId::parse(raw),
                RequestSlot::CacheLifetime => {
                    let hour = raw == b"\"1h\"";
                    self.caches_for_an_hour = Some(self.caches_for_an_hour.unwrap_or(true) && hour);
                }
                RequestSlot::Text
                | RequestSlot::Spoken
                | RequestSlot::Annotation
                | RequestSlot::Stateful => {}
            },
            Found::Begin {
                slot: RequestSlot::Spoken,
                ..
            } => self.spoken = 0,
            Found::Begin { place, .. } => self.text.begin(place),
            Found::Part {
                slot: RequestSlot::Spoken,
                bytes,
            } => {
                // All but the first byte of a character begin with the bits 10.
                let begun = bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
                self.spoken = self.spoken.saturating_add(begun as u64);
            }
            Found::Part { bytes, .. } => self.text.push(bytes),
            Found::Mark {
                slot: RequestSlot::Annotation,
            } => self.is_annotated = true,
            Found::Mark { .. } => self.is_stateful = true,
        }
    }

    /// Takes the name of a model as it stands in a form.
    pub(super) fn take_model(&mut self, value: &[u8]) {
        let model = std::str::from_utf8(value).ok().and_then(named);
        self.model = model.or(self.model.take());
    }

    fn take_method(&mut self, method: Option<String>) {
        self.rpc_method = match (self.rpc_method.take(), method) {
            (Some(one), Some(other)) if one != other => Some(BATCH.to_owned()),
            (known, method) => method.or(known),
        };
    }

    /// The tool that is called.
    pub(super) fn tool(&self) -> Option<String> {
        let is_call = self.rpc_method.as_deref() == Some("tools/call");
        self.rpc_name.clone().filter(|_| is_call)
    }

    /// Takes a field of a protobuf message.
    pub(super) fn take_field(&mut self, found: protobuf::Found<'_, RequestSlot>) {
        match found {
            protobuf::Found::Bytes { raw, .. } => {
                let model = std::str::from_utf8(raw).ok().and_then(named);
                self.model = model.or(self.model.take());
            }
            protobuf::Found::Length {
                slot: RequestSlot::Stateful,
                bytes,
            } => self.is_stateful |= bytes > 0,
            protobuf::Found::Length { bytes, .. } => self.text.push_unseen(bytes),
            protobuf::Found::Number { .. } => {}
        }
    }

    /// What the model that is asked reads in.
    pub(super) fn vocabulary(&self) -> Option<Vocabulary> {
        self.model.as_deref().and_then(Vocabulary::of)
    }

    /// Prompt tokens by the text, if all of the prompt is text here, for a model
    /// that reads in `own`.
    pub(super) fn estimated_input(&self, own: Option<Vocabulary>) -> Option<Estimate> {
        let estimate = self.text.estimate(own)?;
        (!self.is_stateful).then_some(estimate)
    }
}
