//! Which API a request addresses: by the shape of its path, and by who bills for
//! the host where the path leaves that open.
//!
//! The same bodies are served by dozens of hosts under different prefixes, so
//! paths are compared from the right. [`ROWS`] is the whole of the knowledge, read
//! once into what is quick to compare (`table`); the bodies are not looked at.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod api;
mod pattern;
mod rows;
mod table;

pub use api::{Api, Counting};
pub use rows::{ROWS, Row, When};

pub(super) use pattern::decoded;
use pattern::{Captured, Path};
use table::TABLE;

use super::catalogue::Provider;
use super::headers::Headers;
use super::rpc_session::RpcSession;

/// Longest name taken from a path, in bytes: an ARN fits.
const NAME_LEN_MAX: usize = 200;

/// What a request addresses, as far as its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The API.
    pub api: Api,
    /// The model, deployment or endpoint that the path names. What the body
    /// names, if anything, comes first.
    pub model: Option<String>,
    /// What the path identifies, where the body does not.
    pub id: Option<String>,
    /// Whether the answer is a stream, where the path says so.
    pub stream: Option<bool>,
    /// The index in [`ROWS`] of the row that matched.
    pub row: Option<usize>,
    /// The session of the Model Context Protocol that the head names.
    pub session: Option<RpcSession>,
    /// The one that a call to this address is part of, if a stream named no more
    /// than the address.
    pub address: Option<RpcSession>,
    /// Whether the request ends that session.
    pub ends_session: bool,
}

impl From<Api> for Target {
    fn from(api: Api) -> Self {
        Self {
            api,
            model: None,
            id: None,
            stream: None,
            row: None,
            session: None,
            address: None,
            ends_session: false,
        }
    }
}

/// Classifies a request by its head. A fragment and one trailing slash are
/// ignored; names are compared exactly, as servers do.
#[must_use]
pub fn classify(
    method: &str,
    path_and_query: &str,
    provider: Option<&Provider>,
    headers: &Headers,
) -> Target {
    let whole = path_and_query.split('#').next().unwrap_or_default();
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    let path = Path::new(path);
    let found = TABLE
        .matching(method, &path)
        .find(|(_, row, _)| row.when.holds(provider, headers, query));
    // Calls of MCP's first revision go wherever the server says.
    let address = |api: Api| {
        let may_be_call = method == "POST" && matches!(api, Api::Mcp | Api::Other);
        may_be_call.then(|| RpcSession::of_path(whole)).flatten()
    };
    let Some((index, row, captured)) = found else {
        return Target {
            address: address(Api::Other),
            ..Target::from(Api::Other)
        };
    };
    let session = (row.api == Api::Mcp)
        .then(|| RpcSession::of_request(query, headers))
        .flatten();
    let model = model(row.api, captured, query);
    Target {
        ends_session: session.is_some() && method == "DELETE",
        address: address(row.api).filter(|_| session.is_none()),
        session,
        api: match (row.api, model.as_deref()) {
            (Api::BedrockInvoke, Some(model)) if embeds(model) => Api::BedrockEmbed,
            (api, _) => api,
        },
        model,
        id: captured.id.and_then(name),
        stream: row.stream,
        row: Some(index),
    }
}

/// Whether a model that Bedrock invokes makes embeddings: makers call it so, and
/// nothing else in a request says it for all of them.
fn embeds(model: &str) -> bool {
    model.contains("embed")
}

/// The model that stands in the path, or in the query of a realtime session.
fn model(api: Api, captured: Captured<'_>, query: &str) -> Option<String> {
    let in_query = || {
        let named = member(query, "model").or_else(|| member(query, "deployment"));
        named.filter(|_| api == Api::OpenAiRealtime)
    };
    captured.model.or_else(in_query).and_then(name)
}

/// A name or identifier as it stands in a path.
fn name(raw: &str) -> Option<String> {
    let mut name = decoded(raw)?;
    name.truncate(name.floor_char_boundary(NAME_LEN_MAX));
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

/// The value of a member of a query, still encoded.
pub(super) fn member<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

impl When {
    fn holds(self, provider: Option<&Provider>, headers: &Headers, query: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Socket => headers.names("upgrade", "websocket"),
            Self::At(providers) => provider.is_some_and(|named| providers.contains(named)),
            Self::Header(name) => headers.get(name).is_some(),
            Self::TakesJsonAndEvents => {
                headers.names("accept", "application/json")
                    && headers.names("accept", "text/event-stream")
            }
            Self::Query(name) => member(query, name).is_some(),
        }
    }
}

#[cfg(test)]
mod tests;
