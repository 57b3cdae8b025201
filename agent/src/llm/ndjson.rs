//! Newline-delimited JSON: one document a line, as Ollama streams it.
//!
//! Lines end at `\n`; a `\r` before it is white space to JSON. Blank lines carry
//! nothing. A line has no bound on its length, so [`Reader`] hands it on as it
//! comes and holds none of it.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use memchr::memchr;

use super::sse::Piece;

/// Reads a stream of lines.
#[derive(Debug, Default)]
pub struct Reader {
    has_data: bool,
}

impl Reader {
    /// Reads the next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8], mut out: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let length = memchr(b'\n', bytes);
            let (line, after) = bytes
                .split_at_checked(length.unwrap_or(bytes.len()))
                .unwrap_or((bytes, &[]));
            let line = if self.has_data {
                line
            } else {
                line.trim_ascii_start()
            };
            if !line.is_empty() {
                self.has_data = true;
                out(Piece::Data(line));
            }
            if length.is_some() && std::mem::take(&mut self.has_data) {
                out(Piece::End);
            }
            bytes = after.get(1..).unwrap_or_default();
        }
    }

    /// Whether the stream ended within a line. Its last line need not be
    /// terminated for the document in it to be whole.
    #[must_use]
    pub fn is_within_line(&self) -> bool {
        self.has_data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let (mut lines, mut data) = (Vec::new(), Vec::new());
        let mut reader = Reader::default();
        for piece in pieces {
            reader.push(piece, |piece| match piece {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::End => lines.push(std::mem::take(&mut data)),
            });
        }
        let text = |bytes| String::from_utf8(bytes).expect("the cases are text");
        (
            lines.into_iter().map(text).collect(),
            reader.is_within_line().then(|| text(data)),
        )
    }

    #[test]
    fn lines_are_the_same_at_every_split() {
        let cases: [(&str, &[&str], Option<&str>); 8] = [
            ("{\"a\":1}\n{}\n", &["{\"a\":1}", "{}"], None),
            ("{}\r\n{}\r\n", &["{}\r", "{}\r"], None),
            ("\n\r\n  \n{}\n", &["{}"], None),
            ("  {} \n", &["{} "], None),
            ("{}\n{\"cut", &["{}"], Some("{\"cut")),
            ("{}", &[], Some("{}")),
            ("\u{20ac}\n", &["\u{20ac}"], None),
            ("", &[], None),
        ];
        for (stream, lines, unfinished) in cases {
            let expected = (
                lines.iter().map(ToString::to_string).collect(),
                unfinished.map(str::to_owned),
            );
            let bytes = stream.as_bytes();
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(read(&[head, tail]), expected, "{stream:?} split at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&single), expected, "{stream:?} byte by byte");
        }
    }
}
