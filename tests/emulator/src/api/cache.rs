//! Which prompts were seen before: the providers' prompt caches, simplified.
//!
//! Entries do not expire by time, so that a test's figures do not depend on
//! how long it took.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::prompt::{Prompt, Ttl};
use crate::seed::Seed;

/// Prefixes remembered; the oldest are forgotten first.
const PREFIXES_MAX: usize = 4096;

/// OpenAI caches prompts from this length on, in tokens,
const OPENAI_TOKENS_MIN: u32 = 1024;
/// and tells cached tokens in steps of this many.
const OPENAI_TOKENS_STEP: u32 = 128;

/// What a cache did for a prompt, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheUse {
    pub(crate) read: u32,
    pub(crate) written_5m: u32,
    pub(crate) written_1h: u32,
}

impl CacheUse {
    /// Tokens written, whatever their lifetime.
    pub(crate) fn written(self) -> u32 {
        self.written_5m + self.written_1h
    }
}

/// The tokens of an answer, those of the input without what the cache read or
/// wrote: as Anthropic and Amazon count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u32,
    pub(crate) output: u32,
    pub(crate) cache: CacheUse,
}

impl Tokens {
    /// All of them.
    pub(crate) fn total(self) -> u32 {
        self.input + self.cache.read + self.cache.written() + self.output
    }
}

/// The prompts seen.
#[derive(Default)]
pub(crate) struct PromptCache(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    prefixes: HashSet<Prefix>,
    order: VecDeque<Prefix>,
}

/// The beginning of a prompt, up to some segment, for one model.
type Prefix = String;

impl PromptCache {
    /// Tokens read from an automatic cache: all whole steps of a long prompt
    /// that was seen before.
    pub(crate) fn automatic(&self, model: &str, prompt: &Prompt) -> u32 {
        let tokens = prompt.tokens();
        if tokens < OPENAI_TOKENS_MIN {
            return 0;
        }
        let texts = prompt.segments.iter().map(|segment| segment.text.as_str());
        let prefix = prefix_of(model, texts);
        if self.seen().remember(prefix) {
            0
        } else {
            tokens / OPENAI_TOKENS_STEP * OPENAI_TOKENS_STEP
        }
    }

    /// What a cache with breakpoints does: the longest prefix that was seen
    /// before is read, what follows it up to the last breakpoint is written.
    pub(crate) fn with_breakpoints(&self, model: &str, prompt: &Prompt) -> CacheUse {
        let mut seen = self.seen();
        let mut usage = CacheUse::default();
        let mut end = 0;
        for (index, segment) in prompt.segments.iter().enumerate() {
            end += segment.tokens;
            let Some(ttl) = segment.breakpoint else {
                continue;
            };
            let before = usage.read + usage.written();
            let texts = prompt.segments[..=index].iter().map(|it| it.text.as_str());
            let prefix = prefix_of(model, texts);
            match (seen.remember(prefix), ttl) {
                (false, _) => {
                    usage = CacheUse {
                        read: end,
                        ..CacheUse::default()
                    }
                }
                (true, Ttl::FiveMinutes) => usage.written_5m += end - before,
                (true, Ttl::OneHour) => usage.written_1h += end - before,
            }
        }
        usage
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing that holds the lock leaves the set half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether the prefix is new.
    fn remember(&mut self, prefix: Prefix) -> bool {
        if !self.prefixes.insert(prefix.clone()) {
            return false;
        }
        self.order.push_back(prefix);
        if self.order.len() > PREFIXES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.prefixes.remove(&oldest);
        }
        true
    }
}

/// A name for a prefix, of fixed length.
fn prefix_of<'a>(model: &str, texts: impl Iterator<Item = &'a str>) -> Prefix {
    let text = texts.fold(model.to_owned(), |text, segment| text + "\0" + segment);
    Seed::of_text(&text).id("prefix_", crate::seed::HEX, 32)
}
