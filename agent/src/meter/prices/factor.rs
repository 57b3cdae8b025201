//! Factors on the cost of tokens: where a request is processed, and how fast.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What a factor depends on. Written as `region:eu`, `geo:us`, `speed:fast` or
/// `endpoint:regional`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Factor {
    /// The first label of the host that was called, as in `eu.api.openai.com`.
    Region(String),
    /// Where the response says it was computed.
    Geo(String),
    /// The speed that the response states.
    Speed(String),
    /// Vertex AI in a region, or in several, instead of anywhere.
    RegionalEndpoint,
}

impl Factor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "endpoint:regional" {
            return Some(Self::RegionalEndpoint);
        }
        let (kind, value) = text.split_once(':')?;
        let value = Some(value.to_owned()).filter(|value| !value.is_empty())?;
        match kind {
            "region" => Some(Self::Region(value)),
            "geo" => Some(Self::Geo(value)),
            "speed" => Some(Self::Speed(value)),
            _ => None,
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(label) => write!(out, "region:{label}"),
            Self::Geo(geo) => write!(out, "geo:{geo}"),
            Self::Speed(speed) => write!(out, "speed:{speed}"),
            Self::RegionalEndpoint => out.write_str("endpoint:regional"),
        }
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no multiplier, expected region:…, geo:…, speed:… or endpoint:regional"
            ))
        })
    }
}

/// The label by which some providers' hosts say where they process: the first,
/// as in `eu.api.openai.com`.
pub(super) fn region_label(host: &str) -> Option<&str> {
    host.split_once('.').map(|(label, _)| label)
}

/// The region of AWS in a host name such as
/// `bedrock-runtime.eu-west-1.amazonaws.com`.
pub(super) fn aws_region(host: &str) -> Option<&str> {
    // Most hosts have no number at all.
    let mut labels = host
        .bytes()
        .any(|byte| byte.is_ascii_digit())
        .then(|| host.split('.'))?;
    labels.find(|label| {
        let mut parts = label.rsplit('-');
        let is_numbered = parts
            .next()
            .is_some_and(|last| last.len() == 1 && last.bytes().all(|byte| byte.is_ascii_digit()));
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        is_numbered && parts.clone().count() >= 2 && parts.all(is_word)
    })
}

/// Whether a host of Vertex AI is that of a region, or of several.
pub(super) fn is_regional_endpoint(host: &str) -> bool {
    host.contains("-aiplatform.")
        || (host.starts_with("aiplatform.") && host.contains(".rep.googleapis.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_say_where_they_are() {
        for (host, expected) in [
            ("bedrock-runtime.eu-west-1.amazonaws.com", Some("eu-west-1")),
            (
                "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
                Some("us-gov-west-1"),
            ),
            ("bedrock-mantle.ap-south-1.api.aws", Some("ap-south-1")),
            ("api.openai.com", None),
            ("aiplatform.us.rep.googleapis.com", None),
            ("my-model-1x.example", None),
        ] {
            assert_eq!(aws_region(host), expected, "{host}");
        }
        for (host, expected) in [
            ("aiplatform.googleapis.com", false),
            ("aiplatform.mtls.googleapis.com", false),
            ("us-central1-aiplatform.googleapis.com", true),
            ("aiplatform.eu.rep.googleapis.com", true),
        ] {
            assert_eq!(is_regional_endpoint(host), expected, "{host}");
        }
    }
}
