//! Where the keys of a document lead, and the memory of it: the documents of a
//! stream have the same keys in the same order, and each is to be compared with
//! the names in a table once.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::Interest;

/// Keys remembered, at 32 bytes each and their own length.
const KEYS_MAX: usize = 32;
/// Longest key remembered, in bytes.
const KEY_LEN_MAX: usize = 64;
/// Keys that are compared before any is remembered: a short document that is the
/// only one gains nothing from a memory.
const KEYS_BEFORE: usize = 64;

/// Interests that lead to a value: one bit each, by their place in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Led {
    /// Those that ask for the value itself.
    pub(super) here: u64,
    /// Those that ask for something in it.
    pub(super) deeper: u64,
}

impl Led {
    /// Of interests that lead to a value which is in `depth` containers.
    pub(super) fn split<S>(live: u64, depth: usize, interests: &'static [Interest<S>]) -> Self {
        let mut led = Self::default();
        for (interest, wanted) in select(live, interests) {
            if wanted.path.len() > depth {
                led.deeper |= bit(interest);
            } else {
                led.here |= bit(interest);
            }
        }
        led
    }
}

/// A key that was compared.
#[derive(Debug)]
struct Key {
    live: u64,
    led: Led,
    depth: u16,
    /// Of its name.
    first: Option<u8>,
    /// Where its name is among those of all keys.
    start: u16,
    length: u16,
}

/// Remembers keys.
#[derive(Debug, Default)]
pub(super) struct Routes {
    keys: Vec<Key>,
    names: Vec<u8>,
    /// The key that is likely next.
    next: usize,
    /// Keys compared with the table, as far as they are counted.
    compared: usize,
}

impl Routes {
    /// The next document begins.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// Where `name` leads from a container that is one of `depth`, into which
    /// `live` lead.
    pub(super) fn lead<S>(
        &mut self,
        name: &[u8],
        live: u64,
        depth: usize,
        interests: &'static [Interest<S>],
    ) -> Led {
        if live == 0 {
            return Led::default();
        }
        if let Some(led) = self.known(self.next, name, live, depth) {
            self.next = self.next.saturating_add(1);
            return led;
        }
        let first = name.first().copied();
        let alike = (self.keys.iter().enumerate()).filter(|(_, key)| key.first == first);
        let mut found = alike.filter_map(|(at, _)| Some((at, self.known(at, name, live, depth)?)));
        if let Some((at, led)) = found.next() {
            self.next = at.saturating_add(1);
            return led;
        }
        let led = Led::split(lead_by(name, live, depth, interests), depth, interests);
        self.remember(name, live, depth, led);
        led
    }

    fn known(&self, at: usize, name: &[u8], live: u64, depth: usize) -> Option<Led> {
        let key = self.keys.get(at)?;
        if key.live != live || usize::from(key.length) != name.len() {
            return None;
        }
        let start = usize::from(key.start);
        let known = self.names.get(start..start.saturating_add(name.len()))?;
        (known == name && usize::from(key.depth) == depth).then_some(key.led)
    }

    fn remember(&mut self, name: &[u8], live: u64, depth: usize, led: Led) {
        if self.compared < KEYS_BEFORE {
            self.compared = self.compared.saturating_add(1);
            return;
        }
        if self.keys.len() >= KEYS_MAX || name.len() > KEY_LEN_MAX {
            return;
        }
        let (Ok(start), Ok(length), Ok(depth)) = (
            u16::try_from(self.names.len()),
            u16::try_from(name.len()),
            u16::try_from(depth),
        ) else {
            return;
        };
        self.names.extend_from_slice(name);
        self.next = self.keys.len().saturating_add(1);
        self.keys.push(Key {
            live,
            led,
            depth,
            first: name.first().copied(),
            start,
            length,
        });
    }
}

/// Those of `live` whose path goes on with `step` from a container that is one of
/// `depth`.
pub(super) fn lead_by<S>(
    step: &[u8],
    live: u64,
    depth: usize,
    interests: &'static [Interest<S>],
) -> u64 {
    let first = step.first();
    select(live, interests)
        .filter(|(_, wanted)| {
            let name = wanted.path.get(depth.saturating_sub(1));
            name.map(|name| name.as_bytes()).is_some_and(|name| {
                // Hardly any but the name itself agrees in both.
                name.len() == step.len() && name.first() == first && name == step
            })
        })
        .fold(0, |mask, (interest, _)| mask | bit(interest))
}

fn bit(interest: usize) -> u64 {
    u32::try_from(interest)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift))
        .unwrap_or(0)
}

/// The interests whose bits are set.
pub(super) fn select<S>(
    mut mask: u64,
    interests: &'static [Interest<S>],
) -> impl Iterator<Item = (usize, &'static Interest<S>)> {
    std::iter::from_fn(move || {
        let interest = usize::try_from(mask.trailing_zeros()).ok()?;
        // Past the table, and past the mask when it is empty.
        let wanted = interests.get(interest)?;
        mask &= mask.wrapping_sub(1);
        Some((interest, wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Want;
    use super::*;

    const fn value(path: &'static [&'static str]) -> Interest<()> {
        Interest {
            path,
            want: Want::Value,
            slot: (),
        }
    }

    const TABLE: &[Interest<()>] = &[
        value(&["model"]),
        value(&["usage"]),
        value(&["usage", "input"]),
        value(&["modes", "model"]),
        value(&["usage", "model", "input"]),
        value(&[""]),
    ];

    #[test]
    fn a_memory_leads_where_the_table_does() {
        let live = u64::MAX;
        let others: Vec<_> = (0..2 * KEYS_MAX).map(|key| format!("key-{key}")).collect();
        let names = ["model", "modes", "usage", "input", "", "umage"];
        let names: Vec<_> = names
            .into_iter()
            .chain(others.iter().map(String::as_str))
            .collect();
        let mut routes = Routes::default();
        for document in 0..6 {
            routes.begin();
            // In one order, and then in the other.
            let mut order = names.clone();
            if document % 2 == 1 {
                order.reverse();
            }
            for name in order {
                for (live, depth) in [(live, 1), (0b1_0110, 2), (0b1_0000, 3), (live, 2), (0, 1)] {
                    let plain = lead_by(name.as_bytes(), live, depth, TABLE);
                    assert_eq!(
                        routes.lead(name.as_bytes(), live, depth, TABLE),
                        Led::split(plain, depth, TABLE),
                        "{name} in {depth}, document {document}"
                    );
                }
            }
        }
        assert_eq!(routes.keys.len(), KEYS_MAX);
    }

    #[test]
    fn a_short_document_alone_is_not_remembered() {
        let mut routes = Routes::default();
        for key in 0..KEYS_BEFORE {
            routes.lead(format!("key-{key}").as_bytes(), u64::MAX, 1, TABLE);
        }
        assert!(routes.keys.is_empty());
        for document in 0..3 {
            routes.begin();
            routes.lead(b"model", u64::MAX, 1, TABLE);
            assert_eq!(routes.keys.len(), 1, "document {document}");
        }
    }
}
