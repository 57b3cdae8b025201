//! Answers that weir gives in the place of the provider, in the provider's own
//! shape, so that its SDK raises the exception it would raise for the provider.

use serde_json::json;

use crate::{llm::catalogue::Provider, meter::reason::Reason};

/// Names the reason on every response that is weir's own.
pub(crate) const REASON_HEADER: &str = "x-weir-reason";

/// A response of weir's own.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn misdirected(asked: &str, verified: &str) -> Self {
        Self {
            status: 421,
            reason: Reason::AuthorityMismatch,
            message: format!(
                "the request is for {asked:?}, but this connection was verified for {verified:?}"
            ),
        }
    }

    pub(crate) fn bad_request(problem: impl ToString) -> Self {
        Self {
            status: 400,
            reason: Reason::BadRequest,
            message: problem.to_string(),
        }
    }

    /// The JSON body.
    pub(crate) fn body(&self, provider: &Provider) -> Vec<u8> {
        let message = format!("weir: {}", self.message);
        let body = if *provider == Provider::Anthropic {
            json!({
                "type": "error",
                "error": {"type": "invalid_request_error", "message": message},
            })
        } else {
            json!({
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": null,
                    "code": self.reason.as_str(),
                },
            })
        };
        body.to_string().into_bytes()
    }

    /// The whole response as HTTP/1.1; the connection ends with it.
    pub(crate) fn http1(&self, provider: &Provider) -> Vec<u8> {
        let body = self.body(provider);
        let phrase = match self.status {
            400 => "Bad Request",
            421 => "Misdirected Request",
            _ => "Refused",
        };
        let mut response = format!(
            "HTTP/1.1 {} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             {REASON_HEADER}: {}\r\nconnection: close\r\n\r\n",
            self.status,
            body.len(),
            self.reason.as_str(),
        )
        .into_bytes();
        response.extend_from_slice(&body);
        response
    }
}
