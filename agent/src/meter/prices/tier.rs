//! The names of service tiers.

use std::borrow::Cow;

/// The service tier that a response states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tier<'a> {
    /// The one without a name in a price file.
    Standard,
    /// Another one, by the name that price files give it.
    Named(Cow<'a, str>),
}

impl<'a> Tier<'a> {
    /// The tier that a provider's word for it means. `auto` is what was asked
    /// for, not what was given, and is none that has a price.
    pub(super) fn stated(word: Option<&'a str>) -> Self {
        let Some(word) = word else {
            return Self::Standard;
        };
        let name = if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(word.to_ascii_lowercase())
        } else {
            Cow::Borrowed(word)
        };
        // Of Gemini, as the field is an enumeration of its API or of Vertex AI's:
        // SERVICE_TIER_FLEX, ON_DEMAND_PRIORITY.
        let bare = ["service_tier_", "on_demand_"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        match bare.unwrap_or(&name) {
            "" | "default" | "standard" | "on_demand" => Self::Standard,
            bare if bare.len() < name.len() => Self::Named(Cow::Owned(bare.to_owned())),
            _ => Self::Named(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_tiers_mean_the_same() {
        for standard in [
            "",
            "default",
            "STANDARD",
            "on_demand",
            "ON_DEMAND",
            "SERVICE_TIER_STANDARD",
        ] {
            assert_eq!(Tier::stated(Some(standard)), Tier::Standard, "{standard}");
        }
        assert_eq!(Tier::stated(None), Tier::Standard);
        for (word, expected) in [
            ("flex", "flex"),
            ("ON_DEMAND_PRIORITY", "priority"),
            ("SERVICE_TIER_FLEX", "flex"),
            ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
            ("auto", "auto"),
        ] {
            let expected = Tier::Named(expected.into());
            assert_eq!(Tier::stated(Some(word)), expected, "{word}");
        }
    }
}
