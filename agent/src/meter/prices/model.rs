//! What a call to a model costs: its usage taken apart, and each part at its price.
//!
//! Nothing is guessed. Where a count is missing that has a price, where there is
//! a count without a price, and where two readings of a usage differ in price,
//! the cost is unknown.

mod prompt;

use rust_decimal::Decimal;

use super::Call;
use super::factor::{Factor, is_regional_endpoint, region_label};
use super::file::{Model, Prices};
use super::kind::Kind;
use super::rate::{Rate, Rates};
use super::tier::Tier;
use crate::llm::usage::Usage;
use prompt::Brackets;

impl Model {
    /// US dollars; `None` is unknown.
    pub(super) fn cost(&self, call: &Call<'_>, usage: &Usage) -> Option<Decimal> {
        let tier = self.tier(call.service_tier)?;
        let seconds = match usage.seconds {
            None => None,
            Some(seconds) if seconds.is_zero() => Some(Decimal::ZERO),
            Some(seconds) => Some(seconds.checked_mul(self.unit(tier, Kind::PerSecond)?)?),
        };
        let searches = match usage.searches {
            None | Some(0) => Decimal::ZERO,
            Some(count) => Decimal::from(count).checked_mul(self.unit(tier, Kind::PerSearch)?)?,
        };
        let images = pieces(tier, Kind::PerImage, usage.images)?;
        let pages = pieces(tier, Kind::PerPage, usage.pages)?;
        let text = match usage.characters.zip(tier.rates.get(&Kind::PerCharacter)) {
            Some((characters, Rate(rate))) => Decimal::from(characters).checked_mul(*rate)?,
            None if is_billed_otherwise(tier, usage) => Decimal::ZERO,
            None => {
                let millionths = self.tokens(tier, usage)?;
                millionths
                    .checked_mul(Decimal::new(1, 6))?
                    .checked_mul(self.factor(call)?)?
            }
        };
        [seconds.unwrap_or_default(), searches, images, pages]
            .into_iter()
            .try_fold(text, Decimal::checked_add)
            .map(|usd| usd.normalize())
    }

    /// The prices of a tier as the response names it. One that is not in the
    /// table is not guessed at.
    fn tier(&self, stated: Option<&str>) -> Option<&Prices> {
        match Tier::stated(stated) {
            Tier::Standard => Some(&self.standard),
            Tier::Named(name) => self.tiers.get(name.as_ref()),
        }
    }

    /// What a second or a search costs: what is no token costs the same in
    /// every tier that does not say otherwise.
    fn unit(&self, tier: &Prices, kind: Kind) -> Option<Decimal> {
        let rate = tier.rates.get(&kind).or(self.standard.rates.get(&kind))?;
        Some(rate.0)
    }

    /// The cost of all tokens, in millionths of a dollar.
    fn tokens(&self, tier: &Prices, usage: &Usage) -> Option<Decimal> {
        let input = known_or_free(usage.input, tier, |kind| !kind.is_of_output())?;
        // Whoever charges more for long prompts is not known to charge no more
        // for them in a tier that says nothing of it.
        let is_covered = |threshold: u64| tier.above.iter().any(|above| above.tokens == threshold);
        let exceeded = self
            .standard
            .above
            .iter()
            .map(|above| above.tokens)
            .find(|&threshold| input > threshold && !is_covered(threshold));
        if exceeded.is_some() {
            return None;
        }
        // Nor is it known to charge the same for what it prices apart.
        let apart = [
            (Kind::CacheWrite1h, usage.cache_write_1h),
            (Kind::CacheWrite12h, usage.cache_write_12h),
            (Kind::InputAudio, usage.input_audio),
            (Kind::InputImage, usage.input_image),
            (Kind::OutputAudio, usage.output_audio),
            (Kind::OutputImage, usage.output_image),
            (Kind::Reasoning, usage.reasoning),
        ];
        let is_unknown = |kind: Kind| !tier.rates.contains_key(&kind) && self.prices_apart(kind);
        if apart
            .into_iter()
            .any(|(kind, count)| count.is_some_and(|count| count > 0) && is_unknown(kind))
        {
            return None;
        }
        // A model that draws may write as well, and not say how much it did: then
        // it states images of the input, if only that there were none.
        let draws_unsaid = usage.output_image.is_none() && usage.input_image.is_some();
        if draws_unsaid && usage.output.is_none_or(|output| output > 0) && self.draws_and_writes() {
            return None;
        }
        let brackets = Brackets::of(tier, input);
        let prompt = brackets.prompt(input, usage)?;
        let output = known_or_free(usage.output, tier, Kind::is_of_output)?;
        prompt.checked_add(generated(&brackets.first, output, usage)?)
    }

    /// Whether the standard tier has a price of a kind that is not that of what
    /// it is a kind of.
    fn prices_apart(&self, kind: Kind) -> bool {
        let rates = &self.standard.rates;
        rates
            .get(&kind)
            .is_some_and(|own| kind.of().and_then(|of| rate(rates, of)) != Some(*own))
    }

    /// Whether what it draws and what it writes have prices that differ.
    fn draws_and_writes(&self) -> bool {
        self.standard.rates.contains_key(&Kind::Output) && self.prices_apart(Kind::OutputImage)
    }

    /// The product of the factors that apply. A speed, a place or a region that
    /// is not in the table of a model that distinguishes them costs an unknown
    /// amount more.
    fn factor(&self, call: &Call<'_>) -> Option<Decimal> {
        let is_listed = |of: fn(&Factor) -> bool| self.multipliers.keys().any(of);
        let listed = |is_it: &dyn Fn(&Factor) -> bool| {
            let mut factors = self.multipliers.iter();
            factors
                .find(|(factor, _)| is_it(factor))
                .map(|(_, rate)| rate.0)
        };
        let region = match call.host.and_then(region_label) {
            // `api` and the like are no regions, which are named by two letters.
            Some(label) => match listed(&|it| matches!(it, Factor::Region(at) if at == label)) {
                None if label.len() == 2 && is_listed(|key| matches!(key, Factor::Region(_))) => {
                    return None;
                }
                factor => factor,
            },
            None => None,
        };
        let geo = match call.inference_geo {
            None | Some("" | "global" | "not_available") => None,
            Some(geo) => match listed(&|it| matches!(it, Factor::Geo(at) if at == geo)) {
                None if is_listed(|key| matches!(key, Factor::Geo(_))) => return None,
                factor => factor,
            },
        };
        let speed = match call.speed {
            None | Some("" | "standard") => None,
            Some(speed) => Some(listed(
                &|it| matches!(it, Factor::Speed(of) if of == speed),
            )?),
        };
        let endpoint = call
            .host
            .filter(|host| is_regional_endpoint(host))
            .and_then(|_| listed(&|it| *it == Factor::RegionalEndpoint));
        [region, geo, speed, endpoint]
            .into_iter()
            .flatten()
            .try_fold(Decimal::ONE, Decimal::checked_mul)
    }
}

/// Whether the provider bills the length of a recording, or pieces, and no
/// tokens: some do one or the other, and state only what they did. Searches are
/// billed beside tokens, where those have a price.
fn is_billed_otherwise(tier: &Prices, usage: &Usage) -> bool {
    let has_tokens = usage.input.is_some() || usage.output.is_some();
    let mut kinds = tier.rates.keys();
    let by_search_alone = usage.searches.is_some() && !kinds.any(|kind| kind.is_of_tokens());
    let is_billed = [
        (Kind::PerSearch, by_search_alone),
        (Kind::PerSecond, usage.seconds.is_some()),
        (Kind::PerImage, usage.images.is_some()),
        (Kind::PerPage, usage.pages.is_some()),
    ]
    .into_iter()
    .any(|(kind, is_stated)| is_stated && tier.rates.contains_key(&kind));
    is_billed && !has_tokens
}

/// The cost of pieces, in dollars, by the price of the very tier.
fn pieces(tier: &Prices, kind: Kind, count: Option<u64>) -> Option<Decimal> {
    match count {
        None | Some(0) => Some(Decimal::ZERO),
        Some(count) => Decimal::from(count).checked_mul(tier.rates.get(&kind)?.0),
    }
}

/// A count; zero if it is not known and does not matter.
fn known_or_free(count: Option<u64>, tier: &Prices, of: fn(Kind) -> bool) -> Option<u64> {
    count.or_else(|| {
        let mut rates = std::iter::once(&tier.rates)
            .chain(tier.above.iter().map(|above| &above.rates))
            .flatten()
            .filter(|(kind, _)| kind.is_of_tokens() && of(**kind))
            .peekable();
        let is_free = rates.peek().is_some() && rates.all(|(_, rate)| rate.0.is_zero());
        is_free.then_some(0)
    })
}

/// The cost of what was generated, in millionths of a dollar.
fn generated(rates: &Rates, output: u64, usage: &Usage) -> Option<Decimal> {
    let mut left = output;
    let mut parts = [
        (Kind::OutputAudio, usage.output_audio),
        (Kind::OutputImage, usage.output_image),
        (Kind::Reasoning, usage.reasoning),
        (Kind::Output, Some(output)),
    ]
    .map(|(kind, tokens)| (kind, tokens.unwrap_or(0)));
    for (_, tokens) in &mut parts {
        *tokens = left.min(*tokens);
        left -= *tokens;
    }
    cost(rates, &parts)
}

fn cost(rates: &Rates, parts: &[(Kind, u64)]) -> Option<Decimal> {
    parts
        .iter()
        .filter(|(_, tokens)| *tokens > 0)
        .try_fold(Decimal::ZERO, |sum, (kind, tokens)| {
            let Rate(rate) = rate(rates, *kind)?;
            sum.checked_add(Decimal::from(*tokens).checked_mul(rate)?)
        })
}

/// The price of a kind of token, or of what it is a kind of.
fn rate(rates: &Rates, kind: Kind) -> Option<Rate> {
    if let Some(rate) = rates.get(&kind) {
        return Some(*rate);
    }
    if kind == Kind::CacheReadAudio {
        cached(rates, Kind::InputAudio)
    } else if kind == Kind::CacheReadImage {
        cached(rates, Kind::InputImage)
    } else {
        rate(rates, kind.of()?)
    }
}

/// The price of sound or images read from a cache, where none is stated.
fn cached(rates: &Rates, fresh: Kind) -> Option<Rate> {
    match (rates.get(&fresh), rates.get(&Kind::CacheRead)) {
        // They cost what text costs.
        (None, _) => rate(rates, Kind::CacheRead),
        (Some(rate), None) => Some(*rate),
        // Cached text has a price, which is not that of cached sound.
        (Some(_), Some(_)) => None,
    }
}
