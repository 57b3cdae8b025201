//! What ties exchanges of the Model Context Protocol together: the session they
//! belong to, and the identifiers of its calls.
//!
//! In the first revision, of 2024-11-05, a session is an event stream, whose
//! first event names the address to send calls to; they are acknowledged there,
//! and answered by events of the stream. In those from 2025-03-26 to 2025-11-25
//! a header names it; a call is answered where it was made, unless its stream
//! ends early and the client fetches the rest by another request. Since
//! 2026-07-28 there is none.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::fmt;

use super::classify::{decoded, member};
use super::headers::Headers;
use super::observation::RpcOutcome;

/// Longest identifier of a call that is followed, in bytes. The SDKs count.
const ID_LEN_MAX: usize = 128;
/// Longest address that is read of a stream's first event, in bytes.
const ADDRESS_LEN_MAX: usize = 2 * 1024;
/// Most answers kept until somebody takes them, which is after each read.
const ANSWERS_MAX: usize = 1_024;

/// Names of the member of a query that names a session, as the SDKs have it.
const MEMBERS: [&str; 2] = ["sessionId", "session_id"];

/// The name of a session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RpcSession {
    /// It is as long as the stream that named it.
    OfStream(String),
    /// The same, of a stream that named nothing but the address to send calls to:
    /// two streams of one address are not told apart.
    OfAddress(String),
    /// It is named in a header, until the client ends it.
    OfHeader(String),
}

impl RpcSession {
    /// The session that the head of a request names.
    #[must_use]
    pub fn of_request(query: &str, headers: &Headers) -> Option<Self> {
        match headers.get("mcp-session-id") {
            Some(name) => Some(Self::OfHeader(name.to_owned())),
            None => Self::of_query(query),
        }
    }

    /// The session of a stream that named this path, with its query.
    pub(super) fn of_path(path_and_query: &str) -> Option<Self> {
        let is_path = path_and_query.starts_with('/') && !path_and_query.starts_with("//");
        let is_kept = is_path && path_and_query.len() <= ADDRESS_LEN_MAX;
        is_kept.then(|| Self::OfAddress(path_and_query.to_owned()))
    }

    fn of_query(query: &str) -> Option<Self> {
        let named = MEMBERS.iter().find_map(|name| member(query, name))?;
        Some(Self::OfStream(
            decoded(named).filter(|name| !name.is_empty())?,
        ))
    }
}

/// Who knows the name may speak in the session: it is not shown.
impl fmt::Debug for RpcSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OfStream(_) => "OfStream",
            Self::OfAddress(_) => "OfAddress",
            Self::OfHeader(_) => "OfHeader",
        })
    }
}

/// The identifier of a call: a text is never the same as a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RpcId {
    /// As it is written.
    Number(String),
    /// Without its escapes.
    Text(String),
}

impl RpcId {
    /// Reads one as it is encoded; `null` is none.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Option<Self> {
        if raw.len() > ID_LEN_MAX {
            return None;
        }
        match raw.first()? {
            b'"' => serde_json::from_slice(raw).ok().map(Self::Text),
            b'-' | b'0'..=b'9' => String::from_utf8(raw.to_vec()).ok().map(Self::Number),
            _ => None,
        }
    }
}

/// The answer to a call, wherever it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which.
    pub id: RpcId,
    /// How it came out.
    pub outcome: RpcOutcome,
    /// The code of an error.
    pub error: Option<String>,
}

/// What a stream has brought since it was asked last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The session that has begun with it.
    pub begun: Option<RpcSession>,
    /// Answers to calls that were made elsewhere.
    pub answers: Vec<Answer>,
    /// How many more there were.
    pub lost: u64,
}

impl News {
    pub(super) fn answered(&mut self, answer: Answer) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push(answer);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// What an exchange means for the calls of its session once it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It is a call that has no answer yet.
    Call(RpcId),
    /// It takes a call back.
    Cancel(RpcId),
    /// With it ends whatever could have brought answers.
    End,
}

/// Reads the address that the first event of a stream may be.
#[derive(Debug, Default)]
pub(super) struct Address(Vec<u8>);

impl Address {
    /// Takes the next bytes of the event's data.
    pub(super) fn push(&mut self, data: &[u8]) {
        let room = ADDRESS_LEN_MAX.saturating_sub(self.0.len());
        let kept = data.get(..room).unwrap_or(data);
        self.0.extend_from_slice(kept);
    }

    /// The session it names, or is.
    pub(super) fn session(self) -> Option<RpcSession> {
        let address = String::from_utf8(self.0).ok()?;
        let address = address.split('#').next()?;
        let named = address.split_once('?');
        named
            .and_then(|(_, query)| RpcSession::of_query(query))
            .or_else(|| RpcSession::of_path(path_of(address)?))
    }
}

/// The path of an address, and its query. One that is relative to another path
/// is not followed.
fn path_of(address: &str) -> Option<&str> {
    let behind_scheme = ["https://", "http://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    match behind_scheme {
        Some(rest) => rest.get(rest.find('/')?..),
        None => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_session_that_calls_are_sent_to() {
        let of_address = |data: &str| {
            let mut address = Address::default();
            data.as_bytes()
                .chunks(3)
                .for_each(|piece| address.push(piece));
            address.session()
        };
        let of_path = |query: &str| RpcSession::of_request(query, &Headers::default());
        for (data, query) in [
            ("/messages/?session_id=a1", "session_id=a1"),
            (
                "https://mcp.example:8443/m?x=1&sessionId=a%201#there",
                "sessionId=a%201&x=1",
            ),
            ("?sessionId=a1", "session_id=a1"),
        ] {
            assert!(of_address(data).is_some(), "{data}");
            assert_eq!(of_address(data), of_path(query), "{data}");
        }
        // Without a name it is all that there is.
        for (data, path) in [
            ("/messages", "/messages"),
            ("https://mcp.example/messages#there", "/messages"),
            ("/m?sessionId=", "/m?sessionId="),
            ("/m?key=a", "/m?key=a"),
        ] {
            assert!(of_address(data).is_some(), "{data}");
            assert_eq!(of_address(data), RpcSession::of_path(path), "{data}");
        }
        for data in [
            "",
            "{\"a\":\"?\"}",
            "messages",
            "//x/y",
            "https://mcp.example",
        ] {
            assert_eq!(of_address(data), None, "{data}");
        }
        assert_ne!(of_path("sessionId=a1"), of_path("sessionId=a2"));
    }

    #[test]
    fn a_header_comes_before_a_query_and_names_another_session() {
        let headers = Headers::of_request(|name| (name == "mcp-session-id").then(|| "a1".into()));
        let of_header = RpcSession::of_request("sessionId=a2", &headers);
        assert_eq!(of_header, Some(RpcSession::OfHeader("a1".to_owned())));
        assert!(!format!("{of_header:?}").contains("a1"));
    }

    #[test]
    fn identifiers_are_told_apart_by_type_and_not_by_spelling() {
        let id = |raw: &str| RpcId::parse(raw.as_bytes());
        assert_eq!(id("7"), Some(RpcId::Number("7".to_owned())));
        assert_ne!(id("7"), id("\"7\""));
        assert_eq!(id(r#""\u0037""#), id("\"7\""));
        let long = format!("{:?}", "7".repeat(ID_LEN_MAX));
        for raw in ["null", "true", "{}", "", &long] {
            assert_eq!(id(raw), None, "{raw}");
        }
    }

    #[test]
    fn answers_that_nobody_takes_are_bounded() {
        let mut news = News::default();
        for number in 0..=ANSWERS_MAX {
            news.answered(Answer {
                id: RpcId::Number(number.to_string()),
                outcome: RpcOutcome::Ok,
                error: None,
            });
        }
        assert_eq!((news.answers.len(), news.lost), (ANSWERS_MAX, 1));
    }
}
