//! Which hosts are model providers, and who bills for them.
//!
//! Only hosts that this catalogue knows are decrypted. It decides by name alone;
//! whether a path on such a host is an API that is understood is for
//! [`classify`](super::classify) to say.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

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
    Gemini => "gcp.gemini",
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
}

/// Hosts that speak the formats weir reads. ChatGPT's own host is not here:
/// it serves a web application beside an API, and to decrypt that is for the
/// operator to choose.
const BUILTIN: &[(&str, Provider)] = &[
    ("api.openai.com", Provider::OpenAi),
    ("us.api.openai.com", Provider::OpenAi),
    ("eu.api.openai.com", Provider::OpenAi),
    ("ae.api.openai.com", Provider::OpenAi),
    ("au.api.openai.com", Provider::OpenAi),
    ("in.api.openai.com", Provider::OpenAi),
    ("jp.api.openai.com", Provider::OpenAi),
    ("*.openai.azure.com", Provider::AzureOpenAi),
    ("*.cognitiveservices.azure.com", Provider::AzureOpenAi),
    ("*.services.ai.azure.com", Provider::AzureOpenAi),
    ("api.anthropic.com", Provider::Anthropic),
    ("aws-external-anthropic.*.api.aws", Provider::Anthropic),
    ("claude.googleapis.com", Provider::Anthropic),
    ("bedrock-mantle.*.api.aws", Provider::Bedrock),
    ("generativelanguage.googleapis.com", Provider::Gemini),
    ("api.groq.com", Provider::Groq),
    ("api.deepseek.com", Provider::DeepSeek),
    ("api.mistral.ai", Provider::Mistral),
    ("api.eu.mistral.ai", Provider::Mistral),
    ("api.us.mistral.ai", Provider::Mistral),
    ("codestral.mistral.ai", Provider::Mistral),
    ("api.x.ai", Provider::XAi),
    ("api.perplexity.ai", Provider::Perplexity),
    ("api.moonshot.ai", Provider::Moonshot),
    ("api.moonshot.cn", Provider::Moonshot),
    ("openrouter.ai", Provider::OpenRouter),
    ("api.together.ai", Provider::Together),
    ("api.together.xyz", Provider::Together),
    ("api.fireworks.ai", Provider::Fireworks),
    ("router.huggingface.co", Provider::HuggingFace),
    ("*.githubcopilot.com", Provider::GithubCopilot),
    ("api.cerebras.ai", Provider::Cerebras),
    ("api.sambanova.ai", Provider::SambaNova),
    ("integrate.api.nvidia.com", Provider::Nvidia),
    ("api.deepinfra.com", Provider::DeepInfra),
    ("api.studio.nebius.ai", Provider::Nebius),
    ("dashscope.aliyuncs.com", Provider::Alibaba),
    ("dashscope-intl.aliyuncs.com", Provider::Alibaba),
    ("ai-gateway.vercel.sh", Provider::Vercel),
    ("api.meta.ai", Provider::Meta),
    ("api.llama.com", Provider::Meta),
    ("api.lambda.ai", Provider::Lambda),
    ("inference.wandb.ai", Provider::WeightsAndBiases),
    ("api.friendli.ai", Provider::Friendli),
];

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
}

impl Catalogue {
    /// The hosts known to this build.
    #[must_use]
    pub fn builtin() -> Self {
        let rules = BUILTIN
            .iter()
            .filter_map(|(host, provider)| Some((Glob::from_str(host).ok()?, provider.clone())))
            .collect();
        Self { rules }
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
        Ok(Self { rules: all })
    }

    /// Who bills for `host`, a name without port. Case and one trailing dot do
    /// not matter.
    #[must_use]
    pub fn provider(&self, host: &str) -> Option<&Provider> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return None;
        }
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        self.rules
            .iter()
            .find(|(glob, _)| glob.matches(host))
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

fn is_provider_name(name: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// A compiled host pattern; see [`HostRule::host`] for its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Glob {
    Everything,
    Address(IpAddr),
    Labels {
        /// The pattern began with a label `*`, which `labels` does not contain.
        any_prefix: bool,
        /// Lower-case, from the left; each may contain `*`.
        labels: Vec<String>,
    },
}

impl FromStr for Glob {
    type Err = CatalogueError;

    fn from_str(text: &str) -> Result<Self, CatalogueError> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let lower = text.to_ascii_lowercase();
        let pattern = lower.strip_suffix('.').unwrap_or(&lower);
        let (any_prefix, rest) = match pattern.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*'))
        };
        let labels: Vec<String> = rest.split('.').map(str::to_owned).collect();
        if pattern.len() > 253 || !labels.iter().all(|label| is_label(label)) {
            return Err(CatalogueError::Host {
                host: text.to_owned(),
            });
        }
        Ok(Self::Labels { any_prefix, labels })
    }
}

impl Glob {
    /// `host` is lower-case, not empty and without a trailing dot.
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Address(address) => host.parse() == Ok(*address),
            Self::Labels { any_prefix, labels } => {
                let mut rest = host.rsplit('.');
                let matched = labels.iter().rev().all(|pattern| {
                    rest.next()
                        .is_some_and(|label| label_matches(pattern.as_str(), label))
                });
                let mut left = rest.peekable();
                matched
                    && (left.peek().is_some() == *any_prefix)
                    && left.all(|label| !label.is_empty())
            }
        }
    }

    /// The labels to the right of the last wildcard; `None` when there are none.
    fn literal_suffix(&self) -> Option<String> {
        let Self::Labels { labels, .. } = self else {
            return None;
        };
        let literal: Vec<&str> = labels
            .rsplit(|label| label.contains('*'))
            .next()
            .unwrap_or_default()
            .iter()
            .map(String::as_str)
            .collect();
        (!literal.is_empty()).then(|| literal.join("."))
    }
}

/// Matches one label; `*` in `pattern` is any run of characters, possibly none,
/// except that the label itself is never empty.
fn label_matches(pattern: &str, label: &str) -> bool {
    if label.is_empty() {
        return false;
    }
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == label;
    };
    let Some(mut rest) = label.strip_prefix(head) else {
        return false;
    };
    let mut pieces = tail.split('*');
    let Some(last) = pieces.next_back() else {
        return false;
    };
    // Leftmost matches of the inner pieces leave the most for the last one.
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(rules: &[(&str, &str)]) -> Result<Catalogue, CatalogueError> {
        let rules: Vec<HostRule> = rules
            .iter()
            .map(|(host, provider)| HostRule {
                host: (*host).to_owned(),
                provider: (*provider).to_owned(),
            })
            .collect();
        Catalogue::builtin().extended(&rules)
    }

    #[test]
    fn every_builtin_pattern_compiles() {
        assert_eq!(Catalogue::builtin().rules.len(), BUILTIN.len());
    }

    #[test]
    fn builtin_hosts_have_their_provider() {
        let catalogue = Catalogue::builtin();
        let cases = [
            ("api.openai.com", Some("openai")),
            ("API.OpenAI.com.", Some("openai")),
            ("eu.api.openai.com", Some("openai")),
            ("xx.api.openai.com", None),
            ("openai.com", None),
            ("api.openai.com.evil.example", None),
            ("evilapi.openai.com", None),
            ("contoso.openai.azure.com", Some("azure.ai.openai")),
            ("a.b.openai.azure.com", Some("azure.ai.openai")),
            ("openai.azure.com", None),
            (".openai.azure.com", None),
            ("api.anthropic.com", Some("anthropic")),
            ("bedrock-mantle.eu-central-1.api.aws", Some("aws.bedrock")),
            ("bedrock-mantle..api.aws", None),
            ("bedrock-mantle.a.b.api.aws", None),
            ("api.x.ai", Some("x_ai")),
            ("", None),
            (".", None),
        ];
        for (host, provider) in cases {
            assert_eq!(
                catalogue.provider(host).map(Provider::as_str),
                provider,
                "{host}"
            );
        }
    }

    #[test]
    fn rules_of_the_operator_come_first() {
        let catalogue = extended(&[
            ("api.openai.com", "gateway"),
            ("llm-*.corp.example", "openai"),
            ("10.1.2.3", "vllm"),
        ])
        .expect("the rules are well formed");
        let name = |host| catalogue.provider(host).map(Provider::as_str);
        assert_eq!(name("api.openai.com"), Some("gateway"));
        assert_eq!(
            catalogue.provider("llm-a.corp.example"),
            Some(&Provider::OpenAi)
        );
        assert_eq!(name("llm-a.b.corp.example"), None);
        assert_eq!(name("10.1.2.3"), Some("vllm"));
        assert_eq!(name("10.1.2.30"), None);
    }

    #[test]
    fn malformed_rules_are_refused() {
        for host in [
            "",
            "https://a.example",
            "a..b",
            "a.example:443",
            "a/b",
            ".a",
            "ä.example",
        ] {
            assert!(
                matches!(extended(&[(host, "x")]), Err(CatalogueError::Host { .. })),
                "{host}"
            );
        }
        for provider in ["", "Upper", "with space"] {
            let result = extended(&[("a.example", provider)]);
            assert!(
                matches!(result, Err(CatalogueError::Provider { .. })),
                "{provider}"
            );
        }
    }

    #[test]
    fn wildcards_within_a_label_match_runs() {
        let cases = [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "ab", false),
            ("*", "", false),
            ("*", "x", true),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "axc", false),
            ("ab*ba", "aba", false),
        ];
        for (pattern, label, expected) in cases {
            assert_eq!(label_matches(pattern, label), expected, "{pattern} {label}");
        }
    }

    #[test]
    fn suffixes_cover_every_host_once() {
        let suffixes = Catalogue::builtin()
            .dns_suffixes()
            .expect("all built-in rules end in names");
        assert!(suffixes.contains(&"api.openai.com".to_owned()));
        assert!(suffixes.contains(&"openai.azure.com".to_owned()));
        assert!(suffixes.contains(&"api.aws".to_owned()));
        // Covered by api.openai.com.
        assert!(!suffixes.contains(&"eu.api.openai.com".to_owned()));
        for (host, _) in BUILTIN {
            let sample = host.replace('*', "x");
            assert!(
                suffixes
                    .iter()
                    .any(|suffix| sample == *suffix || sample.ends_with(&format!(".{suffix}"))),
                "{sample}"
            );
        }
    }

    #[test]
    fn a_rule_without_a_literal_suffix_has_no_constraint() {
        for host in ["*", "api.*"] {
            let catalogue = extended(&[(host, "x")]).expect("well formed");
            assert_eq!(catalogue.dns_suffixes(), None, "{host}");
            assert!(catalogue.provider("api.anything").is_some(), "{host}");
        }
        let suffixes = extended(&[("192.0.2.1", "x")])
            .expect("well formed")
            .dns_suffixes();
        assert!(suffixes.is_some_and(|all| !all.contains(&"192.0.2.1".to_owned())));
    }
}
