//! What must hold of HTTP/1 messages, whatever bytes they are read from: nobody
//! else finds another end in them.

use bytes::BytesMut;

use super::body::Body;
use super::head::{self, Edit, Framing, HeadError};
use crate::invariant::{beginnings, check_splits};

/// Of request heads: one that is taken is taken whatever follows, has the fields
/// that a plain reader finds, frames its body in one way only, and stays the same
/// request when a field is edited.
///
/// # Panics
/// If that does not hold.
pub fn of_h1_request(bytes: &[u8]) {
    let Some(head) = check_beginnings(bytes, head::request) else {
        return;
    };
    let (wire, _) = bytes.split_at(head.len);
    let plain = text(wire);
    let fields = fields(&plain);
    assert!(
        !head.method.is_empty() && !head.target.is_empty(),
        "{head:?}"
    );
    assert_eq!(start(&plain).first(), Some(&head.method.as_str()));
    let target = text(head.target.as_bytes());
    assert_eq!(start(&plain).get(1), Some(&target.as_str()));
    let hosts = values(&fields, "host");
    assert!(hosts.len() <= 1, "{hosts:?}");
    let host = head.host.as_ref().map(|host| text(host.as_bytes()));
    assert_eq!(host.as_deref(), hosts.first().copied());
    let lengths = values(&fields, "content-length");
    match (
        values(&fields, "transfer-encoding").as_slice(),
        lengths.as_slice(),
    ) {
        ([coding], []) => {
            assert!(coding.eq_ignore_ascii_case("chunked"), "{coding}");
            assert_eq!(head.framing, Framing::Chunked);
            assert!(wire.windows(8).any(|it| it == b"HTTP/1.1"));
        }
        ([], [length]) => assert_eq!(Ok(head.framing), length.parse().map(Framing::Length)),
        ([], []) => assert_eq!(head.framing, Framing::Length(0)),
        several => panic!("ambiguous: {several:?}"),
    }
    assert_eq!(head::edited(wire, &[]), wire);
    let tokens = ["upgrade", "http2-settings"];
    let edited = head::edited(
        wire,
        &[
            Edit::Replace("content-length", "7"),
            Edit::Remove("upgrade"),
            Edit::RemoveTokens("connection", &tokens),
        ],
    );
    let again = head::request(&edited).expect("it is still a head");
    let again = again.expect("and still ends");
    let framing = match (head.framing, lengths.is_empty()) {
        (Framing::Length(_), false) => Framing::Length(7),
        (framing, _) => framing,
    };
    assert_eq!((again.len, again.framing), (edited.len(), framing));
    assert!(!again.upgrades_to_h2c, "it still upgrades");
    assert_eq!((again.method, again.target), (head.method, head.target));
    assert_eq!((again.host, again.close), (head.host, head.close));
}

/// Of response heads, to a method that is the first byte's: likewise.
///
/// # Panics
/// If that does not hold.
pub fn of_h1_response(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let method = ["GET", "HEAD", "POST"][usize::from(*which) % 3];
    let Some(head) = check_beginnings(bytes, |bytes| head::response(bytes, method)) else {
        return;
    };
    let (wire, _) = bytes.split_at(head.len);
    let plain = text(wire);
    let fields = fields(&plain);
    assert!((100..=999).contains(&head.status), "status {}", head.status);
    assert_eq!(
        start(&plain).get(1),
        Some(&format!("{:03}", head.status).as_str())
    );
    let lengths = values(&fields, "content-length");
    let codings = values(&fields, "transfer-encoding");
    assert!(lengths.len() <= 1 && codings.len() <= 1, "{fields:?}");
    match head.framing {
        Framing::Length(0) => {}
        Framing::Length(length) => {
            assert_eq!(lengths.first().and_then(|it| it.parse().ok()), Some(length));
            assert_eq!(codings, [""; 0]);
        }
        Framing::Chunked => assert!(codings[0].eq_ignore_ascii_case("chunked")),
        Framing::Close => assert!(head.close && lengths.is_empty()),
    }
}

/// What `read` takes off the front, after checking that beginnings of the bytes
/// are read as the whole is.
fn check_beginnings<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Option<T>, HeadError>,
) -> Option<T> {
    let mut verdict = Ok(None);
    for length in beginnings(bytes.len()).chain([bytes.len()]) {
        let said = read(bytes.get(..length).unwrap_or(bytes));
        match &verdict {
            Ok(None) => verdict = said,
            Ok(Some(_)) => assert_eq!(said, verdict, "after {length} bytes"),
            Err(_) => assert!(said.is_err(), "taken back after {length} bytes"),
        }
    }
    verdict.ok().flatten()
}

/// A head as text, a character a byte.
fn text(wire: &[u8]) -> String {
    wire.iter().copied().map(char::from).collect()
}

/// The lines of a head: it has no other line ends than these.
fn lines(head: &str) -> impl Iterator<Item = &str> {
    let lines = head.split("\r\n").skip_while(|line| line.is_empty());
    lines.inspect(|line| assert!(!line.contains(['\r', '\n', '\0']), "{line:?}"))
}

/// The words of the first line.
fn start(head: &str) -> Vec<&str> {
    let first = lines(head).next().unwrap_or_default();
    first.split(' ').collect()
}

/// Name and value of each field, as the plainest reader finds them.
fn fields(head: &str) -> Vec<(&str, &str)> {
    let fields = lines(head).skip(1).take_while(|line| !line.is_empty());
    fields
        .map(|line| {
            assert!(!line.starts_with([' ', '\t']), "a folded line: {line:?}");
            let (name, value) = line.split_once(':').expect("a field has a colon");
            assert!(!name.ends_with([' ', '\t']), "{name:?}");
            (name, value.trim_matches([' ', '\t']))
        })
        .collect()
}

fn values<'a>(fields: &[(&str, &'a str)], name: &str) -> Vec<&'a str> {
    let named = fields
        .iter()
        .filter(|(it, _)| it.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value).collect()
}

/// What was read of a body.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    payload: Vec<u8>,
    taken: usize,
    is_done: bool,
    end: Vec<u8>,
}

/// Of chunked bodies: however one is split, it has the same payload and end, those
/// of a plain reader; each size line says to `httparse` what it says here; and
/// the payload coded anew is read as it was.
///
/// # Panics
/// If that does not hold.
pub fn of_chunked(bytes: &[u8]) {
    let whole = check_splits(bytes, read_chunked);
    let Some(read) = whole else { return };
    let (payload, taken, is_done) = plainly(bytes);
    assert_eq!((read.is_done, read.taken), (is_done, taken));
    assert_eq!(read.payload, payload);
    if !read.is_done {
        return;
    }
    let body = Body::new(Framing::Chunked);
    let mut again = body.encode(read.payload.clone());
    again.extend_from_slice(&read.end);
    let taken = again.len();
    let anew = read_chunked(&[&again]).expect("it is well coded");
    assert_eq!(anew, Read { taken, ..read });
}

fn read_chunked(pieces: &[&[u8]]) -> Option<Read> {
    let mut body = Body::new(Framing::Chunked);
    let (mut payload, mut taken) = (Vec::new(), 0);
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let wire = body.take(&mut buffer).ok()?;
        taken += wire.len();
        for part in body.payload(&wire) {
            payload.extend_from_slice(part);
        }
    }
    Some(Read {
        payload,
        taken,
        is_done: body.is_done(),
        end: if body.is_done() {
            body.replaced_end()
        } else {
            Vec::new()
        },
    })
}

/// Payload, length and whether it has ended, of a body that is well coded as far
/// as it goes.
fn plainly(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut payload, mut rest) = (Vec::new(), bytes);
    let cut = |payload| (payload, bytes.len(), false);
    loop {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else {
            return cut(payload);
        };
        let (line, after) = rest.split_at(end + 2);
        let parsed = httparse::parse_chunk_size(line).expect("httparse can read the size");
        let httparse::Status::Complete((length, size)) = parsed else {
            panic!("httparse finds no end in {}", line.escape_ascii());
        };
        assert_eq!(length, line.len());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 {
            let ended = trailers(after);
            return match ended {
                Some(length) => (payload, bytes.len() - after.len() + length, true),
                None => cut(payload),
            };
        }
        let (data, after) = after.split_at(size.min(after.len()));
        payload.extend_from_slice(data);
        match after.strip_prefix(b"\r\n") {
            Some(next) => rest = next,
            None => return cut(payload),
        }
    }
}

/// The length of a trailer section, its blank line included.
fn trailers(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}
