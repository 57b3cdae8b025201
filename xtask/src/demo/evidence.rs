//! What three parties say about the same calls: the clients, the emulator and weir.
//!
//! Only the fields that are compared or shown; weir's report has more.

use anyhow::{Context, Result};
use serde::Deserialize;

/// Which API was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Api {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/messages`
    Messages,
    /// Anything that is not a call to a model.
    #[serde(other)]
    Other,
}

/// How the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once.
    Plain,
    /// As a stream of events.
    Stream,
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Http {
    /// HTTP/1.1.
    #[serde(rename = "h1", alias = "1.1", alias = "1.0")]
    H1,
    /// HTTP/2.
    #[serde(rename = "h2", alias = "2")]
    H2,
    /// No HTTP that anybody read.
    #[serde(other)]
    Opaque,
}

/// An answer that a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: String,
    pub(crate) api: Api,
    pub(crate) mode: Mode,
    /// The answer's own id, by which all three know it.
    pub(crate) id: String,
}

/// An answer that the emulator sent: a line of its ledger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Sent {
    pub(crate) api: Api,
    pub(crate) http: Http,
    pub(crate) authority: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) stream: bool,
    /// All of the prompt, cached or not.
    pub(crate) input_tokens: u64,
    /// All that was generated, reasoning included.
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) ended: String,
}

/// A record of weir's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Record {
    pub(crate) decision: String,
    pub(crate) reason: String,
    pub(crate) host: Option<String>,
    pub(crate) request_model: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) stream: Option<bool>,
    pub(crate) protocol: Http,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) cache_read_tokens: Option<u64>,
    pub(crate) cache_write_tokens: Option<u64>,
    pub(crate) reasoning_tokens: Option<u64>,
    pub(crate) tokens_provenance: String,
    /// For showing, not for sums.
    pub(crate) cost_usd: Option<f64>,
    pub(crate) cost_provenance: String,
    pub(crate) time_to_first_chunk_ms: Option<f64>,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
}

/// weir's sums.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Totals {
    pub(crate) exchanges: u64,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) cache_read_tokens: Option<u64>,
    pub(crate) cost_usd: Option<f64>,
}

/// weir's report.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Report {
    pub(crate) exchanges: Vec<Record>,
    pub(crate) totals: Totals,
}

impl Api {
    /// The name that clients use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Other => "other",
        }
    }
}

impl Mode {
    /// Of an exchange that was, or was not, a stream.
    pub(crate) fn of(stream: bool) -> Self {
        if stream { Self::Stream } else { Self::Plain }
    }

    /// The name that clients use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
        }
    }
}

impl Http {
    /// The name that weir uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Opaque => "-",
        }
    }
}

impl Told {
    /// Reads a client's line: client, API, mode and id, with tabs between.
    ///
    /// # Errors
    /// When the line is something else.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let told = || {
            let mut fields = line.split('\t');
            let client = fields.next()?.to_owned();
            let api = match fields.next()? {
                "chat" => Api::Chat,
                "responses" => Api::Responses,
                "messages" => Api::Messages,
                _ => return None,
            };
            let mode = match fields.next()? {
                "plain" => Mode::Plain,
                "stream" => Mode::Stream,
                _ => return None,
            };
            let id = fields.next().filter(|id| !id.is_empty())?.to_owned();
            fields.next().is_none().then_some(Self {
                client,
                api,
                mode,
                id,
            })
        };
        told().with_context(|| format!("a client printed what is no account of an answer: {line}"))
    }
}

impl Sent {
    /// Reads the emulator's ledger.
    ///
    /// # Errors
    /// When it has another shape.
    pub(crate) fn parse_ledger(text: &str) -> Result<Vec<Self>> {
        text.lines()
            .map(|line| {
                serde_json::from_str(line)
                    .with_context(|| format!("the emulator's ledger has another shape: {line}"))
            })
            .collect()
    }
}

impl Report {
    /// Reads weir's report.
    ///
    /// # Errors
    /// When it has another shape.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("weir's report has another shape")
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, Mode, Told};

    #[test]
    fn a_line_is_read_whole_or_not_at_all() {
        let told = Told::parse("python openai\tchat\tstream\tchatcmpl-1").unwrap();
        assert_eq!(told.client, "python openai");
        assert_eq!((told.api, told.mode), (Api::Chat, Mode::Stream));
        assert_eq!(told.id, "chatcmpl-1");
        for line in [
            "",
            "hello",
            "curl\tchat\tstream\t",
            "curl\tchat\tslow\tid",
            "curl\tother\tplain\tid",
            "curl\tchat\tplain\tid\tmore",
        ] {
            assert!(Told::parse(line).is_err(), "{line:?}");
        }
    }
}
