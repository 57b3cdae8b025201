//! `multipart/form-data`, for the few short fields that name a model: files
//! beside them pass unheld.
//!
//! RFC 2046 §5.1 and RFC 7578. Parts that carry a file name or are longer than
//! the bound are not fields. What does not fit the grammar ends the reading.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use memchr::memmem;

/// Longest boundary allowed (RFC 2046 §5.1.1).
const BOUNDARY_LEN_MAX: usize = 70;
/// Most bytes of headers of a part: two lines, of which one names a file.
const PART_HEAD_LEN_MAX: usize = 4 * 1024;
/// Longest value held. Names of models and flags are shorter; of prompts only
/// the length is of interest.
const VALUE_LEN_MAX: usize = 256;

/// A field that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; `None` if that is longer than the bound.
    pub value: Option<&'a [u8]>,
    /// Length of the value in bytes.
    pub len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// After a boundary: two bytes say whether a part follows.
    Boundary,
    Head,
    Body,
    /// After the last boundary, or after what is no form.
    Over,
}

/// Reads a form as it streams by.
#[derive(Debug)]
pub struct Reader {
    /// `\r\n--` and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// Bytes that are not decided upon yet.
    pending: Vec<u8>,
    /// Of the part, unless it is a file.
    name: Option<String>,
    value: Vec<u8>,
    len: u64,
    is_complete: bool,
}

impl Reader {
    /// A reader for a body of that `Content-Type`; `None` if it is another, or
    /// has no boundary.
    #[must_use]
    pub fn new(content_type: &str) -> Option<Self> {
        let (essence, parameters) = content_type.split_once(';')?;
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary")?;
        if !(1..=BOUNDARY_LEN_MAX).contains(&boundary.len()) {
            return None;
        }
        Some(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            state: State::Preamble,
            // The first boundary may lack the line break before it.
            pending: b"\r\n".to_vec(),
            name: None,
            value: Vec::new(),
            len: 0,
            is_complete: false,
        })
    }

    /// Reads the next piece.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Field<'_>)) {
        if self.state == State::Over {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        while let Some(after) = self.step(rest, &mut found) {
            rest = after;
        }
        if self.state != State::Over {
            self.pending = self.undecided(rest).to_vec();
        }
    }

    /// Whether the last boundary was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes one element off the front; `None` if more bytes are needed.
    fn step<'a>(&mut self, rest: &'a [u8], found: &mut impl FnMut(Field<'_>)) -> Option<&'a [u8]> {
        match self.state {
            State::Over => None,
            State::Preamble => {
                let at = memmem::find(rest, &self.delimiter)?;
                self.state = State::Boundary;
                rest.get(at.saturating_add(self.delimiter.len())..)
            }
            State::Boundary => {
                let (marker, after) = rest.split_at_checked(2)?;
                self.state = if marker == b"\r\n" {
                    State::Head
                } else {
                    State::Over
                };
                self.is_complete = marker == b"--";
                Some(after)
            }
            State::Head => {
                let Some(end) = memmem::find(rest, b"\r\n\r\n") else {
                    if rest.len() > PART_HEAD_LEN_MAX {
                        self.state = State::Over;
                    }
                    return None;
                };
                if end > PART_HEAD_LEN_MAX {
                    self.state = State::Over;
                    return None;
                }
                self.name = rest.get(..end).and_then(field_name);
                self.value.clear();
                self.len = 0;
                self.state = State::Body;
                rest.get(end.saturating_add(4)..)
            }
            State::Body => {
                let Some(at) = memmem::find(rest, &self.delimiter) else {
                    let decided = rest.len().saturating_sub(self.undecided(rest).len());
                    self.take(rest.get(..decided).unwrap_or_default());
                    return None;
                };
                self.take(rest.get(..at).unwrap_or_default());
                if let Some(name) = &self.name {
                    let is_held = self.len <= VALUE_LEN_MAX as u64;
                    found(Field {
                        name,
                        value: is_held.then_some(self.value.as_slice()),
                        len: self.len,
                    });
                }
                self.state = State::Boundary;
                rest.get(at.saturating_add(self.delimiter.len())..)
            }
        }
    }

    /// What has to be seen again with the next piece.
    fn undecided<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        match self.state {
            State::Over => &[],
            State::Boundary | State::Head => rest,
            State::Preamble | State::Body => {
                let kept = self.delimiter.len().saturating_sub(1).min(rest.len());
                let from = rest.len().saturating_sub(kept);
                rest.get(from..).unwrap_or_default()
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len() as u64);
        let room = VALUE_LEN_MAX.saturating_sub(self.value.len());
        if self.name.is_some() {
            let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            self.value.extend_from_slice(kept);
        }
    }
}

/// The name of the field whose head this is; `None` for a file.
fn field_name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    if parameter(disposition, "filename").is_some() || parameter(disposition, "filename*").is_some()
    {
        return None;
    }
    parameter(disposition, "name").map(str::to_owned)
}

/// A parameter of a header value. One with a quote in it is cut there: no name
/// that is looked for has one.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let unquoted = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => value,
        };
        key.trim().eq_ignore_ascii_case(name).then_some(unquoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n--\r\n--bnot\r\n\
        \r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --b\r\ncontent-disposition: form-data; name=stream\r\n\r\n\r\n--b--\r\nepilogue";

    /// Name, value and length of each.
    type Fields = Vec<(String, Option<Vec<u8>>, u64)>;

    fn read(pieces: &[&[u8]]) -> (Fields, bool) {
        let mut reader =
            Reader::new("multipart/form-data; charset=x; boundary=\"b\"").expect("a form");
        let mut fields = Vec::new();
        for piece in pieces {
            reader.push(piece, |field| {
                fields.push((
                    field.name.to_owned(),
                    field.value.map(<[u8]>::to_vec),
                    field.len,
                ));
            });
        }
        (fields, reader.is_complete())
    }

    #[test]
    fn fields_are_found_however_the_form_is_split() {
        // `--bnot` is no boundary of RFC 2046, and ends the reading.
        let form = FORM.replace("--bnot", "- -b");
        let expected = (
            vec![
                ("model".to_owned(), Some(b"whisper-1".to_vec()), 9),
                ("stream".to_owned(), Some(Vec::new()), 0),
            ],
            true,
        );
        for at in 0..=form.len() {
            let (head, tail) = form.as_bytes().split_at(at);
            assert_eq!(read(&[head, tail]), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = form.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn what_is_no_form_ends_the_reading() {
        assert_eq!(read(&[FORM.as_bytes()]), (Vec::new(), false));
        let endless = format!("--b\r\n{}", "x".repeat(PART_HEAD_LEN_MAX * 2));
        assert_eq!(
            read(&[endless.as_bytes(), b"\r\n--b--"]),
            (Vec::new(), false)
        );
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=b",
            "application/json; boundary=b",
        ] {
            assert!(Reader::new(content_type).is_none(), "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        assert!(Reader::new(&long).is_none());
    }

    #[test]
    fn the_head_of_a_part_has_its_bound_however_it_comes() {
        for (length, fields) in [(PART_HEAD_LEN_MAX - 100, 1), (PART_HEAD_LEN_MAX + 1, 0)] {
            let form = format!(
                "--b\r\nX: {}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--",
                "x".repeat(length)
            );
            let pieces: Vec<_> = form.as_bytes().chunks(1).collect();
            for pieces in [&[form.as_bytes()][..], &pieces] {
                assert_eq!(read(pieces).0.len(), fields, "{length} bytes");
            }
        }
    }

    #[test]
    fn of_a_long_value_the_length_is_known() {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{}\r\n--b--",
            "x".repeat(1000)
        );
        assert_eq!(
            read(&[form.as_bytes()]).0,
            [("prompt".to_owned(), None, 1000)]
        );
    }
}
