//! The providers: how each asks for credentials and words a refusal.

use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use time::OffsetDateTime;

use super::bedrock::{self, signature};
use crate::answer::Answer;
use crate::seed::{ALPHANUMERIC, HEX, Seed};
use crate::wire::Request;
use crate::wire::fields::Fields;

/// Whose shapes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    OpenAi,
    Anthropic,
    Bedrock,
    Cohere,
    Google,
    Mistral,
    Ollama,
}

impl Provider {
    /// By path, then by the headers and the host that only one of them has.
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.path();
        let has = |name| request.headers.contains_key(name);
        let at = |host| {
            let authority = request.authority.as_deref();
            authority.is_some_and(|authority| authority.contains(host))
        };
        if path.starts_with("/model/") {
            Provider::Bedrock
        } else if path.starts_with("/v1/messages")
            || has("anthropic-version")
            || has("x-api-key")
            || at("anthropic")
        {
            Provider::Anthropic
        } else if has("x-goog-api-key") || at("googleapis") {
            Provider::Google
        } else if at("cohere") {
            Provider::Cohere
        } else if at("mistral") {
            Provider::Mistral
        } else if path.starts_with("/api/") {
            Provider::Ollama
        } else {
            Provider::OpenAi
        }
    }

    /// Refuses a request without credentials. Any key will do, but a signature
    /// must hold for what arrived by `now`.
    pub(crate) fn authenticate(
        self,
        request: &Request,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let bearer = has_bearer(&request.headers);
        let known = match self {
            Provider::OpenAi | Provider::Cohere | Provider::Mistral => bearer,
            Provider::Anthropic => bearer || request.headers.contains_key("x-api-key"),
            Provider::Bedrock => return signature::verify(request, body, now),
            Provider::Google => {
                bearer
                    || request.headers.contains_key("x-goog-api-key")
                    || request.query("key").is_some()
            }
            // A server of one's own asks for none.
            Provider::Ollama => true,
        };
        if known {
            Ok(())
        } else {
            Err(Refusal::unauthenticated(self))
        }
    }

    /// The fields that every answer of this provider carries.
    pub(crate) fn fields(self, seed: Seed) -> Fields {
        match self {
            Provider::OpenAi => Fields::new()
                .with("x-request-id", seed.id("req_", HEX, 32))
                .with("openai-organization", "emulated-org")
                .with("openai-processing-ms", "7")
                .with("openai-version", "2020-10-01")
                .with("x-ratelimit-limit-requests", "10000")
                .with("x-ratelimit-remaining-requests", "9999")
                .with("x-ratelimit-reset-requests", "6ms")
                .with("Set-Cookie", "__cf_bm=emulated; path=/; Secure; HttpOnly")
                .with("Set-Cookie", "_cfuvid=emulated; path=/; Secure; HttpOnly")
                .with("CF-RAY", "emulated-OSL"),
            Provider::Anthropic => Fields::new()
                .with("request-id", seed.id("req_01", ALPHANUMERIC, 22))
                .with(
                    "anthropic-organization-id",
                    "00000000-0000-4000-8000-000000000000",
                )
                .with("anthropic-ratelimit-requests-limit", "4000")
                .with("anthropic-ratelimit-requests-remaining", "3999")
                .with("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z")
                .with("CF-RAY", "emulated-OSL"),
            Provider::Bedrock => Fields::new().with("x-amzn-RequestId", bedrock::request_id(seed)),
            Provider::Cohere => Fields::new()
                .with("x-debug-trace-id", seed.id("", HEX, 32))
                .with("x-endpoint-monthly-call-limit", "1000"),
            Provider::Google => Fields::new()
                .with("Server-Timing", "gfet4t7; dur=7")
                .with("Vary", "Origin, X-Origin, Referer")
                .with("X-Content-Type-Options", "nosniff"),
            Provider::Mistral => Fields::new()
                .with("mistral-correlation-id", seed.id("", HEX, 32))
                .with("x-ratelimit-limit-req-minute", "60"),
            Provider::Ollama => Fields::new(),
        }
    }

    /// The body of an error.
    fn error(self, status: StatusCode, kind: &Kind, message: &str, param: Option<&str>) -> String {
        let body = match self {
            Provider::OpenAi => json!({"error": {
                "message": message,
                "type": kind.openai,
                "param": param,
                "code": kind.code,
            }}),
            Provider::Anthropic => json!({
                "type": "error",
                "error": {"type": kind.anthropic, "message": message},
                "request_id": Seed::of_text(message).id("req_01", ALPHANUMERIC, 22),
            }),
            // What sort of error it is stands in the head.
            Provider::Bedrock => json!({"message": message}),
            Provider::Cohere => {
                json!({"id": Seed::of_text(message).id("", HEX, 32), "message": message})
            }
            Provider::Google => json!({"error": {
                "code": status.as_u16(),
                "message": message,
                "status": kind.google,
            }}),
            Provider::Mistral => json!({
                "object": "error",
                "message": message,
                "type": kind.openai,
                "param": param,
                "code": kind.code,
            }),
            Provider::Ollama => json!({"error": message}),
        };
        match self {
            Provider::OpenAi | Provider::Google => format!("{body:#}\n"),
            Provider::Anthropic
            | Provider::Bedrock
            | Provider::Cohere
            | Provider::Mistral
            | Provider::Ollama => body.to_string(),
        }
    }
}

fn has_bearer(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// What sort of error, in each provider's words.
#[derive(Debug, Clone, Copy)]
struct Kind {
    openai: &'static str,
    code: Option<&'static str>,
    anthropic: &'static str,
    aws: &'static str,
    google: &'static str,
}

/// Anthropic's status for "overloaded".
const OVERLOADED_STATUS: u16 = 529;

/// What AWS writes behind the name of an exception.
const AWS_NAMESPACE: &str = "http://internal.amazon.com/coral/com.amazon.bedrock/";

const INVALID: Kind = Kind {
    openai: "invalid_request_error",
    code: None,
    anthropic: "invalid_request_error",
    aws: "ValidationException",
    google: "INVALID_ARGUMENT",
};
const TOO_LARGE: Kind = Kind {
    openai: "invalid_request_error",
    code: Some("request_too_large"),
    anthropic: "request_too_large",
    aws: "RequestEntityTooLargeException",
    google: "INVALID_ARGUMENT",
};
const UNAUTHENTICATED: Kind = Kind {
    openai: "invalid_request_error",
    code: Some("invalid_api_key"),
    anthropic: "authentication_error",
    aws: "MissingAuthenticationTokenException",
    google: "UNAUTHENTICATED",
};
const NOT_FOUND: Kind = Kind {
    openai: "invalid_request_error",
    code: None,
    anthropic: "not_found_error",
    aws: "UnknownOperationException",
    google: "NOT_FOUND",
};
const RATE_LIMITED: Kind = Kind {
    openai: "requests",
    code: Some("rate_limit_exceeded"),
    anthropic: "rate_limit_error",
    aws: "ThrottlingException",
    google: "RESOURCE_EXHAUSTED",
};
const OVERLOADED: Kind = Kind {
    openai: "server_error",
    code: Some("overloaded"),
    anthropic: "overloaded_error",
    aws: "ServiceUnavailableException",
    google: "UNAVAILABLE",
};
const FAILED: Kind = Kind {
    openai: "server_error",
    code: None,
    anthropic: "api_error",
    aws: "InternalServerException",
    google: "INTERNAL",
};

// What only AWS tells apart: a request that is not as it was signed, or that
// nobody known signed.
const ILL_SIGNED: Kind = Kind {
    aws: "IncompleteSignatureException",
    ..UNAUTHENTICATED
};
const MISSIGNED: Kind = Kind {
    aws: "InvalidSignatureException",
    ..UNAUTHENTICATED
};
const UNKNOWN_KEY: Kind = Kind {
    aws: "UnrecognizedClientException",
    ..UNAUTHENTICATED
};

/// An answer other than what was asked for.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    content: RefusalContent,
    fields: Fields,
}

#[derive(Debug)]
enum RefusalContent {
    /// The provider's JSON.
    Provider {
        kind: &'static Kind,
        message: String,
        param: Option<&'static str>,
    },
    /// A page by whatever stands in front of the provider.
    Html(&'static str),
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static Kind, message: impl Into<String>) -> Self {
        Self {
            status,
            content: RefusalContent::Provider {
                kind,
                message: message.into(),
                param: None,
            },
            fields: Fields::new(),
        }
    }

    /// A request that says something wrong about `param`.
    pub(crate) fn invalid(message: impl Into<String>, param: Option<&'static str>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            content: RefusalContent::Provider {
                kind: &INVALID,
                message: message.into(),
                param,
            },
            fields: Fields::new(),
        }
    }

    /// The same refusal with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// A body past the limit.
    pub(crate) fn too_large() -> Self {
        let message = "Request exceeds the maximum size";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, &TOO_LARGE, message)
    }

    /// No credentials.
    fn unauthenticated(provider: Provider) -> Self {
        let message = match provider {
            Provider::OpenAi => {
                "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
            }
            Provider::Anthropic => "x-api-key header is required",
            Provider::Bedrock => return Self::unsigned("Missing Authentication Token"),
            Provider::Google => "Method doesn't allow unregistered callers.",
            Provider::Cohere => "no api key supplied",
            Provider::Mistral | Provider::Ollama => "Unauthorized",
        };
        Self::new(StatusCode::UNAUTHORIZED, &UNAUTHENTICATED, message)
    }

    /// Nobody signed the request.
    pub(crate) fn unsigned(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, &UNAUTHENTICATED, message)
    }

    /// A signature lacks something.
    pub(crate) fn ill_signed(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, &ILL_SIGNED, message)
    }

    /// A signature is not that of the request.
    pub(crate) fn missigned(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, &MISSIGNED, message)
    }

    /// Signed with a key that does not exist.
    pub(crate) fn unknown_key() -> Self {
        let message = "The security token included in the request is invalid.";
        Self::new(StatusCode::FORBIDDEN, &UNKNOWN_KEY, message)
    }

    /// No such path.
    pub(crate) fn not_found(request: &Request) -> Self {
        let message = format!("Invalid URL ({} {})", request.method, request.path());
        Self::new(StatusCode::NOT_FOUND, &NOT_FOUND, message)
    }

    /// No such stored object.
    pub(crate) fn no_such_response(id: &str) -> Self {
        let message = format!("Response with id '{id}' not found.");
        Self::new(StatusCode::NOT_FOUND, &NOT_FOUND, message)
    }

    /// Too many requests.
    pub(crate) fn rate_limited() -> Self {
        let mut refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            &RATE_LIMITED,
            "Rate limit reached. Please try again in 1s.",
        );
        refusal.fields = Fields::new()
            .with("retry-after", "1")
            .with("retry-after-ms", "20")
            .with("x-ratelimit-remaining-requests", "0");
        refusal
    }

    /// Too much to do.
    pub(crate) fn overloaded() -> Self {
        let status = StatusCode::from_u16(OVERLOADED_STATUS).expect("it has three digits");
        Self::new(status, &OVERLOADED, "Overloaded")
    }

    /// A failure inside.
    pub(crate) fn failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            &FAILED,
            "The server had an error while processing your request.",
        )
    }

    /// `Expect` refused.
    pub(crate) fn expectation() -> Self {
        Self::new(
            StatusCode::EXPECTATION_FAILED,
            &INVALID,
            "Expectation refused",
        )
    }

    /// A failure in front.
    pub(crate) fn html() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            content: RefusalContent::Html(
                "<html>\r\n<head><title>500 Internal Server Error</title></head>\r\n<body>\r\n\
                 <center><h1>500 Internal Server Error</h1></center>\r\n<hr><center>cloudflare</center>\r\n\
                 </body>\r\n</html>\r\n",
            ),
            fields: Fields::new(),
        }
    }

    /// The refusal in a provider's words.
    pub(crate) fn answer(self, provider: Provider) -> Answer {
        match self.content {
            RefusalContent::Provider {
                kind,
                message,
                param,
            } => {
                let body = provider.error(self.status, kind, &message, param);
                let mut fields = provider.fields(Seed::of_text(&body));
                let mut status = self.status;
                if provider == Provider::Bedrock {
                    fields.push("x-amzn-ErrorType", format!("{}:{AWS_NAMESPACE}", kind.aws));
                    // 529 is Anthropic's own; nor does AWS say when to try again.
                    if status.as_u16() == OVERLOADED_STATUS {
                        status = StatusCode::SERVICE_UNAVAILABLE;
                    }
                } else {
                    fields.extend(self.fields);
                }
                Answer::json(status, fields, body)
            }
            RefusalContent::Html(page) => {
                Answer::plain(self.status, self.fields, "text/html", page)
            }
        }
    }
}
