//! Label values from outside, of which there is a bounded number.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus::IntCounter;

/// Longest label value, in bytes.
const VALUE_LEN_MAX: usize = 100;

/// Stands for every value past the bound.
const OTHER: &str = "other";

/// Stands for a value that is not known.
const UNKNOWN: &str = "unknown";

/// Whether a value is among those that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is, or there is none.
    Found,
    /// It is not, and was counted as that.
    Overflown,
}

/// The values that a label has taken.
#[derive(Debug)]
pub(super) struct Bounded {
    most: usize,
    seen: Mutex<HashSet<String>>,
    overflow: IntCounter,
}

impl Bounded {
    /// `overflow` counts values that did not fit among the first `most`.
    pub(super) fn new(most: usize, overflow: IntCounter) -> Self {
        Self {
            most,
            seen: Mutex::default(),
            overflow,
        }
    }

    /// The value to use in a label for `value`: mostly that itself.
    pub(super) fn admit<'a>(&self, value: Option<&'a str>) -> (Cow<'a, str>, Room) {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return (UNKNOWN.into(), Room::Found);
        };
        let cut = value
            .get(..value.floor_char_boundary(VALUE_LEN_MAX))
            .unwrap_or_default();
        let clean: Cow<'_, str> = if cut.contains(char::is_control) {
            cut.replace(char::is_control, "_").into()
        } else {
            cut.into()
        };
        // A set of strings is whole after any panic.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&*clean) {
            return (clean, Room::Found);
        }
        if seen.len() >= self.most {
            self.overflow.inc();
            return (OTHER.into(), Room::Overflown);
        }
        seen.insert(clean.clone().into_owned());
        (clean, Room::Found)
    }

    /// As [`admit`](Self::admit), where the conventions leave out what is not
    /// known: an empty value is no label.
    pub(super) fn admit_or_empty<'a>(&self, value: Option<&'a str>) -> (Cow<'a, str>, Room) {
        let nothing = || (Cow::default(), Room::Found);
        value.map_or_else(nothing, |value| self.admit(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_past_the_bound_are_other_and_counted() {
        let overflow = IntCounter::new("overflow", "test").expect("well formed");
        let bounded = Bounded::new(2, overflow.clone());
        let admitted = ["a", "b", "c", "a", "c"].map(|value| bounded.admit(Some(value)));
        let rooms = admitted.each_ref().map(|(_, room)| *room);
        assert_eq!(
            admitted.map(|(label, _)| label),
            ["a", "b", "other", "a", "other"]
        );
        use Room::{Found, Overflown};
        assert_eq!(rooms, [Found, Found, Overflown, Found, Overflown]);
        assert_eq!(overflow.get(), 2);
        assert_eq!(bounded.admit(None).0, "unknown");
        assert_eq!(bounded.admit_or_empty(None).0, "");
        assert_eq!(overflow.get(), 2);
    }

    #[test]
    fn values_are_short_and_printable() {
        let overflow = IntCounter::new("overflow", "test").expect("well formed");
        let bounded = Bounded::new(9, overflow);
        assert_eq!(bounded.admit(Some("a\nb")).0, "a_b");
        assert_eq!(bounded.admit(Some(&"\u{20ac}".repeat(50))).0.len(), 99);
    }
}
