//! What is called: an API, how its answer is told and coded, and how much of it.

use std::fmt;

use serde_json::json;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::Http;

/// Text of an event stream: a token an event, so that events are small.
const STREAM_TOKENS: u32 = 400;
/// Calls of a turn of streams: some megabyte of small events.
const STREAM_CALLS: usize = 10;
/// Between two events of a paced stream, and how many there are.
const GAP_MS: u32 = 3;
const PACED_TOKENS: u32 = 80;

/// A kind of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    name: &'static str,
    pub(crate) http: Http,
    pub(crate) surface: Surface,
    mode: Mode,
    coding: &'static str,
    tokens: u32,
    /// Bytes of base64 in the request: an image.
    image: usize,
    /// Calls of a turn.
    pub(crate) calls: usize,
}

const fn stream(name: &'static str, http: Http, surface: Surface, coding: &'static str) -> Shape {
    Shape {
        name,
        http,
        surface,
        mode: Mode::Streamed,
        coding,
        tokens: STREAM_TOKENS,
        image: 0,
        calls: STREAM_CALLS,
    }
}

const fn document(name: &'static str, surface: Surface, tokens: u32, calls: usize) -> Shape {
    Shape {
        name,
        http: Http::H1,
        surface,
        mode: Mode::Plain,
        coding: "identity",
        tokens,
        image: 0,
        calls,
    }
}

impl Shape {
    /// Every one. Chat streams do not ask for usage, so that weir does and takes
    /// the answer out again: its longest way. Coded ones are of an API where
    /// there is nothing to ask, so that they stay coded.
    pub(crate) const ALL: [Self; 11] = [
        stream("chat events", Http::H1, Surface::Chat, "identity"),
        stream("chat events, h2", Http::H2, Surface::Chat, "identity"),
        stream("message events", Http::H1, Surface::Messages, "identity"),
        stream(
            "message events, h2",
            Http::H2,
            Surface::Messages,
            "identity",
        ),
        stream("message events, gzip", Http::H1, Surface::Messages, "gzip"),
        stream("message events, br", Http::H1, Surface::Messages, "br"),
        document("chat, 64 KB", Surface::Chat, 13_000, 16),
        document("chat, 400 KB", Surface::Chat, 80_000, 3),
        document("chat, 1 MB", Surface::Chat, 200_000, 1),
        Shape {
            coding: "gzip",
            ..document("message, 400 KB, gzip", Surface::Messages, 80_000, 3)
        },
        Shape {
            image: 1024 * 1024,
            ..document("image sent, 1 MB", Surface::Messages, 20, 2)
        },
    ];

    /// Whether it is a stream whose events can be seen without decoding.
    pub(crate) fn has_events(self) -> bool {
        self.mode == Mode::Streamed && self.coding == "identity"
    }

    /// A call; those of different numbers are answered differently, and each
    /// always in the same way.
    pub(crate) fn call(self, number: usize) -> Call {
        self.call_of(self.tokens, number)
    }

    /// A call with pauses between its events, each with the time of its writing.
    pub(crate) fn paced_call(self) -> Call {
        self.call_of(PACED_TOKENS, 0)
            .header("x-emulator-gap-ms", &GAP_MS.to_string())
            .header("x-emulator-stamp", "1")
    }

    fn call_of(self, tokens: u32, number: usize) -> Call {
        let call = Call::new(self.surface, self.mode, self.http, &number.to_string())
            .header("accept-encoding", self.coding)
            .header("x-emulator-encoding", self.coding)
            .header("x-emulator-tokens", &tokens.to_string());
        let call = match self.surface {
            Surface::Messages => call.member("max_tokens", json!(tokens.max(512))),
            Surface::Chat | Surface::Responses => call,
        };
        if self.image == 0 {
            return call;
        }
        let source = json!({
            "type": "base64",
            "media_type": "image/png",
            "data": "iVBORw0KGgo".repeat(self.image / 11),
        });
        let content = json!([{"type": "image", "source": source}]);
        call.member("messages", json!([{"role": "user", "content": content}]))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name)
    }
}
