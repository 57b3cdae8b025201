//! A prompt taken apart: by length, by what was cached, by what it stands for.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::super::file::{Prices, Scope};
use super::super::kind::Kind;
use super::super::rate::Rates;
use super::{cost, rate};
use crate::llm::usage::Usage;

/// The prices of a prompt by length.
pub(super) struct Brackets<'a> {
    /// Of the tokens up to the first threshold, and of what is generated.
    pub(super) first: Cow<'a, Rates>,
    /// Of those above a threshold, up to the next.
    further: Vec<(u64, Rates)>,
}

impl<'a> Brackets<'a> {
    /// Those that apply to a prompt of so many tokens.
    pub(super) fn of(tier: &'a Prices, input_tokens: u64) -> Self {
        let mut brackets = Self {
            first: Cow::Borrowed(&tier.rates),
            further: Vec::new(),
        };
        for above in tier
            .above
            .iter()
            .filter(|above| input_tokens > above.tokens)
        {
            let last = brackets
                .further
                .last()
                .map_or(&*brackets.first, |(_, rates)| rates);
            // What the entry leaves out stays as it was at first: entries do
            // not build on each other, unless they are brackets.
            let base = match above.scope {
                Scope::Request => &tier.rates,
                Scope::Excess => last,
            };
            let mut rates = base.clone();
            rates.extend(&above.rates);
            match above.scope {
                Scope::Request => brackets.first = Cow::Owned(rates),
                Scope::Excess => brackets.further.push((above.tokens, rates)),
            }
        }
        brackets
    }

    /// The cost of a prompt, in millionths of a dollar. Of its parts, what was
    /// read from a cache comes first and what was not written to one last, as
    /// caches hold beginnings.
    pub(super) fn prompt(&self, input: u64, usage: &Usage) -> Option<Decimal> {
        let parts = prompt_parts(input, usage);
        if self.further.is_empty() {
            let (by_cache, by_modality) = parts.by_modality(&self.first)?;
            let apart = cost(&self.first, &by_modality)?;
            return apart.checked_add(cost(&self.first, &by_cache)?);
        }
        // Nobody says which part of a prompt stands for what.
        if parts.has_modalities() {
            return None;
        }
        let mut sum = Decimal::ZERO;
        let mut start = 0;
        for (kind, tokens) in parts.by_cache() {
            let end = start + tokens;
            let mut from = 0;
            let mut rates = &*self.first;
            let bounds = self
                .further
                .iter()
                .map(|(above, rates)| (*above, Some(rates)));
            for (above, next) in bounds.chain([(u64::MAX, None)]) {
                let within = end.min(above).saturating_sub(start.max(from));
                sum = sum.checked_add(cost(rates, &[(kind, within)])?)?;
                (from, rates) = (above, next.unwrap_or(rates));
            }
            start = end;
        }
        Some(sum)
    }
}

/// A prompt, taken apart without overlap. What the provider does not state is
/// plain input.
struct Prompt {
    read: u64,
    brief: u64,
    hour: u64,
    half_day: u64,
    /// Neither read from a cache nor written to one.
    plain: u64,
    audio: u64,
    image: u64,
    /// Parts of `read`, and of `audio` and `image`.
    read_audio: Option<u64>,
    read_image: Option<u64>,
}

/// Tokens of a prompt by their price.
type Parts = [(Kind, u64); 5];

/// Counts that contradict each other must not add up to more than the input.
fn prompt_parts(input: u64, usage: &Usage) -> Prompt {
    let hour = usage.cache_write_1h.unwrap_or(0);
    let half_day = usage.cache_write_12h.unwrap_or(0);
    let parts = [
        usage.cache_write_5m,
        usage.cache_write_30m,
        Some(hour),
        Some(half_day),
    ]
    .into_iter()
    .flatten()
    .fold(0, u64::saturating_add);
    let mut left = input;
    let mut take = |wanted: u64| {
        let taken = wanted.min(left);
        left -= taken;
        taken
    };
    let read = take(usage.cache_read.unwrap_or(0));
    let written = usage.cache_write.unwrap_or(parts).max(parts);
    let (hour, half_day) = (take(hour), take(half_day));
    let brief = take(written.saturating_sub(hour).saturating_sub(half_day));
    let audio = usage.input_audio.unwrap_or(0).min(input);
    Prompt {
        read,
        brief,
        hour,
        half_day,
        plain: left,
        audio,
        image: usage.input_image.unwrap_or(0).min(input - audio),
        read_audio: usage.cache_read_audio,
        read_image: usage.cache_read_image,
    }
}

impl Prompt {
    fn has_modalities(&self) -> bool {
        self.audio > 0 || self.image > 0
    }

    fn by_cache(&self) -> Parts {
        [
            (Kind::CacheRead, self.read),
            (Kind::CacheWrite12h, self.half_day),
            (Kind::CacheWrite1h, self.hour),
            (Kind::CacheWrite, self.brief),
            (Kind::Input, self.plain),
        ]
    }

    /// The parts, and apart from them sound and images, where they have prices of
    /// their own; `None` if it is not known what of them was cached, and matters.
    fn by_modality(&self, rates: &Rates) -> Option<(Parts, Vec<(Kind, u64)>)> {
        let mut parts = self.by_cache();
        let mut apart = Vec::new();
        let modalities = [
            (
                self.audio,
                self.read_audio,
                Kind::InputAudio,
                Kind::CacheReadAudio,
            ),
            (
                self.image,
                self.read_image,
                Kind::InputImage,
                Kind::CacheReadImage,
            ),
        ];
        for (tokens, stated_read, fresh_kind, read_kind) in modalities {
            let costs_the_same = || {
                rate(rates, fresh_kind) == rate(rates, Kind::Input)
                    && rate(rates, read_kind) == rate(rates, Kind::CacheRead)
            };
            if tokens == 0 || costs_the_same() {
                continue;
            }
            let read = match stated_read {
                Some(read) => read.min(tokens),
                None if self.read == 0 => 0,
                None => return None,
            };
            let fresh = tokens - read;
            let [(_, all_read), .., (_, plain)] = &mut parts;
            // More than there is: part of it was written to a cache, and at
            // which price nobody says.
            *all_read = all_read.checked_sub(read)?;
            *plain = plain.checked_sub(fresh)?;
            apart.extend([(fresh_kind, fresh), (read_kind, read)]);
        }
        Some((parts, apart))
    }
}
