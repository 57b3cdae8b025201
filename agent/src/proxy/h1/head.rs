//! Heads of HTTP/1 messages: read strictly, forwarded as they came.
//!
//! Strict, because whatever the two ends could read differently is a way to
//! smuggle a request past the meter (RFC 9112 §11.2): both framings at once,
//! repeated lengths, bare CR, LF or NUL and folded lines are refused.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::mem::MaybeUninit;
use std::sync::LazyLock;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::llm::headers::Headers;

/// Longest head accepted. Providers accept less than 64 KiB of headers.
pub(in crate::proxy) const HEAD_LEN_MAX: usize = 128 * 1024;
/// Most header fields accepted in a head.
const HEADERS_MAX: usize = 256;

/// Finds the end of a head. Made once: that takes longer than most heads.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Why a head is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::proxy) enum HeadError {
    /// Over [`HEAD_LEN_MAX`], or more fields than any real message has.
    #[error("the head is too large")]
    TooLarge,
    /// Not HTTP/1.
    #[error("malformed head: {0}")]
    Malformed(&'static str),
    /// Two readers could disagree on where the message ends.
    #[error("ambiguous message length: {0}")]
    Ambiguous(&'static str),
}

/// Where a message body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// After this many bytes; 0 for no body.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; responses only.
    Close,
}

/// What weir needs to know of a request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct RequestHead {
    /// Length of the head in bytes, blank line included.
    pub len: usize,
    /// The method, as sent.
    pub method: String,
    /// The request target, as sent.
    pub target: String,
    /// The one `Host` field.
    pub host: Option<String>,
    /// Where the body ends.
    pub framing: Framing,
    /// The client will not reuse the connection.
    pub close: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// `Upgrade` names h2c, which would leave HTTP/1 unseen.
    pub upgrades_to_h2c: bool,
    /// The body has a content coding.
    pub is_encoded: bool,
    /// Those that metering reads; it may take them.
    pub headers: Headers,
}

/// What weir needs to know of a response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct ResponseHead {
    /// Length of the head in bytes, blank line included.
    pub len: usize,
    /// The status code.
    pub status: u16,
    /// Where the body ends.
    pub framing: Framing,
    /// Upstream will close the connection.
    pub close: bool,
    /// How long upstream says that it keeps an idle connection.
    pub keep_alive: Option<Duration>,
    /// Those that metering reads.
    pub headers: Headers,
}

/// Reads a request head from the front of `bytes`; `None` if it is not complete.
///
/// # Errors
///
/// [`HeadError`]; the connection cannot be used any further.
pub(in crate::proxy) fn request(bytes: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    let Some(head) = complete(bytes)? else {
        return Ok(None);
    };
    // Most are never written: 8 KiB.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    parsed
        .parse_with_uninit_headers(head, &mut headers)
        .map_err(malformed)?;
    let old = parsed.version == Some(0);
    let fields = Fields(parsed.headers);
    let mut hosts = fields.all("host");
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(text(host)?),
        (Some(_), Some(_)) => return Err(HeadError::Malformed("more than one Host")),
    };
    let framing = match (fields.transfer_encoding()?, fields.content_length()?) {
        (Some(_), _) if old => {
            return Err(HeadError::Ambiguous("Transfer-Encoding in HTTP/1.0"));
        }
        (Some(_), Some(_)) => {
            return Err(HeadError::Ambiguous(
                "both Transfer-Encoding and Content-Length",
            ));
        }
        (Some(Transfer::Chunked), None) => Framing::Chunked,
        (Some(Transfer::Other), None) => {
            return Err(HeadError::Ambiguous(
                "a Transfer-Encoding other than chunked",
            ));
        }
        (None, length) => Framing::Length(length.unwrap_or(0)),
    };
    let headers = Headers::of_request_fields(fields.pairs());
    Ok(Some(RequestHead {
        len: head.len(),
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        host,
        framing,
        close: fields.closes(old),
        expects_continue: fields.names("expect", "100-continue"),
        upgrades_to_h2c: fields.names("upgrade", "h2c"),
        is_encoded: headers.get("content-encoding").is_some(),
        headers,
    }))
}

/// Reads a response head from the front of `bytes`; `None` if it is not
/// complete. `method` is the request's: it decides whether there is a body
/// (RFC 9112 §6.3).
///
/// # Errors
///
/// [`HeadError`]; the connection cannot be used any further.
pub(in crate::proxy) fn response(
    bytes: &[u8],
    method: &str,
) -> Result<Option<ResponseHead>, HeadError> {
    let Some(head) = complete(bytes)? else {
        return Ok(None);
    };
    // Most are never written: 8 KiB.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut headers)
        .map_err(malformed)?;
    let old = parsed.version == Some(0);
    let status = parsed.code.unwrap_or_default();
    if status < 100 {
        // It would pass for an interim response, whose body is never read.
        return Err(malformed(httparse::Error::Status));
    }
    let fields = Fields(parsed.headers);
    let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    let framing = match (fields.transfer_encoding()?, fields.content_length()?) {
        _ if bodiless => Framing::Length(0),
        (Some(_), Some(_)) => {
            return Err(HeadError::Ambiguous(
                "both Transfer-Encoding and Content-Length",
            ));
        }
        (Some(Transfer::Chunked), None) => Framing::Chunked,
        (Some(Transfer::Other), None) | (None, None) => Framing::Close,
        (None, Some(length)) => Framing::Length(length),
    };
    Ok(Some(ResponseHead {
        len: head.len(),
        status,
        framing,
        close: fields.closes(old) || framing == Framing::Close,
        keep_alive: fields.keep_alive(),
        headers: Headers::of_response_fields(fields.pairs()),
    }))
}

/// One change to a head.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) enum Edit<'a> {
    /// Makes this the only value of the field of this (lower-case) name: in the
    /// place of the first there is, or else behind all others.
    Set(&'a str, &'a str),
    /// Replaces the value of every field of this (lower-case) name.
    Replace(&'a str, &'a str),
    /// Removes every field of this (lower-case) name.
    Remove(&'a str),
    /// Removes tokens from the list of every field of this name.
    RemoveTokens(&'a str, &'a [&'a str]),
}

/// A head with some fields changed and every other byte as it was.
#[must_use]
pub(in crate::proxy) fn edited(head: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    let mut is_set = false;
    for (index, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .filter(|_| index > 0);
        let Some((name, rest)) = colon.and_then(|at| line.split_at_checked(at)) else {
            if index > 0 && !is_set {
                for edit in edits {
                    if let Edit::Set(name, value) = edit {
                        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                    }
                }
            }
            out.extend_from_slice(line);
            continue;
        };
        let edit = edits.iter().find(|edit| match edit {
            Edit::Set(of, _)
            | Edit::Replace(of, _)
            | Edit::Remove(of)
            | Edit::RemoveTokens(of, _) => name.eq_ignore_ascii_case(of.as_bytes()),
        });
        let value = match edit {
            None => {
                out.extend_from_slice(line);
                continue;
            }
            Some(Edit::Remove(_)) => continue,
            Some(Edit::Set(..)) if is_set => continue,
            Some(Edit::Set(_, value)) => {
                is_set = true;
                value.as_bytes().to_vec()
            }
            Some(Edit::Replace(_, value)) => value.as_bytes().to_vec(),
            Some(Edit::RemoveTokens(_, tokens)) => {
                let is_removed = |token: &[u8]| {
                    let mut removed = tokens.iter().map(|token| token.as_bytes());
                    removed.any(|removed| token.eq_ignore_ascii_case(removed))
                };
                let value = rest.get(1..).unwrap_or_default();
                let kept: Vec<_> = value
                    .split(|byte| *byte == b',')
                    .map(<[u8]>::trim_ascii)
                    .filter(|token| !token.is_empty() && !is_removed(token))
                    .collect();
                if kept.is_empty() {
                    continue;
                }
                kept.join(&b", "[..])
            }
        };
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&value);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The values of all fields of this (lower-case) name.
pub(in crate::proxy) fn values<'a>(
    head: &'a [u8],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (own, value) = line.split_at_checked(at)?;
            let value = value.get(1..)?.trim_ascii();
            own.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
}

/// The bytes of the head, blank line included, once they are all there.
fn complete(bytes: &[u8]) -> Result<Option<&[u8]>, HeadError> {
    // RFC 9112 §2.2: empty lines in front mean nothing, so that they do not end a head.
    let (lines, _) = bytes.as_chunks::<2>();
    let empty_lines = lines.iter().take_while(|line| *line == b"\r\n").count();
    let start = empty_lines.saturating_mul(2);
    let end = END
        .find(bytes.get(start..).unwrap_or_default())
        .map(|at| start.saturating_add(at).saturating_add(4));
    let seen = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
    if seen.len() > HEAD_LEN_MAX {
        return Err(HeadError::TooLarge);
    }
    match flaw(seen) {
        Some(flaw) => Err(HeadError::Malformed(flaw)),
        None => Ok(end.map(|_| seen)),
    }
}

/// What no two readers need to agree on, if it is in these bytes.
fn flaw(bytes: &[u8]) -> Option<&'static str> {
    // Most have none: without branches, many bytes are compared at once.
    let begins_well = !matches!(bytes.first(), Some(0 | b'\n'));
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let flaws = pairs.fold(0, |flaws, (byte, next)| {
        let is_half = (*byte == b'\r') != (*next == b'\n');
        flaws | u8::from(is_half) | u8::from(*next == 0)
    });
    if begins_well && flaws == 0 {
        return None;
    }
    let mut previous = 0;
    for byte in bytes {
        match (previous, *byte) {
            (_, 0) => return Some("a NUL byte"),
            (b'\r', b'\n') => {}
            (_, b'\n') => return Some("a line ends with a bare LF"),
            (b'\r', _) => return Some("a bare CR"),
            _ => {}
        }
        previous = *byte;
    }
    None
}

fn malformed(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        httparse::Error::HeaderName => HeadError::Malformed("an invalid field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("an invalid field value"),
        httparse::Error::NewLine => HeadError::Malformed("an invalid line end"),
        httparse::Error::Status => HeadError::Malformed("an invalid status"),
        httparse::Error::Token => HeadError::Malformed("an invalid method or target"),
        httparse::Error::Version => HeadError::Malformed("an unknown HTTP version"),
    }
}

fn text(value: &[u8]) -> Result<String, HeadError> {
    // No other white space than HTTP's: `trim` would take that of Unicode off.
    std::str::from_utf8(value)
        .map(|value| value.trim_matches([' ', '\t']).to_owned())
        .map_err(|_not_text| HeadError::Malformed("a Host that is not text"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Chunked,
    Other,
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().map(|field| (field.name, field.value))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The members of the comma-separated list `name`, whose fields may be several.
    fn list(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
    }

    /// Whether the comma-separated list `name` has this token.
    fn names(&self, name: &str, token: &str) -> bool {
        self.list(name)
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    fn closes(&self, old: bool) -> bool {
        self.names("connection", "close") || (old && !self.names("connection", "keep-alive"))
    }

    /// `timeout` of `Keep-Alive`, in seconds (RFC 2068 §19.7.1.1).
    fn keep_alive(&self) -> Option<Duration> {
        let timeout = self.list("keep-alive").find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
            is_timeout.then(|| value.trim().parse().ok())?
        });
        timeout.map(Duration::from_secs)
    }

    fn transfer_encoding(&self) -> Result<Option<Transfer>, HeadError> {
        let mut values = self.all("transfer-encoding");
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(HeadError::Ambiguous("more than one Transfer-Encoding")),
            (Some(value), None) if value.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Transfer::Chunked))
            }
            (Some(_), None) => Ok(Some(Transfer::Other)),
        }
    }

    fn content_length(&self) -> Result<Option<u64>, HeadError> {
        let mut values = self.all("content-length");
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value,
            (Some(_), Some(_)) => {
                return Err(HeadError::Ambiguous("more than one Content-Length"));
            }
        };
        let digits = value.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(HeadError::Ambiguous(
                "a Content-Length that is not a number",
            ));
        }
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .map(Some)
            .ok_or(HeadError::Ambiguous(
                "a Content-Length that is out of range",
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nhOsT: api.openai.com\r\n\
        Content-Length: 3\r\nExpect: 100-continue\r\nContent-Encoding: zstd\r\n\r\nabc";

    #[test]
    fn a_request_is_read_at_every_split() {
        let whole = request(REQUEST).unwrap().unwrap();
        assert_eq!(whole.method, "POST");
        assert_eq!(whole.target, "/v1/chat/completions");
        assert_eq!(whole.host.as_deref(), Some("api.openai.com"));
        assert_eq!(whole.framing, Framing::Length(3));
        assert_eq!(whole.headers.get("content-encoding"), Some("zstd"));
        assert!(whole.expects_continue && !whole.close && !whole.upgrades_to_h2c);
        assert_eq!(&REQUEST[whole.len..], b"abc");
        for split in 0..whole.len {
            assert_eq!(request(&REQUEST[..split]), Ok(None), "split {split}");
        }
    }

    #[test]
    fn a_server_says_how_long_it_waits() {
        for (field, seconds) in [
            ("Keep-Alive: timeout=5", Some(5)),
            ("keep-alive: max=100, Timeout = 75", Some(75)),
            ("Keep-Alive: timeout=soon", None),
            ("Keep-Alive: 5", None),
            ("Server: x", None),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 0\r\n\r\n");
            let head = response(head.as_bytes(), "POST").unwrap().unwrap();
            assert_eq!(head.keep_alive.map(|it| it.as_secs()), seconds, "{field}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for head in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 3, 3",
            "Content-Length: +3",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \x0bchunked",
            "Host: b",
            "X: a\rb",
            "X: a\nY: b",
            "X: a\0b",
            "X: a\r\n folded",
            "X : a",
        ] {
            let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
            assert!(
                request(bytes.as_bytes()).is_err(),
                "{}",
                bytes.escape_debug()
            );
        }
        assert!(request(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(request(b"GET / HTTP/2.0\r\n\r\n").is_err());
        assert_eq!(
            request(&vec![b'a'; HEAD_LEN_MAX + 1]),
            Err(HeadError::TooLarge)
        );
    }

    #[test]
    fn no_line_end_is_taken_that_somebody_reads_otherwise() {
        let alphabet = [b'\r', b'\n', 0, b'a'];
        let mut all = vec![Vec::new()];
        for shorter in 0.. {
            let Some(bytes): Option<Vec<u8>> = all.get(shorter).cloned() else {
                break;
            };
            if bytes.len() < 5 {
                all.extend(alphabet.map(|byte| [bytes.as_slice(), &[byte]].concat()));
            }
            let text = String::from_utf8(bytes).unwrap();
            // The other half of a line end may be to come.
            let whole = text.strip_suffix('\r').unwrap_or(&text);
            let lines = whole.replace("\r\n", "");
            let is_flawed = lines.contains(['\r', '\n', '\0']);
            assert_eq!(flaw(text.as_bytes()).is_some(), is_flawed, "{text:?}");
        }
    }

    #[test]
    fn the_end_of_a_response_follows_the_rfc() {
        for (head, method, expected) in [
            ("200 OK\r\nContent-Length: 5", "GET", Framing::Length(5)),
            ("200 OK\r\nContent-Length: 5", "HEAD", Framing::Length(0)),
            ("204 No Content", "GET", Framing::Length(0)),
            (
                "304 Not Modified\r\nContent-Length: 5",
                "GET",
                Framing::Length(0),
            ),
            ("100 Continue", "POST", Framing::Length(0)),
            (
                "200 OK\r\nTransfer-Encoding: Chunked",
                "GET",
                Framing::Chunked,
            ),
            ("200 OK\r\nTransfer-Encoding: gzip", "GET", Framing::Close),
            ("200 OK", "GET", Framing::Close),
        ] {
            let bytes = format!("HTTP/1.1 {head}\r\n\r\n");
            let parsed = response(bytes.as_bytes(), method).unwrap().unwrap();
            assert_eq!(parsed.framing, expected, "{head}");
        }
        let both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(response(both, "GET").is_err());
    }

    #[test]
    fn empty_lines_in_front_end_no_head() {
        for empty in ["\r\n", "\r\n\r\n", "\r\n\r\n\r\n"] {
            let bytes = format!("{empty}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
            for split in 0..bytes.len() - 1 {
                assert_eq!(response(&bytes.as_bytes()[..split], "GET"), Ok(None));
            }
            let head = response(bytes.as_bytes(), "GET").unwrap().unwrap();
            assert_eq!((head.status, head.len), (200, bytes.len() - 1));
            let bytes = format!("{empty}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = request(bytes.as_bytes()).unwrap().unwrap();
            assert_eq!((head.method.as_str(), head.len), ("GET", bytes.len()));
        }
    }

    #[test]
    fn a_status_below_100_is_none() {
        for status in ["000", "099"] {
            let bytes = format!("HTTP/1.1 {status} OK\r\nContent-Length: 5\r\n\r\nhello");
            assert_eq!(
                response(bytes.as_bytes(), "GET"),
                Err(HeadError::Malformed("an invalid status"))
            );
        }
    }

    #[test]
    fn white_space_of_unicode_is_a_part_of_the_host() {
        let bytes = "GET / HTTP/1.1\r\nHost: api.openai.com\u{a0}\r\n\r\n";
        let head = request(bytes.as_bytes()).unwrap().unwrap();
        assert_eq!(head.host.as_deref(), Some("api.openai.com\u{a0}"));
    }

    #[test]
    fn connections_close_as_asked() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0", false),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Upgrade, CLOSE",
                true,
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0", true),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive",
                false,
            ),
        ] {
            let bytes = format!("{head}\r\n\r\n");
            assert_eq!(
                response(bytes.as_bytes(), "GET").unwrap().unwrap().close,
                expected
            );
        }
    }

    #[test]
    fn an_edit_leaves_every_other_byte_alone() {
        let head = b"GET /a:b HTTP/1.1\r\nHoSt:a\r\nX-A:  1 \r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
        let edits = [
            Edit::Remove("upgrade"),
            Edit::Remove("http2-settings"),
            Edit::RemoveTokens("connection", &["upgrade"]),
            Edit::Replace("x-a", "2"),
        ];
        assert_eq!(
            edited(head, &edits).escape_ascii().to_string(),
            b"GET /a:b HTTP/1.1\r\nHoSt:a\r\nX-A: 2\r\nConnection: HTTP2-Settings\r\n\r\n"
                .escape_ascii()
                .to_string()
        );
        assert_eq!(edited(head, &[]), head);
        // Also bytes that are no text.
        let head = b"GET / HTTP/1.1\r\nConnection: \xe9, upgrade,te\r\n\r\n";
        assert_eq!(
            edited(head, &[Edit::RemoveTokens("connection", &["upgrade"])]),
            b"GET / HTTP/1.1\r\nConnection: \xe9, te\r\n\r\n"
        );
    }

    #[test]
    fn a_field_is_set_where_it_stands_or_behind_all_others() {
        let set = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let edited = edited(head.as_bytes(), &[Edit::Set("x-a", "2")]);
            String::from_utf8(edited).unwrap()
        };
        assert_eq!(set(""), "GET / HTTP/1.1\r\nHost: a\r\nx-a: 2\r\n\r\n");
        assert_eq!(
            set("X-A:1\r\nx-b: 3\r\nx-a: 4\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 2\r\nx-b: 3\r\n\r\n"
        );
        let head = b"GET /x:y HTTP/1.1\r\nA: 1\r\na:2\r\nB: 3\r\n\r\n";
        let values: Vec<_> = values(head, "a").collect();
        assert_eq!(values, [b"1", b"2"]);
    }
}
