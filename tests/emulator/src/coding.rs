//! Content codings: streaming compression that is flushed after each event,
//! and decoding of request bodies.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::Bytes;
use flate2::Compression;

/// The longest decoded request body, in bytes: the providers' own limit
/// (32 MB), and with it a bound on decompression.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Brotli's quality and window (log2 of bytes): fast, and large enough for
/// every body here.
const BROTLI: (u32, u32) = (4, 20);

/// Brotli's internal buffer, in bytes.
const BROTLI_BUFFER: usize = 4096;

/// Zstandard's fastest level.
const ZSTD_LEVEL: i32 = 1;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `deflate`, in its zlib form (RFC 9110).
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// Every coding, in the order in which servers prefer them.
    pub const ALL: [Coding; 4] = [Coding::Zstd, Coding::Brotli, Coding::Gzip, Coding::Deflate];

    /// Its name in `content-encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// A name that is no content coding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown content coding {0:?}: expected gzip, br, zstd, deflate or identity")]
pub struct UnknownCoding(String);

/// Codings in the order in which they are applied; none is identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codings(Vec<Coding>);

impl Codings {
    /// No coding.
    pub fn identity() -> Self {
        Self(Vec::new())
    }

    /// A single coding.
    pub fn one(coding: Coding) -> Self {
        Self(vec![coding])
    }

    /// What `accept-encoding` asks for: its heaviest coding, the server's
    /// preference among equals, identity if it names none.
    pub(crate) fn preferred(accept: &str) -> Self {
        let mut best: Option<(u32, Coding)> = None;
        for coding in Coding::ALL {
            let weight = accept
                .split(',')
                .find_map(|offer| weight_of(offer, coding.name()))
                .unwrap_or(0);
            if weight > best.map_or(0, |(heaviest, _)| heaviest) {
                best = Some((weight, coding));
            }
        }
        best.map_or_else(Self::identity, |(_, coding)| Self::one(coding))
    }

    /// Whether the body stays as it is.
    pub(crate) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a request body.
    ///
    /// # Errors
    /// It is not coded this way, or exceeds [`REQUEST_BYTES_MAX`].
    pub(crate) fn decode(&self, body: Bytes) -> Result<Bytes, io::Error> {
        self.0.iter().rev().try_fold(body, |body, coding| {
            let decoder: Box<dyn Read> = match coding {
                Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(&body[..])),
                Coding::Deflate => Box::new(flate2::read::ZlibDecoder::new(&body[..])),
                Coding::Brotli => Box::new(brotli::Decompressor::new(&body[..], BROTLI_BUFFER)),
                Coding::Zstd => Box::new(zstd::Decoder::new(&body[..])?),
            };
            let mut decoded = Vec::new();
            decoder
                .take(REQUEST_BYTES_MAX as u64 + 1)
                .read_to_end(&mut decoded)?;
            if decoded.len() > REQUEST_BYTES_MAX {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(decoded.into())
        })
    }
}

/// The weight of `offer` in thousandths, if it is for `name`.
fn weight_of(offer: &str, name: &str) -> Option<u32> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let Some(quality) = quality else {
        return Some(1000);
    };
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    format!("{whole}{fraction:0<3}").parse().ok()
}

impl fmt::Display for Codings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|coding| coding.name()).collect();
        formatter.write_str(&names.join(", "))
    }
}

impl FromStr for Codings {
    type Err = UnknownCoding;

    fn from_str(list: &str) -> Result<Self, UnknownCoding> {
        list.split(',')
            .map(str::trim)
            .filter(|name| *name != "identity")
            .map(|name| {
                Coding::ALL
                    .into_iter()
                    .find(|coding| coding.name() == name)
                    .ok_or_else(|| UnknownCoding(name.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Codes a body as it is produced. What [`Encoder::event`] returns decodes,
/// without anything that follows, to all that was put in so far.
pub(crate) struct Encoder(Vec<Stage>);

/// One coding of a chain; writes into its own buffer.
enum Stage {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder at the beginning of a body.
    ///
    /// # Errors
    /// The compression library is out of memory.
    pub(crate) fn new(codings: &Codings) -> io::Result<Self> {
        codings
            .0
            .iter()
            .map(|coding| Stage::new(*coding))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Codes one event and flushes.
    ///
    /// # Errors
    /// The compression library fails.
    pub(crate) fn event(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        self.0
            .iter_mut()
            .try_fold(bytes, |bytes, stage| stage.event(&bytes))
    }

    /// Ends the body: what a decoder needs to see that nothing follows.
    ///
    /// # Errors
    /// The compression library fails.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        let mut rest = Bytes::new();
        for stage in self.0 {
            rest = stage.finish(&rest)?;
        }
        Ok(rest)
    }
}

impl Stage {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Stage::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                Compression::fast(),
            )),
            Coding::Deflate => Stage::Deflate(flate2::write::ZlibEncoder::new(
                Vec::new(),
                Compression::fast(),
            )),
            Coding::Brotli => {
                let (quality, window) = BROTLI;
                Stage::Brotli(Box::new(brotli::CompressorWriter::new(
                    Vec::new(),
                    BROTLI_BUFFER,
                    quality,
                    window,
                )))
            }
            Coding::Zstd => Stage::Zstd(zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    fn event(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        let writer: &mut dyn Write = match self {
            Stage::Gzip(writer) => writer,
            Stage::Deflate(writer) => writer,
            Stage::Brotli(writer) => writer,
            Stage::Zstd(writer) => writer,
        };
        writer.write_all(bytes)?;
        writer.flush()?;
        Ok(std::mem::take(self.buffer()).into())
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Stage::Gzip(writer) => writer.get_mut(),
            Stage::Deflate(writer) => writer.get_mut(),
            Stage::Brotli(writer) => writer.get_mut(),
            Stage::Zstd(writer) => writer.get_mut(),
        }
    }

    fn finish(mut self, last: &[u8]) -> io::Result<Bytes> {
        if !last.is_empty() {
            let mut head = self.event(last)?.to_vec();
            head.extend_from_slice(&self.finish(&[])?);
            return Ok(head.into());
        }
        let rest = match self {
            Stage::Gzip(writer) => writer.finish()?,
            Stage::Deflate(writer) => writer.finish()?,
            Stage::Brotli(writer) => writer.into_inner(),
            Stage::Zstd(writer) => writer.finish()?,
        };
        Ok(rest.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [&str; 4] = [
        "data: 1\n\n",
        "data: größer 🌊\n\n",
        "data: 3\n\n",
        "data: [DONE]\n\n",
    ];

    fn chains() -> Vec<Codings> {
        [
            "gzip",
            "deflate",
            "br",
            "zstd",
            "gzip, br",
            "zstd, deflate",
            "identity",
        ]
        .map(|list| list.parse().expect("these codings exist"))
        .to_vec()
    }

    #[test]
    fn a_coded_body_decodes_to_what_was_put_in() {
        for codings in chains() {
            let mut encoder = Encoder::new(&codings).expect("an encoder");
            let mut coded = Vec::new();
            for event in EVENTS {
                coded.extend_from_slice(&encoder.event(event.into()).expect("coded"));
            }
            coded.extend_from_slice(&encoder.finish().expect("finished"));
            let decoded = codings.decode(coded.into()).expect("decodes");
            assert_eq!(decoded, EVENTS.concat(), "{codings}");
        }
    }

    #[test]
    fn the_heaviest_offered_coding_is_preferred() {
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate", "gzip"),
            ("gzip;q=1.0, br;q=0.5", "gzip"),
            ("br;q=0, gzip;q=0.001", "gzip"),
            ("*", ""),
            ("identity", ""),
            ("", ""),
        ] {
            assert_eq!(
                Codings::preferred(accept).to_string(),
                expected,
                "{accept:?}"
            );
        }
    }

    #[test]
    fn a_body_that_decodes_to_too_much_is_refused() {
        let codings = Codings::one(Coding::Gzip);
        let mut encoder = Encoder::new(&codings).expect("an encoder");
        let bomb = vec![0; REQUEST_BYTES_MAX + 1];
        let mut coded = encoder.event(bomb.into()).expect("coded").to_vec();
        coded.extend_from_slice(&encoder.finish().expect("finished"));
        assert!(codings.decode(coded.into()).is_err());
    }
}
