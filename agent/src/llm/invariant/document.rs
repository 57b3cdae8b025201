//! Of JSON: a parser that builds the document sees the same values.

use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::invariant::check_splits;
use crate::llm::json::{EACH, Found, Interest, Path, Scanner, Table, Want};

static TABLE: Table<usize> = Table::new(INTERESTS);

/// One of each kind at places that documents have; none lies within another,
/// as what is within a wanted value is not reported.
const INTERESTS: &[Interest<usize>] = &[
    interest(&["model"], Want::Value, 0),
    interest(&["usage", "input_tokens"], Want::Scalar, 1),
    interest(&["usage", "details"], Want::Value, 2),
    interest(&["choices", EACH, "text"], Want::Text, 3),
    interest(&["choices", EACH, "delta"], Want::Source, 4),
    interest(&["error"], Want::Mark, 5),
    interest(&["items", EACH], Want::Scalar, 6),
];

const fn interest(path: Path, want: Want, slot: usize) -> Interest<usize> {
    Interest { path, want, slot }
}

/// What was found, without what it borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Value {
        slot: usize,
        raw: Vec<u8>,
        span: Range<usize>,
    },
    /// Its parts, put together.
    Text {
        slot: usize,
        bytes: Vec<u8>,
    },
    Mark {
        slot: usize,
    },
}

impl Seen {
    fn slot(&self) -> usize {
        match self {
            Self::Value { slot, .. } | Self::Text { slot, .. } | Self::Mark { slot } => *slot,
        }
    }
}

/// Of [`Scanner`]: however a document is split, the same is found; and what
/// `serde_json` takes for a document is one, in which it finds the same.
///
/// # Panics
/// If that does not hold.
pub fn of_json(bytes: &[u8]) {
    let (seen, keys, end, has_met_oversized) = check_splits(bytes, |pieces| {
        let mut scanner = Scanner::new(&TABLE);
        let (mut seen, mut keys) = (Vec::new(), Vec::new());
        for piece in pieces {
            scanner.push(piece, |found| match found {
                Found::Value {
                    slot,
                    raw,
                    key_at,
                    span,
                } => {
                    keys.push((key_at, span.start));
                    let raw = raw.to_vec();
                    seen.push(Seen::Value { slot, raw, span });
                }
                Found::Begin { slot, .. } => {
                    let bytes = Vec::new();
                    seen.push(Seen::Text { slot, bytes });
                }
                Found::Part { slot, bytes } => match seen.last_mut() {
                    Some(Seen::Text {
                        slot: begun,
                        bytes: text,
                    }) if *begun == slot => text.extend_from_slice(bytes),
                    other => panic!("a part of {slot} goes on after {other:?}"),
                },
                Found::Mark { slot } => seen.push(Seen::Mark { slot }),
            });
        }
        (seen, keys, scanner.end(), scanner.has_met_oversized())
    });
    for one in &seen {
        if let Seen::Value { raw, span, .. } = one {
            assert_eq!(bytes.get(span.clone()), Some(raw.as_slice()));
        }
    }
    let Ok(document) = serde_json::from_slice::<&RawValue>(bytes) else {
        return;
    };
    let close_at = end.expect("a parser takes it for a document").close_at;
    let text = document.get();
    let last = offset(bytes, text) + text.len();
    let is_scalar = !text.starts_with(['{', '[', '"']);
    if !is_scalar {
        assert_eq!(close_at + 1, last);
    }
    for (slot, wanted) in INTERESTS.iter().enumerate() {
        let mut expected = Vec::new();
        // Keys that are no text are a matter of taste.
        if walk(bytes, document, wanted.path, wanted, &mut expected).is_none() {
            return;
        }
        let found: Vec<_> = seen.iter().filter(|one| one.slot() == slot).collect();
        if !has_met_oversized {
            assert_eq!(
                found,
                expected.iter().collect::<Vec<_>>(),
                "{:?}",
                wanted.path
            );
        }
    }
    for (key_at, value_at) in keys {
        // Elements of arrays have no keys.
        let between = bytes.get(key_at..value_at).unwrap_or_default();
        assert!(between.starts_with(b"\""), "no key at {key_at}");
    }
}

/// Where in `bytes` its part `text` begins.
fn offset(bytes: &[u8], text: &str) -> usize {
    text.as_ptr().addr() - bytes.as_ptr().addr()
}

/// What is to be found below `value` along `path`, in order; `None` where a
/// parser would refuse a text on the way.
fn walk(
    bytes: &[u8],
    value: &RawValue,
    path: &[&str],
    wanted: &Interest<usize>,
    expected: &mut Vec<Seen>,
) -> Option<()> {
    let text = value.get();
    let Some((step, path)) = path.split_first() else {
        expected.extend(expectation(bytes, text, wanted)?);
        return Some(());
    };
    let mut json = serde_json::Deserializer::from_str(text);
    if text.starts_with('{') {
        let members = json.deserialize_map(Members).ok()?;
        for (_, member) in members.iter().filter(|(name, _)| name == step) {
            walk(bytes, member, path, wanted, expected)?;
        }
    } else if text.starts_with('[') && *step == EACH {
        for element in json.deserialize_seq(Elements).ok()? {
            walk(bytes, element, path, wanted, expected)?;
        }
    }
    Some(())
}

/// What is to be found of a value that is wanted.
fn expectation(bytes: &[u8], text: &str, wanted: &Interest<usize>) -> Option<Option<Seen>> {
    let slot = wanted.slot;
    let start = offset(bytes, text);
    let value = || Seen::Value {
        slot,
        raw: text.as_bytes().to_vec(),
        span: start..start + text.len(),
    };
    Some(match wanted.want {
        Want::Value => Some(value()),
        Want::Scalar => (!text.starts_with(['{', '['])).then(value),
        Want::Text if text.starts_with('"') => {
            let bytes = serde_json::from_str::<String>(text).ok()?.into_bytes();
            Some(Seen::Text { slot, bytes })
        }
        Want::Text => None,
        Want::Source => Some(Seen::Text {
            slot,
            bytes: text.as_bytes().to_vec(),
        }),
        Want::Mark => (text != "null").then_some(Seen::Mark { slot }),
    })
}

/// All members, also those of one name.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// All elements.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}
