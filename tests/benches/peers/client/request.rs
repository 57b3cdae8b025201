//! A request of the application, ready to be sent again and again.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use weir_tests::curl::Http;

use crate::answer::{Answer, FIELD};
use crate::load::{Call, Host};

/// What a prompt is made of: as text, as an encoded picture would be.
const PROMPT: &str = "TGV0IHRoZSByaXZlciBmbG93LCBhbmQgbWVhc3VyZSB3aGF0IHBhc3Nlcy4g";

/// A request.
pub(super) struct Request {
    call: Call,
    /// The head for HTTP/1.1, and the body.
    pub(super) bytes: Bytes,
    head: usize,
}

impl Request {
    pub(super) fn new(call: &Call) -> Self {
        let body = body(call);
        let (path, host) = (path(call), call.host.name());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sk-bench\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\n\
             User-Agent: OpenAI/Python 1.99.0\r\n{FIELD}: {}\r\nContent-Length: {}\r\n\r\n",
            call.answer,
            body.len()
        );
        Self {
            call: *call,
            head: head.len(),
            bytes: (head + &body).into(),
        }
    }

    /// A short one to the same server.
    pub(super) fn first(&self) -> Self {
        let answer = match self.call.answer {
            Answer::Events { .. } => Answer::Events {
                count: 2,
                gap: Duration::ZERO,
            },
            Answer::Document { .. } => self.call.answer,
            Answer::Bytes { .. } => Answer::Bytes { count: 1000 },
        };
        Self::new(&Call {
            answer,
            request: self.call.request.min(1000),
            ..self.call
        })
    }

    pub(super) fn http(&self) -> Http {
        self.call.http
    }

    /// The body alone.
    pub(super) fn body(&self) -> Bytes {
        self.bytes.slice(self.head..)
    }

    /// The head for HTTP/2.
    pub(super) fn head(&self) -> Result<http::Request<()>> {
        let (path, host) = (path(&self.call), self.call.host.name());
        Ok(http::Request::post(format!("https://{host}{path}"))
            .header("authorization", "Bearer sk-bench")
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("user-agent", "OpenAI/Python 1.99.0")
            .header(FIELD, self.call.answer.to_string())
            .header("content-length", self.body().len())
            .body(())?)
    }

    pub(super) fn has_events(&self) -> bool {
        matches!(self.call.answer, Answer::Events { .. })
    }

    /// By how much streams that are begun together are to be apart.
    pub(super) fn stagger(&self) -> Duration {
        match self.call.answer {
            Answer::Events { gap, .. } => gap,
            Answer::Document { .. } | Answer::Bytes { .. } => Duration::ZERO,
        }
    }

    /// Fails unless this is what was asked for.
    pub(super) fn check(&self, body: u64, events: u64) -> Result<()> {
        let (got, asked) = match self.call.answer {
            Answer::Document { bytes } => (body, bytes as u64),
            Answer::Bytes { count } => (body, count),
            Answer::Events { count, .. } => (events, count),
        };
        ensure!(
            got == asked,
            "{} was asked for, {got} came",
            self.call.answer
        );
        Ok(())
    }
}

fn path(call: &Call) -> &'static str {
    match call.host {
        Host::Api => "/v1/chat/completions",
        Host::Other => "/upload",
    }
}

fn body(call: &Call) -> String {
    let stream = match call.answer {
        Answer::Events { .. } => "\"stream\":true,",
        Answer::Document { .. } | Answer::Bytes { .. } => "",
    };
    let mut body = format!(
        "{{\"model\":\"gpt-4o-mini\",{stream}\"messages\":[{{\"role\":\"user\",\"content\":\""
    );
    let end = "\"}]}";
    let text = call.request.saturating_sub(body.len() + end.len());
    body.extend(PROMPT.chars().cycle().take(text));
    body.push_str(end);
    body
}
