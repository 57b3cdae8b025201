//! Server-sent events: where events end, and what data they carry.
//!
//! Lines end at `\n`, `\r` or `\r\n`, which may be split over two pieces; an
//! empty line ends an event; a byte order mark may begin the stream. Official
//! decoders have no bound on the size of an event, and a single one may hold a
//! whole image: [`Reader`] therefore hands data on as it comes and holds none.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use memchr::memchr2;

/// A part of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// More of the value of the event's `data` fields; those of several fields
    /// are joined by a newline.
    Data(&'a [u8]),
    /// The event is over. It had a `data` field.
    End,
}

/// Where in a line the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of the stream, with so many bytes of a mark skipped.
    Mark(u8),
    LineStart,
    /// So many bytes of the line are the beginning of `data`.
    Name(u8),
    /// After the colon: one space is not part of the value.
    ValueStart,
    Value,
    /// In a comment or another field.
    Ignored,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const DATA: &[u8] = b"data";
const DATA_FIELD: &[u8] = b"data: ";

/// What a line means that begins with a brace, where a field has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    /// Nothing, by the standard.
    Nothing,
    /// The beginning of a document, with this line and those after it.
    Document,
    /// Such a document is under way.
    Within,
}

/// Reads a stream of events.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    after_cr: bool,
    has_data: bool,
    bare: Bare,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            place: Place::Mark(0),
            after_cr: false,
            has_data: false,
            bare: Bare::Nothing,
        }
    }
}

impl Reader {
    /// One that also takes documents that stand between events as they are, over
    /// several lines: so Google's servers write errors, and its SDK reads them.
    #[must_use]
    pub fn of_bare_documents_too() -> Self {
        Self {
            bare: Bare::Document,
            ..Self::default()
        }
    }

    /// Reads the next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8], mut out: impl FnMut(Piece<'_>)) {
        while let Some((&byte, after)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = after;
                continue;
            }
            if matches!(byte, b'\r' | b'\n') {
                self.after_cr = byte == b'\r';
                self.end_line(&mut out);
                bytes = after;
                continue;
            }
            bytes = match self.place {
                Place::Mark(skipped) => {
                    if BYTE_ORDER_MARK.get(usize::from(skipped)) == Some(&byte) {
                        self.place = Place::Mark(skipped.saturating_add(1));
                        after
                    } else {
                        self.place = Place::LineStart;
                        bytes
                    }
                }
                Place::LineStart => {
                    self.begin_line(byte, &mut out);
                    // As every provider writes it.
                    match bytes.strip_prefix(DATA_FIELD) {
                        Some(value) if self.place == Place::Name(0) => {
                            self.begin_data(&mut out);
                            self.place = Place::Value;
                            value
                        }
                        Some(_) | None => bytes,
                    }
                }
                Place::Name(matched) => {
                    self.place = match DATA.get(usize::from(matched)) {
                        Some(expected) if *expected == byte => {
                            Place::Name(matched.saturating_add(1))
                        }
                        None if byte == b':' => {
                            self.begin_data(&mut out);
                            Place::ValueStart
                        }
                        Some(_) | None => Place::Ignored,
                    };
                    after
                }
                Place::ValueStart => {
                    self.place = Place::Value;
                    if byte == b' ' { after } else { bytes }
                }
                Place::Value => {
                    let (value, rest) = split_line(bytes);
                    out(Piece::Data(value));
                    rest
                }
                Place::Ignored => split_line(bytes).1,
            };
        }
    }

    /// Whether the stream ended within an event that has data. By the standard
    /// such an event is dropped; for metering it is worth a look.
    #[must_use]
    pub fn is_within_event(&self) -> bool {
        self.has_data
    }

    /// Begins a line, of which `byte` is the first. No line of a document begins
    /// as a field of data does.
    fn begin_line(&mut self, byte: u8, out: &mut impl FnMut(Piece<'_>)) {
        let begins_document = self.bare == Bare::Document && byte == b'{' && !self.has_data;
        if begins_document || (self.bare == Bare::Within && byte != b'd') {
            self.bare = Bare::Within;
            self.begin_data(out);
            self.place = Place::Value;
            return;
        }
        if self.bare == Bare::Within {
            self.end_event(out);
        }
        self.place = Place::Name(0);
    }

    fn end_event(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        if std::mem::take(&mut self.has_data) {
            out(Piece::End);
        }
        if self.bare == Bare::Within {
            self.bare = Bare::Document;
        }
    }

    fn begin_data(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        if std::mem::replace(&mut self.has_data, true) {
            out(Piece::Data(b"\n"));
        }
    }

    fn end_line(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        match self.place {
            // A field without a colon has an empty value.
            Place::Name(matched) if usize::from(matched) == DATA.len() => self.begin_data(out),
            Place::Mark(_) | Place::LineStart => self.end_event(out),
            Place::Name(_) | Place::ValueStart | Place::Value | Place::Ignored => {}
        }
        self.place = Place::LineStart;
    }
}

/// What is left of a line, and what comes after it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Finds where events end, for who forwards them as bytes.
#[derive(Debug)]
pub struct Boundaries {
    line_is_empty: bool,
    after_cr: bool,
    event_ended_by_cr: bool,
}

impl Default for Boundaries {
    fn default() -> Self {
        Self {
            line_is_empty: true,
            after_cr: false,
            event_ended_by_cr: false,
        }
    }
}

impl Boundaries {
    /// The index after the empty line that ends the first event in `bytes`, or
    /// `None` if the event goes on. To be called again with the bytes after it.
    ///
    /// Where the line ends in `\r` at the very end of `bytes`, the event is over
    /// and a `\n` that follows belongs to it: see [`trailing`](Self::trailing).
    pub fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            self.event_ended_by_cr = false;
            let after = at.saturating_add(1);
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => at = after,
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    if std::mem::replace(&mut self.line_is_empty, true) {
                        if self.after_cr && bytes.get(after) == Some(&b'\n') {
                            self.after_cr = false;
                            return Some(after.saturating_add(1));
                        }
                        self.event_ended_by_cr = self.after_cr;
                        return Some(after);
                    }
                    at = after;
                }
                _ => {
                    self.after_cr = false;
                    self.line_is_empty = false;
                    let rest = bytes.get(at..).unwrap_or_default();
                    at = at.saturating_add(memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()));
                }
            }
        }
        None
    }

    /// How many of the first of `bytes`, none or one, belong to the event that
    /// ended before them.
    pub fn trailing(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() || !std::mem::take(&mut self.event_ended_by_cr) {
            return 0;
        }
        self.after_cr = false;
        usize::from(bytes.starts_with(b"\n"))
    }
}

/// A line of an event, without and with its terminator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where in the event it begins.
    pub start: usize,
    /// Without its terminator.
    pub content: &'a [u8],
}

impl<'a> Line<'a> {
    /// The value of a `data` field and where in the event it begins.
    #[must_use]
    pub fn data(&self) -> Option<(usize, &'a [u8])> {
        let rest = self.content.strip_prefix(DATA)?;
        if rest.is_empty() {
            return Some((self.start.saturating_add(DATA.len()), rest));
        }
        let value = rest.strip_prefix(b":")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let skipped = self.content.len().saturating_sub(value.len());
        Some((self.start.saturating_add(skipped), value))
    }
}

/// The lines of an event that is at hand.
pub fn lines(event: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = event
        .strip_prefix(BYTE_ORDER_MARK)
        .map_or(0, |_| BYTE_ORDER_MARK.len());
    std::iter::from_fn(move || {
        let rest = event.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let line = Line {
            start,
            content: rest.get(..length)?,
        };
        let terminator = match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([]) | None => 0,
            Some(_) => 1,
        };
        start = start.saturating_add(length).saturating_add(terminator);
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "overflow fails a test")]

    use super::*;

    /// The data of every event, and of an event that did not end.
    fn read(mut reader: Reader, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let (mut events, mut data) = (Vec::new(), Vec::new());
        for piece in pieces {
            reader.push(piece, |piece| match piece {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::End => events.push(std::mem::take(&mut data)),
            });
        }
        (events, reader.is_within_event().then_some(data))
    }

    fn check(stream: &[u8], events: &[&str], unfinished: Option<&str>) {
        check_by(Reader::default, stream, events, unfinished);
    }

    fn check_by(reader: fn() -> Reader, stream: &[u8], events: &[&str], unfinished: Option<&str>) {
        let expected = (
            events
                .iter()
                .map(|event| event.as_bytes().to_vec())
                .collect(),
            unfinished.map(|event| event.as_bytes().to_vec()),
        );
        assert_eq!(read(reader(), &[stream]), expected);
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(read(reader(), &[head, tail]), expected, "split at {at}");
        }
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(read(reader(), &bytes), expected);
    }

    #[test]
    fn documents_stand_bare_between_events_where_they_may() {
        let check = |stream, events, unfinished| {
            check_by(Reader::of_bare_documents_too, stream, events, unfinished);
        };
        check(
            b"data: a\n\n{\n \"b\": 1\n}\n",
            &["a"],
            Some("{\n \"b\": 1\n}"),
        );
        check(b"{\r\n}\r\n\r\ndata: a\r\n\r\n", &["{\n}", "a"], None);
        check(b"{\n}\ndata: a\n\n", &["{\n}", "a"], None);
        check(b"data: a\n{}\n\n", &["a"], None);
        check(b"event: {\n: {\n\ndata: a\n\n", &["a"], None);
    }

    #[test]
    fn events_are_read_by_the_grammar() {
        check(b"data: a\n\ndata: b\n\n", &["a", "b"], None);
        check(b"data:{x}\r\n\r\n", &["{x}"], None);
        check(b"data: a\r\rdata: b\r\r", &["a", "b"], None);
        check(b"data:  two spaces\n\n", &[" two spaces"], None);
        check(b"data: a\ndata: b\n\n", &["a\nb"], None);
        check(b"data\ndata\n\n", &["\n"], None);
        check(b"data:\n\n", &[""], None);
        check(b"\xef\xbb\xbfdata: a\n\n", &["a"], None);
        check(b"\xef\xbb\xbf\ndata: a\n\n", &["a"], None);
        check(
            b": note\n\nevent: e\nid: 1\ndata: a\nretry: 3\n\n",
            &["a"],
            None,
        );
        check(b"event: only\n\ndatum: x\n\nDATA: x\n\ndat\n\n", &[], None);
        check(b"data: \xe2\x82\xac\n\n", &["\u{20ac}"], None);
        check(b"data: a\n\ndata: cut", &["a"], Some("cut"));
        check(b"data: a\n", &[], Some("a"));
        check(b"\n\n\n", &[], None);
    }

    fn ends(pieces: &[&[u8]]) -> Vec<usize> {
        let (mut boundaries, mut all, mut before) = (Boundaries::default(), Vec::new(), 0);
        for piece in pieces {
            let mut at = boundaries.trailing(piece);
            if at > 0
                && let Some(last) = all.last_mut()
            {
                *last += at;
            }
            while let Some(end) = boundaries.next(&piece[at..]) {
                at += end;
                all.push(before + at);
            }
            before += piece.len();
        }
        all
    }

    #[test]
    fn boundaries_are_the_same_at_every_split() {
        let cases: [(&[u8], &[usize]); 6] = [
            (b"data: a\n\ndata: b\n\n", &[9, 18]),
            (b"a\r\n\r\nb\r\n\r\n", &[5, 10]),
            (b"a\r\rb\r\r", &[3, 6]),
            (b"\n\n:\n\n", &[1, 2, 5]),
            (b"a\r\n\nb", &[4]),
            (b"a\n\r\n\r\n", &[4, 6]),
        ];
        for (stream, expected) in cases {
            assert_eq!(ends(&[stream]), expected);
            for at in 0..=stream.len() {
                let (head, tail) = stream.split_at(at);
                assert_eq!(ends(&[head, tail]), expected, "{stream:?} split at {at}");
            }
            assert_eq!(ends(&stream.chunks(1).collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn lines_say_where_their_data_is() {
        let event = b": c\r\ndata: {}\rdata\nid: 1\n\n";
        let data: Vec<_> = lines(event).filter_map(|line| line.data()).collect();
        assert_eq!(data, [(11, b"{}".as_slice()), (18, b"")]);
        assert_eq!(lines(event).count(), 5);
    }
}
