//! One price: a decimal, never a float.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de};

use super::kind::Kind;

/// Digits after the point that a price may have. Those per million tokens have
/// six at most; a price of a minute divided by sixty has all that its writer had
/// room for. A million units of it still come out exactly.
const SCALE_MAX: u32 = 20;

/// Dearest price that is believed, in US dollars: per million tokens or per piece
/// of anything else. What is above is a slip of units, and would overflow.
const RATE_MAX: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// US dollars per million tokens or per piece of something else, or a factor. Written
/// as a string, so that no reader takes it for a float; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(pub(super) Decimal);

/// Prices by what they are of.
pub(super) type Rates = BTreeMap<Kind, Rate>;

impl Rate {
    /// A price, if it is one that is believed.
    pub(super) fn new(decimal: Decimal) -> Option<Self> {
        let decimal = decimal.normalize();
        let is_believed =
            (Decimal::ZERO..=RATE_MAX).contains(&decimal) && decimal.scale() <= SCALE_MAX;
        is_believed.then_some(Self(decimal))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(out)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Decimal::from_str_exact(&text)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "{text:?} is not a decimal such as \"0.25\", of at most {SCALE_MAX} digits \
                     after the point and {RATE_MAX}"
                ))
            })
    }
}
