//! A JSON array that is written element by element: how Google streams where
//! `alt=sse` is not asked for.
//!
//! Element boundaries do not align with anything in the transport. [`Reader`]
//! finds them by counting brackets outside of strings, and hands the bytes of an
//! element on as they come; whether they are JSON is for who scans them. A root
//! that is not an array is one element: an error may come without its brackets.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use memchr::memchr2;

use super::sse::Piece;

/// Where in the array the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the root, of which nothing was seen.
    Root,
    /// Before an element, or the end of an empty array.
    Element,
    /// In an element.
    Within { depth: u32, text: Text },
    /// After an element.
    Comma,
    /// After the root.
    Done,
    /// After what is not an array.
    Broken,
}

/// Where in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

/// Reads an array.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    /// The root is the only element.
    is_bare: bool,
    /// The root has ended, whatever follows.
    has_ended: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            place: Place::Root,
            is_bare: false,
            has_ended: false,
        }
    }
}

impl Reader {
    /// Reads the next bytes of the body.
    pub fn push(&mut self, mut bytes: &[u8], mut out: impl FnMut(Piece<'_>)) {
        while let Some(&byte) = bytes.first() {
            if let Place::Within { depth, text } = self.place {
                let (length, place) = self.within(depth, text, bytes);
                let (element, after) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                if !element.is_empty() {
                    out(Piece::Data(element));
                }
                if !matches!(place, Place::Within { .. }) {
                    out(Piece::End);
                }
                self.move_to(place);
                bytes = after;
                continue;
            }
            let is_mark = matches!(byte, 0xef | 0xbb | 0xbf) && self.place == Place::Root;
            let begins = Place::Within {
                depth: 0,
                text: Text::Outside,
            };
            let (place, consumed) = match (self.place, byte) {
                (place, _) if byte.is_ascii_whitespace() || is_mark => (place, 1),
                (Place::Root, b'[') => (Place::Element, 1),
                (Place::Root, _) => {
                    self.is_bare = true;
                    (begins, 0)
                }
                (Place::Element | Place::Comma, b']') => (Place::Done, 1),
                (Place::Element, b',') => (Place::Broken, 1),
                (Place::Element, _) => (begins, 0),
                (Place::Comma, b',') => (Place::Element, 1),
                (Place::Comma | Place::Done | Place::Broken | Place::Within { .. }, _) => {
                    (Place::Broken, 1)
                }
            };
            self.move_to(place);
            bytes = bytes.get(consumed..).unwrap_or_default();
            if place == Place::Broken {
                return;
            }
        }
    }

    fn move_to(&mut self, place: Place) {
        self.place = place;
        self.has_ended |= place == Place::Done;
    }

    /// Reads on in an element: how many bytes belong to it, and where that leads.
    fn within(&self, mut depth: u32, mut text: Text, bytes: &[u8]) -> (usize, Place) {
        let after_element = if self.is_bare {
            Place::Done
        } else {
            Place::Comma
        };
        let mut at = 0_usize;
        while let Some(&byte) = bytes.get(at) {
            let next = at.saturating_add(1);
            match text {
                Text::Escaped => text = Text::Inside,
                Text::Inside => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(length) = memchr2(b'"', b'\\', rest) else {
                        return (bytes.len(), Place::Within { depth, text });
                    };
                    at = at.saturating_add(length);
                    text = if bytes.get(at) == Some(&b'"') {
                        Text::Outside
                    } else {
                        Text::Escaped
                    };
                    at = at.saturating_add(1);
                    continue;
                }
                Text::Outside => match byte {
                    b'"' => text = Text::Inside,
                    b'{' | b'[' => depth = depth.saturating_add(1),
                    // What delimits a scalar is not part of it.
                    b',' | b']' | b'}' if depth == 0 => return (at, after_element),
                    b'}' | b']' => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return (next, after_element);
                        }
                    }
                    _ => {}
                },
            }
            at = next;
        }
        (at, Place::Within { depth, text })
    }

    /// Whether the root has ended, even if something follows. A bare scalar has no
    /// end but that of the body.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether what was read is not an array of elements.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.place == Place::Broken
    }

    /// Whether the body ended within an element.
    #[must_use]
    pub fn is_within_element(&self) -> bool {
        matches!(self.place, Place::Within { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Seen {
        elements: Vec<String>,
        unfinished: Option<String>,
        state: &'static str,
    }

    fn read(pieces: &[&[u8]]) -> Seen {
        let (mut elements, mut data) = (Vec::new(), Vec::new());
        let mut reader = Reader::default();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the cases are text");
        for piece in pieces {
            reader.push(piece, |piece| match piece {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::End => elements.push(text(std::mem::take(&mut data))),
            });
        }
        Seen {
            elements,
            unfinished: reader.is_within_element().then(|| text(data)),
            state: match (reader.has_ended(), reader.is_broken()) {
                (true, false) => "ended",
                (true, true) => "ended, and more follows",
                (false, true) => "broken",
                (false, false) => "open",
            },
        }
    }

    #[test]
    fn elements_are_the_same_at_every_split() {
        let cases: [(&str, &[&str], Option<&str>, &str); 16] = [
            ("[{\"a\":1}\n,\n{}\n]", &["{\"a\":1}", "{}"], None, "ended"),
            ("\u{feff} [{}]\n", &["{}"], None, "ended"),
            ("[]", &[], None, "ended"),
            (
                r#"[{"a":"]},{\"\\"},[1,[2]]]"#,
                &[r#"{"a":"]},{\"\\"}"#, "[1,[2]]"],
                None,
                "ended",
            ),
            (
                r#"[1,"a,b", true ]"#,
                &["1", "\"a,b\"", "true "],
                None,
                "ended",
            ),
            (r#"{"error":{}}"#, &[r#"{"error":{}}"#], None, "ended"),
            (r#"[{"error":{}}]"#, &[r#"{"error":{}}"#], None, "ended"),
            ("7", &[], Some("7"), "open"),
            ("[{},", &["{}"], None, "open"),
            ("[{},{\"a\":\"\\", &["{}"], Some("{\"a\":\"\\"), "open"),
            ("[", &[], None, "open"),
            ("[{}{}]", &["{}"], None, "broken"),
            ("[,]", &[], None, "broken"),
            ("[]x", &[], None, "ended, and more follows"),
            ("{}{}", &["{}"], None, "ended, and more follows"),
            ("[}]", &[""], None, "broken"),
        ];
        for (body, elements, unfinished, state) in cases {
            let expected = Seen {
                elements: elements.iter().map(ToString::to_string).collect(),
                unfinished: unfinished.map(str::to_owned),
                state,
            };
            let bytes = body.as_bytes();
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(read(&[head, tail]), expected, "{body:?} split at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&single), expected, "{body:?} byte by byte");
        }
    }

    #[test]
    fn endless_nesting_costs_nothing() {
        let mut reader = Reader::default();
        for _ in 0..1_000 {
            reader.push(&[b'['; 1_000], |_| {});
        }
        assert!(reader.is_within_element());
    }
}
