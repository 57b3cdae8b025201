//! Calls of model APIs, as applications make them.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use weir_emulator::Api;

use crate::curl::{Http, Transfer};

/// A model of OpenAI's that has a price.
pub const OPENAI_MODEL: &str = "gpt-4o-mini";
/// A model of Anthropic's that has a price.
pub const ANTHROPIC_MODEL: &str = "claude-sonnet-4-5";

/// The APIs that are metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Surface {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    /// The provider's host.
    #[must_use]
    pub fn host(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "api.openai.com",
            Self::Messages => "api.anthropic.com",
        }
    }

    /// The path.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// The model of a [`Call`].
    #[must_use]
    pub fn model(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => OPENAI_MODEL,
            Self::Messages => ANTHROPIC_MODEL,
        }
    }

    /// What the emulator's ledger calls it.
    #[must_use]
    pub fn in_ledger(self) -> Api {
        match self {
            Self::Chat => Api::Chat,
            Self::Responses => Api::Responses,
            Self::Messages => Api::Messages,
        }
    }
}

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As one document.
    Plain,
    /// As a stream of events.
    Streamed,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Streamed];
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The API.
    pub surface: Surface,
    /// Plain or streamed.
    pub mode: Mode,
    /// The version of HTTP.
    pub http: Http,
    scheme: &'static str,
    members: Map<String, Value>,
    headers: Vec<(String, String)>,
}

impl Call {
    /// A call with a short prompt. Different nonces get different answers.
    #[must_use]
    pub fn new(surface: Surface, mode: Mode, http: Http, nonce: &str) -> Self {
        let prompt = format!("Say something about weirs. ({nonce})");
        let body = match surface {
            Surface::Chat => json!({
                "model": surface.model(),
                "messages": [{"role": "user", "content": prompt}],
            }),
            Surface::Responses => json!({"model": surface.model(), "input": prompt}),
            Surface::Messages => json!({
                "model": surface.model(),
                "max_tokens": 512,
                "messages": [{"role": "user", "content": prompt}],
            }),
        };
        let call = Self {
            surface,
            mode,
            http,
            scheme: "https",
            members: body.as_object().cloned().unwrap_or_default(),
            headers: Vec::new(),
        };
        match mode {
            Mode::Plain => call,
            Mode::Streamed => call.member("stream", json!(true)),
        }
    }

    /// Sets a member of the request's JSON object.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Asks for usage in the stream, as applications that meter themselves do.
    #[must_use]
    pub fn asking_for_usage(self) -> Self {
        if (self.surface, self.mode) != (Surface::Chat, Mode::Streamed) {
            return self;
        }
        self.member("stream_options", json!({"include_usage": true}))
    }

    /// Adds a header, such as one that controls the emulator.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without TLS.
    #[must_use]
    pub fn cleartext(mut self) -> Self {
        self.scheme = "http";
        self
    }

    /// The request's body.
    #[must_use]
    pub fn body(&self) -> Value {
        self.members.clone().into()
    }

    /// The request's headers, credentials among them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let credentials: &[(&str, &str)] = match self.surface {
            Surface::Chat | Surface::Responses => &[("Authorization", "Bearer sk-test-0123456789")],
            Surface::Messages => &[
                ("x-api-key", "sk-ant-test-0123456789"),
                ("anthropic-version", "2023-06-01"),
            ],
        };
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        [("Content-Type", "application/json")]
            .into_iter()
            .chain(credentials.iter().copied())
            .chain(own)
    }

    /// The call as curl makes it.
    #[must_use]
    pub fn transfer(&self) -> Transfer {
        self.transfer_to(self.http.provider())
    }

    /// The same to another address.
    #[must_use]
    pub fn transfer_to(&self, address: IpAddr) -> Transfer {
        let url = format!(
            "{}://{}{}",
            self.scheme,
            self.surface.host(),
            self.surface.path()
        );
        let transfer =
            Transfer::at(&url, address, self.http).set("data-raw", &self.body().to_string());
        self.headers()
            .fold(transfer, |it, (name, value)| it.header(name, value))
    }
}
