//! Which hosts are model providers, and who bills for them.
//!
//! Only hosts that this catalogue knows are decrypted. It decides by name alone;
//! whether a path on such a host is an API that is understood is for
//! [`classify`](super::classify) to say.

mod builtin;
mod glob;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use builtin::BUILTIN;
use glob::Glob;

macro_rules! providers {
    ($($variant:ident => $name:literal,)*) => {
        /// Who bills for a host. Displayed by the value of OpenTelemetry's
        /// `gen_ai.provider.name`, or a lower-case name of ours where it has none.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Provider {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A name given in the configuration.
            Custom(Arc<str>),
        }

        impl Provider {
            /// The `gen_ai.provider.name` value.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Custom(name) => name,
                }
            }

            /// The provider of that name; a name that is not built in is custom.
            #[must_use]
            pub fn named(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Custom(name.into()),
                }
            }
        }
    };
}

providers! {
    OpenAi => "openai",
    AzureOpenAi => "azure.ai.openai",
    Anthropic => "anthropic",
    Bedrock => "aws.bedrock",
    SageMaker => "aws.sagemaker",
    Gemini => "gcp.gemini",
    Vertex => "gcp.vertex_ai",
    Cohere => "cohere",
    Groq => "groq",
    DeepSeek => "deepseek",
    Mistral => "mistral_ai",
    XAi => "x_ai",
    Perplexity => "perplexity",
    Moonshot => "moonshot_ai",
    OpenRouter => "openrouter",
    Together => "together",
    Fireworks => "fireworks",
    HuggingFace => "huggingface",
    GithubCopilot => "github_copilot",
    Cerebras => "cerebras",
    SambaNova => "sambanova",
    Nvidia => "nvidia",
    DeepInfra => "deepinfra",
    Nebius => "nebius",
    Alibaba => "alibaba",
    Vercel => "vercel",
    Meta => "meta",
    Lambda => "lambda",
    WeightsAndBiases => "wandb",
    Friendli => "friendli",
    Ollama => "ollama",
}

/// One line of configuration: hosts that `host` matches are billed by `provider`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    /// A host name, or a pattern. A leading label `*` stands for one or more
    /// labels; any other `*` for characters within its label, and for at least
    /// one where it is the whole label. `*` alone is every host.
    pub host: String,
    /// A `gen_ai.provider.name` value or a name of the operator's own: lower-case
    /// letters, digits, `.`, `_` and `-`, at most 64.
    pub provider: String,
}

/// A host rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogueError {
    /// The pattern can match no host.
    #[error(
        "{host:?} is not a host name or pattern: write letters, digits, hyphens, dots and `*`, \
         without scheme, port or path"
    )]
    Host {
        /// The pattern as given.
        host: String,
    },
    /// The provider cannot be a label.
    #[error(
        "{provider:?} is not a provider name: write at most 64 lower-case letters, digits, \
         dots, underscores and hyphens"
    )]
    Provider {
        /// The name as given.
        provider: String,
    },
}

/// The hosts that are model providers.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The first match wins; rules of the operator come before those built in.
    rules: Vec<(Glob, Provider)>,
    /// Hosts of which no connection passes uninspected.
    required: Vec<Glob>,
}

impl Catalogue {
    /// The hosts known to this build.
    #[must_use]
    pub fn builtin() -> Self {
        let rules = BUILTIN
            .iter()
            .filter_map(|(host, provider)| Some((Glob::from_str(host).ok()?, provider.clone())))
            .collect();
        Self {
            rules,
            required: Vec::new(),
        }
    }

    /// The same catalogue with rules put before its own, in the order given.
    ///
    /// # Errors
    /// Names the first rule whose host or provider is malformed.
    pub fn extended(self, rules: &[HostRule]) -> Result<Self, CatalogueError> {
        let mut all = Vec::with_capacity(rules.len() + self.rules.len());
        for rule in rules {
            if !is_provider_name(&rule.provider) {
                return Err(CatalogueError::Provider {
                    provider: rule.provider.clone(),
                });
            }
            all.push((rule.host.parse()?, Provider::named(&rule.provider)));
        }
        all.extend(self.rules);
        Ok(Self { rules: all, ..self })
    }

    /// The same catalogue in which hosts that a pattern matches must be inspected;
    /// patterns are those of [`HostRule::host`].
    ///
    /// # Errors
    /// Names the first pattern that is malformed.
    pub fn requiring(self, patterns: &[String]) -> Result<Self, CatalogueError> {
        let required: Result<_, _> = patterns.iter().map(|pattern| pattern.parse()).collect();
        Ok(Self {
            required: required?,
            ..self
        })
    }

    /// Whether `host` is a provider of which no connection may pass uninspected.
    #[must_use]
    pub fn must_inspect(&self, host: &str) -> bool {
        let host = normal(host);
        self.required.iter().any(|glob| glob.matches(&host)) && self.provider(&host).is_some()
    }

    /// Who bills for `host`, a name without port. Case and one trailing dot do
    /// not matter.
    #[must_use]
    pub fn provider(&self, host: &str) -> Option<&Provider> {
        let host = normal(host);
        if host.is_empty() {
            return None;
        }
        self.rules
            .iter()
            .find(|(glob, _)| glob.matches(&host))
            .map(|(_, provider)| provider)
    }

    /// DNS suffixes under which every host name lies that this catalogue can
    /// match, for the name constraints of an X.509 authority: sorted, none
    /// covered by another. `None` when a rule leaves no literal suffix, such as
    /// `*`. Rules for an IP address have no part in it.
    #[must_use]
    pub fn dns_suffixes(&self) -> Option<Vec<String>> {
        let mut suffixes = Vec::new();
        for (glob, _) in &self.rules {
            match glob {
                Glob::Address(_) => {}
                Glob::Everything => return None,
                Glob::Labels { .. } => suffixes.push(glob.literal_suffix()?),
            }
        }
        suffixes.sort_by_key(|suffix| suffix.len());
        let mut kept: Vec<String> = Vec::new();
        for suffix in suffixes {
            let covered = kept.iter().any(|outer| {
                suffix
                    .strip_suffix(outer.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            });
            if !covered {
                kept.push(suffix);
            }
        }
        kept.sort();
        Some(kept)
    }
}

/// A host name as patterns expect it: in lower case and without a trailing dot.
fn normal(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

fn is_provider_name(name: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
