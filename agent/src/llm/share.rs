//! Which model used what, where several had a part in one response.
//!
//! Each has a price of its own, so that the sum alone cannot be priced.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// Most models told apart in one exchange. What further ones use is that of
/// nobody, which has no price.
const SHARES_MAX: usize = 16;

/// What one model used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The model; `None` is one that nobody names.
    pub model: Option<String>,
    /// What it used.
    pub usage: Usage,
}

/// The usage of an exchange by model; all of it adds up to the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// What the model used that the response names; `None` if that one passed
    /// all of the work on.
    pub own: Option<Usage>,
    /// What the others used.
    pub others: Vec<Share>,
}

/// Shares by model, at most [`SHARES_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares(Vec<Share>);

impl Shares {
    /// Adds to what a model used.
    pub(super) fn add(&mut self, model: Option<&str>, usage: &Usage) {
        let is_full = self.0.len() >= SHARES_MAX;
        let known = self
            .0
            .iter_mut()
            .find(|share| share.model.as_deref() == model);
        if let Some(share) = known {
            share.usage = share.usage.plus(usage);
        } else if is_full {
            if let Some(last) = self.0.last_mut() {
                last.model = None;
                last.usage = last.usage.plus(usage);
            }
        } else {
            self.0.push(Share {
                model: model.map(str::to_owned),
                usage: *usage,
            });
        }
    }

    /// Adds all of another's.
    pub(super) fn extend(&mut self, other: Self) {
        for share in other.0 {
            self.add(share.model.as_deref(), &share.usage);
        }
    }

    /// Takes a model's share out.
    pub(super) fn take(&mut self, model: &str) -> Option<Usage> {
        let at = self
            .0
            .iter()
            .position(|share| share.model.as_deref() == Some(model))?;
        Some(self.0.remove(at).usage)
    }

    /// Gives what nobody's model used to `model`, once that is known.
    pub(super) fn name(&mut self, model: &str) {
        for share in &mut self.0 {
            share.model.get_or_insert_with(|| model.to_owned());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same in other terms.
    pub(super) fn map(mut self, terms: impl Fn(Usage) -> Usage) -> Self {
        for share in &mut self.0 {
            share.usage = terms(share.usage);
        }
        self
    }

    pub(super) fn sum(&self) -> Usage {
        self.0
            .iter()
            .fold(Usage::default(), |sum, share| sum.plus(&share.usage))
    }
}

/// What is stated of the model that the response names, and of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stated {
    /// What the model used; where it passed all on, what the others did.
    pub(super) own: Usage,
    pub(super) others: Shares,
    /// What the others used is all there is, and `own` its sum.
    pub(super) is_passed_on: bool,
}

impl Stated {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.others.is_empty()
    }

    /// The whole, and its parts where there are several, once it is settled what
    /// the model itself used.
    pub(super) fn settled(self, own: Usage) -> (Usage, Option<Box<Split>>) {
        if self.others.is_empty() {
            return (own, None);
        }
        let whole = if self.is_passed_on {
            own
        } else {
            own.plus(&self.others.sum())
        };
        let split = Split {
            own: (!self.is_passed_on).then_some(own),
            others: self.others.0,
        };
        (whole, Some(Box::new(split)))
    }
}

impl From<Usage> for Stated {
    fn from(own: Usage) -> Self {
        Self {
            own,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(input: u64) -> Usage {
        Usage {
            input: Some(input),
            ..Usage::default()
        }
    }

    #[test]
    fn more_models_than_are_told_apart_have_no_name() {
        let mut shares = Shares::default();
        for model in 0..SHARES_MAX * 2 {
            shares.add(Some(&model.to_string()), &used(1));
        }
        assert_eq!(shares.0.len(), SHARES_MAX);
        assert_eq!(shares.sum(), used(SHARES_MAX as u64 * 2));
        assert_eq!(shares.0.last().and_then(|last| last.model.clone()), None);
    }

    #[test]
    fn what_a_model_uses_adds_up() {
        let mut shares = Shares::default();
        shares.add(Some("a"), &used(1));
        shares.add(None, &used(2));
        shares.add(Some("a"), &used(4));
        assert_eq!(shares.take("a"), Some(used(5)));
        assert_eq!(shares.take("a"), None);
        shares.name("b");
        assert_eq!(shares.take("b"), Some(used(2)));
    }
}
