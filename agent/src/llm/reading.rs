//! What is read of a response, whatever its wire format.
//!
//! Values of one document (a body, or one event of a stream) gather in a
//! [`Draft`], and count when the document turns out to be whole: its wire format
//! then commits them to the [`Reading`].

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::borrow::Cow;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::value::RawValue;

use super::json::{Found, Interest, Path, Want};
use super::observation::RpcOutcome;
use super::request::RequestFacts;
use super::rpc_session::{News, RpcId};
use super::share::Shares;
use super::tokens::{Answer, Tally, Vocabulary};
use super::usage::Usage;
use super::{bedrock_invoke, eventstream, openai_usage, protobuf, xai_grpc};

/// Longest name or identifier kept, in bytes.
const LABEL_LEN_MAX: usize = 200;

/// Longest error code kept, in bytes. Those of the providers are below 50.
const CODE_LEN_MAX: usize = 64;

/// A row of a table of what is read of responses.
pub(super) const fn response(path: Path, want: Want, slot: Slot) -> Interest<Slot> {
    Interest { path, want, slot }
}

/// Where a value of a response belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Id,
    Model,
    ServiceTier,
    /// How fast it was computed, at a price of its own.
    Speed,
    FinishReason,
    /// The state of the response as a whole.
    Status,
    /// Why a response is not complete.
    Incomplete,
    /// The type of the event or document.
    Kind,
    /// Whether the response is made apart from the exchange that began it.
    Background,
    /// How long a server took for how many tokens, itself.
    Timings,
    /// There is a choice.
    Choice,
    Usage,
    /// What another model used for this response, stated apart.
    Beside,
    /// What one of several models used, of which the usage is the sum.
    Part,
    /// The model that draws the images of this response.
    Drawer,
    /// A count that stands outside of any usage object.
    Count(Tokens),
    /// A count of which each in the document is a part.
    Sum(Tokens),
    /// One of what is counted.
    Piece(Tokens),
    /// Counts of the host, which count where the model states none.
    Fallback,
    /// Whether this document is the last.
    Done,
    /// Generated text.
    Text,
    /// There is an error.
    Error,
    /// What the document is: it may be an error itself.
    Object,
    ErrorCode,
    /// An error's code that is a number.
    ErrorNumber,
    ErrorType,
    /// Whether what was called failed.
    Failure,
    /// The call that is answered.
    RpcId,
}

/// What a count counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    Input,
    Output,
    CacheRead,
    Reasoning,
    /// What the provider says it all comes to.
    Total,
    /// Of sound or video, not tokens.
    Seconds,
    /// Made by the provider, not tokens.
    Searches,
    /// Pieces, not tokens.
    Images,
    Characters,
    /// Units of 1e-10 USD, not tokens.
    CostTicks,
}

/// The values of one document.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) status: Option<String>,
    pub(super) incomplete: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) is_background: bool,
    pub(super) has_choice: bool,
    pub(super) is_done: bool,
    pub(super) is_failure: bool,
    /// The remote procedure call that is answered.
    pub(super) rpc_id: Option<RpcId>,
    /// Why generation ended, where that is a number.
    pub(super) finish_number: Option<u64>,
    pub(super) counts: Option<Box<Counts>>,
    pub(super) drawer: Option<String>,
    pub(super) text: Tally<Answer>,
    pub(super) has_error: bool,
    pub(super) error_code: Option<String>,
    pub(super) error_type: Option<String>,
}

impl Draft {
    /// Takes a value; `parse` reads the usage object of the wire format. What
    /// `known` already says, as every chunk of a stream repeats, is passed over.
    pub(super) fn take(
        &mut self,
        found: Found<'_, Slot>,
        known: &Reading,
        parse: fn(&[u8]) -> Counts,
    ) {
        match found {
            Found::Begin { place, .. } => self.text.begin(place),
            Found::Part { bytes, .. } => self.text.push(bytes),
            Found::Mark { slot } => match slot {
                Slot::Choice => self.has_choice = true,
                Slot::Error => self.has_error = true,
                Slot::Done => self.is_done = true,
                Slot::Piece(of) => self.add(Counts::of(of, Some(1))),
                Slot::Id
                | Slot::Model
                | Slot::ServiceTier
                | Slot::Speed
                | Slot::FinishReason
                | Slot::Status
                | Slot::Incomplete
                | Slot::Kind
                | Slot::Background
                | Slot::Timings
                | Slot::Usage
                | Slot::Beside
                | Slot::Part
                | Slot::Drawer
                | Slot::Count(_)
                | Slot::Sum(_)
                | Slot::Fallback
                | Slot::Text
                | Slot::Object
                | Slot::ErrorCode
                | Slot::ErrorNumber
                | Slot::Failure
                | Slot::RpcId
                | Slot::ErrorType => {}
            },
            Found::Value { slot, raw, .. } => {
                let (field, value) = match slot {
                    Slot::Id if is_encoding_of(raw, known.id.as_deref()) => {
                        return self.id = None;
                    }
                    Slot::Model if is_encoding_of(raw, known.model.as_deref()) => {
                        return self.model = None;
                    }
                    Slot::ServiceTier if is_encoding_of(raw, known.service_tier.as_deref()) => {
                        return self.service_tier = None;
                    }
                    Slot::Id => (&mut self.id, label(raw)),
                    Slot::Model => (&mut self.model, label(raw)),
                    Slot::ServiceTier => (&mut self.service_tier, code(raw)),
                    Slot::FinishReason => (&mut self.finish_reason, code(raw)),
                    Slot::Status => (&mut self.status, code(raw)),
                    Slot::Incomplete => (&mut self.incomplete, code(raw)),
                    Slot::Kind => (&mut self.kind, code(raw)),
                    Slot::ErrorCode => (&mut self.error_code, code(raw)),
                    Slot::ErrorNumber => (&mut self.error_code, number(raw)),
                    Slot::ErrorType => (&mut self.error_type, code(raw)),
                    Slot::Speed => {
                        if let Some(speed) = code(raw) {
                            self.counts.get_or_insert_default().speed = Some(speed);
                        }
                        return;
                    }
                    Slot::Object => return self.has_error |= raw == b"\"error\"",
                    Slot::Failure => return self.is_failure |= raw == b"true",
                    Slot::RpcId => return self.rpc_id = RpcId::parse(raw),
                    Slot::Background => return self.is_background = raw == b"true",
                    Slot::Timings => {
                        let usage = openai_usage::parse_timings(raw);
                        if !usage.is_empty() {
                            self.counts.get_or_insert_default().fallback = Some(usage.into());
                        }
                        return;
                    }
                    Slot::Done => return self.is_done = raw == b"true",
                    Slot::Count(of) => return self.count(of, raw),
                    Slot::Sum(of) => return self.sum(of, raw),
                    Slot::Fallback => {
                        let usage = bedrock_invoke::parse_metrics(raw);
                        if !usage.is_empty() {
                            self.counts.get_or_insert_default().fallback = Some(usage.into());
                        }
                        return;
                    }
                    Slot::Usage | Slot::Beside | Slot::Part if raw == b"null" => return,
                    Slot::Beside => return self.take_beside(raw, parse),
                    Slot::Part => return self.take_part(raw, parse),
                    Slot::Drawer => (&mut self.drawer, label(raw)),
                    Slot::Usage => {
                        let counts = parse(raw);
                        return self.merge(counts);
                    }
                    Slot::Choice | Slot::Error | Slot::Text | Slot::Piece(_) => return,
                };
                if value.is_some() {
                    *field = value;
                }
            }
        }
    }

    /// Takes the usage of another model, which may be named in it. One that
    /// used nothing has no part in the response.
    fn take_beside(&mut self, raw: &[u8], parse: fn(&[u8]) -> Counts) {
        let beside = parse(raw).usage;
        if beside.has_tokens() {
            let model = named_in(raw).and_then(|named| named.model());
            let counts = self.counts.get_or_insert_default();
            counts.others.add(model.as_deref(), &beside);
        }
    }

    /// Takes a model and its usage.
    fn take_part(&mut self, raw: &[u8], parse: fn(&[u8]) -> Counts) {
        let Some(part) = named_in(raw) else { return };
        if let Some(usage) = part.usage {
            let usage = parse(usage.get().as_bytes()).usage;
            let counts = self.counts.get_or_insert_default();
            counts.others.add(part.model().as_deref(), &usage);
            counts.is_passed_on = true;
        }
    }

    fn count(&mut self, of: Tokens, raw: &[u8]) {
        let mut newer = Counts::of(of, count(raw));
        if of == Tokens::Seconds {
            // Which may have a fraction.
            newer.usage.seconds = seconds(raw);
        }
        self.merge(newer);
    }

    fn merge(&mut self, newer: Counts) {
        if newer.is_empty() {
            return;
        }
        match &mut self.counts {
            Some(known) => known.merge(newer),
            None => self.counts = Some(Box::new(newer)),
        }
    }

    fn sum(&mut self, of: Tokens, raw: &[u8]) {
        self.add(Counts::of(of, count(raw)));
    }

    fn add(&mut self, newer: Counts) {
        let known = self.counts.get_or_insert_default();
        known.usage = known.usage.plus(&newer.usage);
    }

    /// Takes the headers of a message of an event stream: its name, or that of
    /// an error.
    pub(super) fn take_message(&mut self, headers: &eventstream::Headers) {
        let name = |name: &Option<String>| name.as_deref().and_then(coded);
        self.kind = name(&headers.event_type);
        self.has_error = headers.message_type != eventstream::MessageType::Event;
        self.error_code = name(&headers.exception_type).or(name(&headers.error_code));
    }

    /// Takes a field of a protobuf message.
    pub(super) fn take_field(&mut self, found: protobuf::Found<'_, Slot>) {
        match found {
            protobuf::Found::Length {
                slot: Slot::Error,
                bytes,
            } => self.has_error |= bytes > 0,
            protobuf::Found::Length { bytes, .. } => self.text.push_unseen(bytes),
            protobuf::Found::Number {
                slot: Slot::Count(of),
                value,
            } => {
                // A negative number is no count.
                let count = Some(value).filter(|value| i64::try_from(*value).is_ok());
                self.counts
                    .get_or_insert_default()
                    .merge(Counts::of(of, count));
            }
            protobuf::Found::Number {
                slot: Slot::ServiceTier,
                value,
            } => self.service_tier = xai_grpc::service_tier(value),
            protobuf::Found::Number { value, .. } => self.finish_number = Some(value),
            protobuf::Found::Bytes { slot, raw } => {
                let text = std::str::from_utf8(raw).ok().and_then(named);
                let field = if slot == Slot::Model {
                    &mut self.model
                } else {
                    &mut self.id
                };
                *field = text.or(field.take());
            }
        }
    }

    /// What to call the error in this document, if there is one. The code is the
    /// more specific; some servers repeat the status there, which says nothing.
    pub(super) fn error(&mut self) -> Option<String> {
        let named = self.error_code.take().or(self.error_type.take());
        self.has_error
            .then(|| named.unwrap_or_else(|| "error".to_owned()))
    }
}

/// A usage object in the terms of its wire format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) usage: Usage,
    /// What the provider says it all comes to.
    pub(super) total: Option<u64>,
    /// Prompt tokens of tools, beside the input.
    pub(super) tool_input: Option<u64>,
    /// What the host counts, where the model says nothing. Boxed like the next, as
    /// few responses have them.
    pub(super) fallback: Option<Box<Usage>>,
    /// Spent by the same model beside what `usage` says, and to be added to it.
    pub(super) beside: Option<Box<Usage>>,
    /// Spent by others, likewise.
    pub(super) others: Shares,
    /// The models that had a go at a message until one answered, of which the
    /// usage may or may not be the sum.
    pub(super) hops: Shares,
    /// `usage` is the sum of what `others` spent.
    pub(super) is_passed_on: bool,
    /// It is charged by terms that the usage does not tell.
    pub(super) is_charged_otherwise: bool,
    /// The model that answered in another's place.
    pub(super) answered_by: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) speed: Option<String>,
    pub(super) inference_geo: Option<String>,
    pub(super) stated_cost: Option<Decimal>,
}

impl Counts {
    /// Field by field, where `newer` knows something.
    fn merge(&mut self, newer: Self) {
        self.usage.merge(&newer.usage);
        self.total = newer.total.or(self.total);
        self.tool_input = newer.tool_input.or(self.tool_input);
        self.fallback = newer.fallback.or(self.fallback.take());
        self.beside = newer.beside.or(self.beside.take());
        if !newer.others.is_empty() {
            self.others = newer.others;
        }
        if !newer.hops.is_empty() {
            self.hops = newer.hops;
        }
        self.is_passed_on |= newer.is_passed_on;
        self.is_charged_otherwise |= newer.is_charged_otherwise;
        self.answered_by = newer.answered_by.or(self.answered_by.take());
        self.service_tier = newer.service_tier.or(self.service_tier.take());
        self.speed = newer.speed.or(self.speed.take());
        self.inference_geo = newer.inference_geo.or(self.inference_geo.take());
        self.stated_cost = newer.stated_cost.or(self.stated_cost);
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts of another response, beside those of the ones before.
    pub(super) fn add(&mut self, other: Self) {
        let usage = self.usage.plus(&other.usage);
        let beside = match (self.beside.take(), &other.beside) {
            (Some(one), Some(other)) => Some(one.plus(other).into()),
            (Some(one), None) => Some(one),
            (None, other) => other.clone(),
        };
        let mut others = std::mem::take(&mut self.others);
        others.extend(other.others.clone());
        self.merge(other);
        self.usage = usage;
        self.beside = beside;
        self.others = others;
    }

    /// All that the model used, where what stands beside the usage is not in it.
    pub(super) fn sum(&self) -> Usage {
        let beside = self.beside.as_deref();
        beside.map_or(self.usage, |beside| self.usage.plus(beside))
    }

    /// One count.
    fn of(tokens: Tokens, count: Option<u64>) -> Self {
        let mut counts = Self::default();
        match tokens {
            Tokens::Input => counts.usage.input = count,
            Tokens::Output => counts.usage.output = count,
            Tokens::CacheRead => counts.usage.cache_read = count,
            Tokens::Reasoning => counts.usage.reasoning = count,
            Tokens::Searches => counts.usage.searches = count,
            Tokens::Images => counts.usage.images = count,
            Tokens::Characters => counts.usage.characters = count,
            Tokens::Total => counts.total = count,
            Tokens::Seconds => counts.usage.seconds = count.map(Decimal::from),
            Tokens::CostTicks => {
                let ticks = count.map(Decimal::from);
                counts.stated_cost = ticks.and_then(|ticks| ticks.checked_mul(Decimal::new(1, 10)));
            }
        }
        counts
    }
}

/// Everything committed so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) counts: Counts,
    /// The model that draws the images of this response.
    pub(super) drawer: Option<String>,
    /// Tokens by the head of the response.
    pub(super) head_input: Option<u64>,
    pub(super) head_output: Option<u64>,
    pub(super) error: Option<String>,
    /// How a remote procedure call came out.
    pub(super) rpc_outcome: Option<RpcOutcome>,
    /// What there is to tell of other calls.
    pub(super) news: News,
    /// Documents that were whole, or of which the body ended within.
    pub(super) documents: u64,
    /// Generated text.
    pub(super) text: Tally<Answer>,
    /// The part of it that came after the last usage, if there was one.
    pub(super) text_since_usage: Option<Tally<Answer>>,
    /// What the model reads in, as far as that was known.
    pub(super) vocabulary: Option<Vocabulary>,
    /// The provider will not report any more usage for this response.
    pub(super) is_usage_final: bool,
    /// The sentinel or event that ends a stream was seen.
    pub(super) has_ended: bool,
    /// The response will be generated after this exchange, and fetched by others.
    pub(super) is_deferred: bool,
    /// The response is made apart from the exchange that began it.
    pub(super) is_background: bool,
}

impl Reading {
    /// What the model reads in that answers, or else the one that was asked.
    pub(super) fn read_in(&self, facts: &RequestFacts) -> Option<Vocabulary> {
        match self.model {
            Some(_) => self.vocabulary,
            None => facts.vocabulary(),
        }
    }

    /// Takes what means the same in every wire format.
    pub(super) fn commit(&mut self, mut draft: Draft) {
        self.documents = self.documents.saturating_add(1);
        self.error = draft.error().or(self.error.take());
        self.id = draft.id.or(self.id.take());
        if let Some(model) = draft.model {
            self.vocabulary = Vocabulary::of(&model);
            self.model = Some(model);
        }
        let vocabulary = self.vocabulary.unwrap_or_default();
        self.service_tier = draft.service_tier.or(self.service_tier.take());
        self.finish_reason = draft.finish_reason.or(self.finish_reason.take());
        self.is_background |= draft.is_background;
        self.drawer = draft.drawer.or(self.drawer.take());
        if let Some(counts) = draft.counts {
            self.counts.merge(*counts);
            self.text_since_usage = Some(Tally::default());
        } else if let Some(since_usage) = &mut self.text_since_usage {
            since_usage.append(draft.text.clone(), vocabulary);
        }
        self.text.append(draft.text, vocabulary);
    }
}

/// A string. `null` is the common case of anything else, and no error.
fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?;
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..b' ');
    match inner.strip_suffix(b"\"") {
        // Most are as they are written.
        Some(inner) if inner.iter().all(is_plain) => {
            std::str::from_utf8(inner).ok().map(Cow::Borrowed)
        }
        _ => serde_json::from_slice(raw).ok().map(Cow::Owned),
    }
}

/// Whether `raw` is `text` in quotes. One that is written with escapes is not.
fn is_encoding_of(raw: &[u8], text: Option<&str>) -> bool {
    let inner = raw
        .strip_prefix(b"\"")
        .and_then(|raw| raw.strip_suffix(b"\""));
    inner.is_some() && inner == text.map(str::as_bytes)
}

/// An object that names a model, beside what that used.
#[derive(serde::Deserialize)]
struct NamedUsage<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl NamedUsage<'_> {
    fn model(&self) -> Option<String> {
        label(self.model?.get().as_bytes())
    }
}

fn named_in(raw: &[u8]) -> Option<NamedUsage<'_>> {
    serde_json::from_slice(raw).ok()
}

/// A name or identifier: a string without control characters, cut to its bound.
pub(super) fn label(raw: &[u8]) -> Option<String> {
    named(&string(raw)?)
}

/// The same of text that is not encoded.
pub(super) fn named(text: &str) -> Option<String> {
    let text = text.get(..text.floor_char_boundary(LABEL_LEN_MAX))?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// A word out of a list that a provider keeps. Anything that could be prose is
/// not one.
pub(super) fn code(raw: &[u8]) -> Option<String> {
    coded(&string(raw)?)
}

/// The same of text that is not encoded.
pub(super) fn coded(text: &str) -> Option<String> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    ((1..=CODE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_code)).then(|| text.to_owned())
}

/// A small whole number, as text.
fn number(raw: &[u8]) -> Option<String> {
    let number: i32 = serde_json::from_slice(raw).ok()?;
    Some(number.to_string())
}

/// A count: a whole number, which some write as `3.0` or `"3"`.
pub(super) fn count(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    let number = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    number
        .parse()
        .ok()
        .or_else(|| decimal(number).filter(Decimal::is_integer)?.to_u64())
}

/// An amount, exactly as it is written.
pub(super) fn amount(raw: &[u8]) -> Option<Decimal> {
    decimal(std::str::from_utf8(raw).ok()?).filter(|amount| *amount >= Decimal::ZERO)
}

/// A duration, as a number or, as some write it, as a string.
pub(super) fn seconds(raw: &[u8]) -> Option<Decimal> {
    let inner = raw
        .strip_prefix(b"\"")
        .and_then(|raw| raw.strip_suffix(b"\""));
    amount(inner.unwrap_or(raw))
}

fn decimal(text: &str) -> Option<Decimal> {
    // A fraction longer than 28 digits is rounded rather than refused.
    text.parse()
        .ok()
        .or_else(|| Decimal::from_scientific(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_numbers_however_written() {
        let cases: [(&[u8], Option<u64>); 9] = [
            (b"12", Some(12)),
            (b"12.0", Some(12)),
            (b"\"12\"", Some(12)),
            (b"1.2e1", Some(12)),
            (b"12.5", None),
            (b"-1", None),
            (b"null", None),
            (b"{}", None),
            (b"18446744073709551615", Some(u64::MAX)),
        ];
        for (raw, expected) in cases {
            assert_eq!(count(raw), expected, "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(amount(b"0.1"), Some(Decimal::new(1, 1)));
        assert_eq!(amount(b"1.2e-05"), Some(Decimal::new(12, 6)));
        assert_eq!(amount(b"-1"), None);
    }

    #[test]
    fn prose_is_no_code() {
        assert_eq!(
            code(br#""rate_limit_exceeded""#).as_deref(),
            Some("rate_limit_exceeded")
        );
        assert_eq!(code(br#""your key sk-123 is wrong""#), None);
        assert_eq!(code(b"429"), None);
        assert_eq!(
            code(format!("{:?}", "x".repeat(CODE_LEN_MAX + 1)).as_bytes()),
            None
        );
    }

    #[test]
    fn labels_are_bounded_at_a_character() {
        let long = format!("{:?}", "\u{20ac}".repeat(100));
        assert_eq!(label(long.as_bytes()).map(|text| text.len()), Some(198));
        assert_eq!(label(br#""a\nb""#), None);
        assert_eq!(label(br#""\ud83d""#), None);
    }
}
