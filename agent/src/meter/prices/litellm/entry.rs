//! One model of LiteLLM's table, with the prices of a model of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::super::PriceError;
use super::super::factor::Factor;
use super::super::file::{Above, Model, Prices, Scope, without_position};
use super::super::kind::Kind;
use super::super::rate::{Rate, Rates};
use super::reader::Reader;
use super::slot::Slot;

/// LiteLLM's names of providers, and the prefixes of their models, by ours.
const PROVIDERS: &[(&str, &str, &str)] = &[
    ("anthropic", "", "anthropic"),
    ("azure", "azure/", "azure.ai.openai"),
    ("azure_ai", "azure_ai/", "azure.ai.openai"),
    ("bedrock", "bedrock/", "aws.bedrock"),
    ("bedrock_converse", "bedrock/", "aws.bedrock"),
    ("bedrock_mantle", "bedrock_mantle/", "aws.bedrock"),
    ("cerebras", "cerebras/", "cerebras"),
    ("codestral", "codestral/", "mistral_ai"),
    ("cohere", "cohere/", "cohere"),
    ("cohere_chat", "cohere/", "cohere"),
    ("dashscope", "dashscope/", "alibaba"),
    ("deepinfra", "deepinfra/", "deepinfra"),
    ("deepseek", "deepseek/", "deepseek"),
    ("fireworks_ai", "fireworks_ai/", "fireworks"),
    (
        "fireworks_ai-embedding-models",
        "fireworks_ai/",
        "fireworks",
    ),
    ("friendliai", "friendliai/", "friendli"),
    ("gemini", "gemini/", "gcp.gemini"),
    ("groq", "groq/", "groq"),
    ("lambda_ai", "lambda_ai/", "lambda"),
    ("meta", "meta/", "meta"),
    ("meta_llama", "meta_llama/", "meta"),
    ("mistral", "mistral/", "mistral_ai"),
    ("moonshot", "moonshot/", "moonshot_ai"),
    ("nebius", "nebius/", "nebius"),
    ("nvidia_nim", "nvidia_nim/", "nvidia"),
    ("openai", "openai/", "openai"),
    ("perplexity", "perplexity/", "perplexity"),
    ("sambanova", "sambanova/", "sambanova"),
    ("text-completion-openai", "", "openai"),
    ("together_ai", "together_ai/", "together"),
    ("vercel_ai_gateway", "vercel_ai_gateway/", "vercel"),
    ("wandb", "wandb/", "wandb"),
    ("xai", "xai/", "x_ai"),
];

/// Ways of charging for text that no record counts the units of.
const UNCOUNTED: [&str; 8] = [
    "citation_cost_per_token",
    "input_cost_per_audio_per_second",
    "input_cost_per_image",
    "input_cost_per_request",
    "input_cost_per_video_per_second",
    "input_cost_per_video_token",
    "output_cost_per_video_token",
    // Nor do records say which hour's price a call had.
    "off_peak_pricing",
];

/// What no model costs, in US dollars per million tokens: above it somebody
/// took the price of a thousand for that of one.
const DEAREST: Decimal = Decimal::from_parts(1000, 0, 0, false, 0);

/// One model of the table.
pub(super) struct Entry<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) key: &'a str,
    pub(super) values: BTreeMap<String, &'a RawValue>,
    /// The table has the same model by the size of images, too.
    pub(super) is_by_size: bool,
}

impl Entry<'_> {
    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.values.get(name)?.get()).ok()
    }

    /// A number under a key of this entry, exactly.
    fn number(&self, name: &str, raw: &RawValue) -> Result<Option<Decimal>, PriceError> {
        let text = raw.get();
        if text == "null" {
            return Ok(None);
        }
        // Some tables are kept by hand, and quote what they cannot write as a
        // number.
        let digits = text.trim_matches('"');
        Decimal::from_str_exact(digits)
            .or_else(|_| Decimal::from_scientific(digits))
            .map(Some)
            .map_err(|cause| {
                let key = format!("{}.{name}", self.key);
                let message = format!("{text} is not a number of US dollars: {cause}");
                self.reader.refusal(raw, key, message)
            })
    }

    fn known_number(&self, name: &str) -> Result<Option<Decimal>, PriceError> {
        match self.values.get(name) {
            Some(raw) => self.number(name, raw),
            None => Ok(None),
        }
    }

    /// A price: `units` of a number.
    fn rate(&self, name: &str, raw: &RawValue, units: Decimal) -> Result<Option<Rate>, PriceError> {
        let Some(number) = self.number(name, raw)? else {
            return Ok(None);
        };
        let rate = number.checked_mul(units).and_then(Rate::new);
        rate.map(Some).ok_or_else(|| {
            let key = format!("{}.{name}", self.key);
            let message = format!("{} is no price that can be meant", raw.get());
            self.reader.refusal(raw, key, message)
        })
    }

    /// Our name of the provider, and the model's name there. The latter is none
    /// for what is not called by a model's name.
    pub(super) fn name(&self) -> Result<Option<(&'static str, Option<String>)>, PriceError> {
        let Some(theirs) = self.text("litellm_provider") else {
            return Ok(None);
        };
        let (prefix, ours) = if theirs.starts_with("vertex_ai") {
            ("vertex_ai/", "gcp.vertex_ai")
        } else {
            match PROVIDERS.iter().find(|(name, ..)| *name == theirs) {
                Some((_, prefix, ours)) => (*prefix, *ours),
                None => return Ok(None),
            }
        };
        let id = self.key.strip_prefix(prefix).unwrap_or(self.key);
        // Sizes and qualities of images, commitments of months, and places that
        // the name of a deployment does not tell.
        let is_qualified = id.contains("-commitment/")
            || id.contains("-x-")
            || id.starts_with("claude_platform/")
            || (ours == "azure.ai.openai" && id.contains('/'));
        Ok(Some((
            ours,
            (!is_qualified).then(|| id.to_ascii_lowercase()),
        )))
    }

    /// The prices; `None` where there are none, or some that cannot be applied.
    pub(super) fn model(&self, provider: &str) -> Result<Option<Model>, PriceError> {
        let mode = self.text("mode").unwrap_or_default();
        if self.is_charged_otherwise(&mode)? {
            return Ok(None);
        }
        let mut model = Model {
            source: self.text("source").map(Arc::from),
            ..Model::default()
        };
        let mut tiers: BTreeMap<Option<&str>, Tiered> = BTreeMap::new();
        for (name, raw) in &self.values {
            let Some(slot) = Slot::of(name) else { continue };
            let Some(rate) = self.rate(name, raw, PER_MILLION)? else {
                continue;
            };
            let tier = tiers.entry(slot.tier).or_default();
            // xAI charges more from the threshold on, everybody else above it.
            let threshold = slot
                .above
                .map(|above| above.saturating_sub(u64::from(provider == "x_ai")));
            let rates = match threshold {
                Some(tokens) => tier.above.entry(tokens).or_default(),
                None => &mut tier.prices.rates,
            };
            rates.insert(slot.kind, rate);
        }
        self.take_ranges(tiers.entry(None).or_default())?;
        // A range of prompts without a price would be charged as the one below.
        let mut ranges = tiers.values().flat_map(|tier| tier.above.values());
        if ranges.any(BTreeMap::is_empty) {
            return Ok(None);
        }
        for (name, tier) in tiers {
            match name {
                None => model.standard = tier.finished(),
                Some(name) => {
                    let tier = tier.finished();
                    // Reading from a cache alone is no tier.
                    if tier.rates.contains_key(&Kind::Input) {
                        model.tiers.insert(name.to_owned(), tier);
                    }
                }
            }
        }
        self.take_units(&mode, &mut model)?;
        self.take_factors(&mut model)?;
        complete(&mode, &mut model);
        let tiers = std::iter::once(&model.standard).chain(model.tiers.values());
        let is_slip = tiers
            .flat_map(|tier| &tier.rates)
            .any(|(kind, rate)| kind.is_of_tokens() && rate.0 > DEAREST);
        let is_priced = model.standard.rates.values().any(|rate| !rate.0.is_zero());
        Ok((is_priced && !is_slip).then_some(model))
    }

    /// Whether text is charged by something that records do not count.
    fn is_charged_otherwise(&self, mode: &str) -> Result<bool, PriceError> {
        if !matches!(mode, "" | "chat" | "responses" | "completion" | "embedding") {
            return Ok(false);
        }
        // They search with every call, at a price that depends on how widely.
        let always_searches = self.key.contains("-search-")
            || self.key.contains("deep-research")
            || self.key.starts_with("perplexity/sonar");
        if always_searches {
            return Ok(true);
        }
        for name in UNCOUNTED {
            let is_counted = name == "input_cost_per_image" && self.counts_images();
            let Some(raw) = self.values.get(name).filter(|_| !is_counted) else {
                continue;
            };
            let is_object = raw.get().starts_with('{');
            if is_object || self.number(name, raw)?.is_some_and(|cost| !cost.is_zero()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `tiered_pricing`: prices by ranges of prompt tokens, each for the whole
    /// request.
    fn take_ranges(&self, tier: &mut Tiered) -> Result<(), PriceError> {
        let Some(list) = self.values.get("tiered_pricing") else {
            return Ok(());
        };
        let refusal = |message: String| {
            let key = format!("{}.tiered_pricing", self.key);
            self.reader.refusal(list, key, message)
        };
        let ranges: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(list.get())
            .map_err(|error| refusal(without_position(&error.to_string())))?;
        for range in ranges {
            let Some(bounds) = range.get("range") else {
                return Err(refusal("an entry has no range".to_owned()));
            };
            let bounds: Vec<&RawValue> = serde_json::from_str(bounds.get())
                .map_err(|error| refusal(without_position(&error.to_string())))?;
            let Some(start) = bounds.first() else {
                return Err(refusal("an entry has an empty range".to_owned()));
            };
            let start = self
                .number("tiered_pricing.range", start)?
                .and_then(|start| u64::try_from(start).ok())
                .ok_or_else(|| refusal("a range begins at no number of tokens".to_owned()))?;
            let rates = match start {
                0 => &mut tier.prices.rates,
                start => tier.above.entry(start).or_default(),
            };
            for (name, raw) in &range {
                let Some(slot) = Slot::of(name) else { continue };
                if let Some(rate) = self.rate(name, raw, PER_MILLION)? {
                    rates.insert(slot.kind, rate);
                }
            }
        }
        Ok(())
    }

    /// Prices of what is no token.
    fn take_units(&self, mode: &str, model: &mut Model) -> Result<(), PriceError> {
        let per_second = match mode {
            "audio_transcription" => ["input_cost_per_second", "output_cost_per_second"]
                .iter()
                .find(|name| self.values.contains_key(**name)),
            // Not where the resolution decides.
            "video_generation"
                if !self
                    .values
                    .keys()
                    .any(|key| key.starts_with("output_cost_per_second_")) =>
            {
                Some(&"output_cost_per_second")
            }
            _ => None,
        };
        if let Some(name) = per_second
            && let Some(raw) = self.values.get(*name)
            && let Some(rate) = self.rate(name, raw, Decimal::ONE)?
            && !rate.0.is_zero()
        {
            model.standard.rates.insert(Kind::PerSecond, rate);
        }
        if let Some(rate) = self.per_search(mode)? {
            model.standard.rates.insert(Kind::PerSearch, rate);
        }
        self.take_pieces(mode, model)
    }

    /// Prices of pieces, for the models of which records count them.
    fn take_pieces(&self, mode: &str, model: &mut Model) -> Result<(), PriceError> {
        let has_tokens = |model: &Model| {
            let mut rates = model.standard.rates.iter();
            rates.any(|(kind, rate)| kind.is_of_tokens() && !rate.0.is_zero())
        };
        let (kind, names): (_, &[&str]) = match mode {
            // What is billed by tokens states them.
            "image_generation" | "image_edit" if !has_tokens(model) && !self.is_by_size => (
                Kind::PerImage,
                &["output_cost_per_image", "input_cost_per_image"],
            ),
            "embedding" if self.counts_images() => (Kind::PerImage, &["input_cost_per_image"]),
            "embedding" | "audio_speech" => (Kind::PerCharacter, &["input_cost_per_character"]),
            "ocr" if !has_tokens(model) => (Kind::PerPage, &["ocr_cost_per_page"]),
            _ => return Ok(()),
        };
        if let Some(rate) = self.piece(names)? {
            if kind != Kind::PerCharacter && !has_tokens(model) {
                // Where nothing but pieces has a price, tokens have none, not zero.
                model.standard.rates.clear();
            }
            model.standard.rates.insert(kind, rate);
            if let Some(rate) = self.piece(&["ocr_cost_per_page_batches"])? {
                let batch = model.tiers.entry("batch".to_owned()).or_default();
                batch.rates.insert(kind, rate);
            }
        }
        Ok(())
    }

    /// The first of these prices that is one.
    fn piece(&self, names: &[&str]) -> Result<Option<Rate>, PriceError> {
        for name in names {
            let Some(raw) = self.values.get(*name) else {
                continue;
            };
            let rate = self.rate(name, raw, Decimal::ONE)?;
            if let Some(rate) = rate.filter(|rate| !rate.0.is_zero()) {
                return Ok(Some(rate));
            }
        }
        Ok(None)
    }

    /// Whether the answer says how many images were embedded: Cohere's does.
    fn counts_images(&self) -> bool {
        self.text("litellm_provider").as_deref() == Some("cohere")
    }

    fn per_search(&self, mode: &str) -> Result<Option<Rate>, PriceError> {
        if mode == "rerank" {
            let name = "input_cost_per_query";
            return match self.values.get(name) {
                Some(raw) => self.rate(name, raw, Decimal::ONE),
                None => Ok(None),
            };
        }
        // Of the others only Claude's usage says how many searches were made.
        let name = "search_context_cost_per_query";
        let Some(raw) = self
            .values
            .get(name)
            .filter(|_| self.key.contains("claude"))
        else {
            return Ok(None);
        };
        let sizes = self.reader.object(Some(raw), Some(self.key))?;
        let mut rates = Vec::new();
        for (size, raw) in &sizes {
            rates.extend(self.rate(&format!("{name}.{size}"), raw, Decimal::ONE)?);
        }
        let first = rates.first().copied();
        // Where the size decides, it is not known.
        Ok(first.filter(|first| rates.iter().all(|rate| rate == first)))
    }

    fn take_factors(&self, model: &mut Model) -> Result<(), PriceError> {
        let mut take = |factor: Factor, number: Option<Decimal>| {
            if let Some(rate) = number.and_then(Rate::new) {
                model.multipliers.insert(factor, rate);
            }
        };
        for region in ["us", "eu"] {
            let name = format!("regional_processing_uplift_multiplier_{region}");
            take(Factor::Region(region.to_owned()), self.known_number(&name)?);
        }
        take(
            Factor::RegionalEndpoint,
            self.known_number("regional_endpoint_uplift_multiplier")?,
        );
        if let Some(raw) = self.values.get("provider_specific_entry") {
            let entries = self.reader.object(Some(raw), Some(self.key))?;
            if let Some(raw) = entries.get("us") {
                let number = self.number("provider_specific_entry.us", raw)?;
                take(Factor::Geo("us".to_owned()), number);
            }
            if let Some(raw) = entries.get("fast") {
                let number = self.number("provider_specific_entry.fast", raw)?;
                take(Factor::Speed("fast".to_owned()), number);
            }
        }
        Ok(())
    }
}

const PER_MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// Prices of a tier while they are gathered.
#[derive(Default)]
struct Tiered {
    prices: Prices,
    above: BTreeMap<u64, Rates>,
}

impl Tiered {
    fn finished(mut self) -> Prices {
        self.prices.above = self
            .above
            .into_iter()
            .map(|(tokens, rates)| Above {
                tokens,
                scope: Scope::Request,
                rates,
            })
            .collect();
        self.prices
    }
}

/// Settles what the table leaves to its reader.
fn complete(mode: &str, model: &mut Model) {
    let all = std::iter::once(&mut model.standard).chain(model.tiers.values_mut());
    let generates_text = matches!(mode, "" | "chat" | "responses" | "completion" | "realtime");
    for prices in all {
        // Models that draw generate nothing but images.
        if mode.starts_with("image") && !prices.rates.contains_key(&Kind::Output) {
            let image = prices.rates.get(&Kind::OutputImage).copied();
            prices.rates.extend(image.map(|rate| (Kind::Output, rate)));
        }
        let is_zero = |kind| {
            prices
                .rates
                .get(&kind)
                .is_some_and(|rate: &Rate| rate.0.is_zero())
        };
        // A zero stands for a price that is not known, where the other is none.
        let unknown: BTreeSet<_> = [(Kind::Input, Kind::Output), (Kind::Output, Kind::Input)]
            .into_iter()
            .filter(|(kind, other)| generates_text && is_zero(*kind) && !is_zero(*other))
            .map(|(kind, _)| kind)
            .collect();
        prices.rates.retain(|kind, _| !unknown.contains(kind));
    }
}
