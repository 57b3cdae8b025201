//! Patterns of names, as rules about exports write them: `*` stands for any
//! characters, also none; case does not matter.

use serde::Deserialize;

/// Longest pattern, in bytes: no name is longer.
const LEN_MAX: usize = 256;

/// A pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    /// What stands between the stars, lower-case: at least one part.
    parts: Vec<String>,
}

impl Default for Pattern {
    /// The pattern of every name.
    fn default() -> Self {
        Self {
            parts: vec![String::new(), String::new()],
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > LEN_MAX {
            return Err("expected a name of at most 256 bytes, in which `*` stands for anything");
        }
        Ok(Self {
            parts: text
                .to_ascii_lowercase()
                .split('*')
                .map(str::to_owned)
                .collect(),
        })
    }
}

impl Pattern {
    /// Whether every name matches, also one that is not known.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().all(String::is_empty)
    }

    /// Whether `name` matches. A name that is not known matches `*` alone.
    #[must_use]
    pub fn matches(&self, name: Option<&str>) -> bool {
        let Some(name) = name else {
            return self.is_everything();
        };
        let lower = name.to_ascii_lowercase();
        let Some((first, after)) = self.parts.split_first() else {
            return false;
        };
        let Some((last, between)) = after.split_last() else {
            return lower == *first;
        };
        let Some(mut rest) = lower.strip_prefix(first.as_str()) else {
            return false;
        };
        // The leftmost place of each part leaves the most room for the next.
        for part in between {
            let Some((_, behind)) = rest.split_once(part.as_str()) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("gpt-4o", &["gpt-4o", "GPT-4o"], &["gpt-4o-mini", ""]),
            ("gpt-*", &["gpt-4", "gpt-"], &["my-gpt-4"]),
            ("*.example.com", &["a.b.example.com"], &["example.com"]),
            ("a*b*a", &["aba", "axbya", "abba"], &["aa", "ab", "ba"]),
            ("*", &["", "anything"], &[]),
        ];
        for (pattern, good, bad) in cases {
            let pattern = Pattern::try_from(pattern.to_owned()).expect("a pattern");
            for name in good {
                assert!(pattern.matches(Some(name)), "{pattern:?} {name}");
            }
            for name in bad {
                assert!(!pattern.matches(Some(name)), "{pattern:?} {name}");
            }
        }
    }

    #[test]
    fn what_is_not_known_matches_only_everything() {
        assert!(Pattern::default().matches(None));
        assert!(Pattern::default().is_everything());
        let pattern = Pattern::try_from("gpt*".to_owned()).expect("a pattern");
        assert!(!pattern.matches(None));
        assert!(Pattern::try_from(String::new()).is_err());
    }
}
