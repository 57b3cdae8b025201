//! Host patterns; [`HostRule::host`](super::HostRule::host) says what they mean.

use std::net::IpAddr;
use std::str::FromStr;

use super::CatalogueError;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glob {
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
    pub(super) fn matches(&self, host: &str) -> bool {
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
    pub(super) fn literal_suffix(&self) -> Option<String> {
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
}
