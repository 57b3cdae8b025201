//! Of whole exchanges.

use crate::invariant::check_splits;
use crate::llm::classify::{ROWS, Target};
use crate::llm::headers::Headers;
use crate::llm::inspect::Inspector;
use crate::llm::observation::{Ending, Observation, Problem};

const TYPES: [Option<&str>; 10] = [
    None,
    Some("application/json"),
    Some("text/event-stream"),
    Some("application/x-ndjson"),
    Some("application/vnd.amazon.eventstream"),
    Some("application/grpc"),
    Some("multipart/form-data; boundary=b"),
    Some("audio/mpeg"),
    Some("text/html"),
    Some("application/grpc+proto"),
];
const CODINGS: [Option<&str>; 6] = [
    None,
    Some("identity"),
    Some("gzip"),
    Some("deflate"),
    Some("br"),
    Some("zstd"),
];
const STATUS: [u16; 4] = [200, 400, 429, 503];

/// An exchange in bytes: six of choices and the length of the request, then both
/// bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    target: u8,
    choices: u8,
    request_type: u8,
    response_type: u8,
    request: &'a [u8],
    response: &'a [u8],
}

impl<'a> Shown<'a> {
    /// An exchange with what a row of [`ROWS`] addresses, without content codings.
    /// Media types are taken for the nearest that is shown; `None` for a row or a
    /// body that does not fit.
    #[must_use]
    pub fn new(
        row: usize,
        status: u16,
        types: [Option<&str>; 2],
        request: &'a [u8],
        response: &'a [u8],
    ) -> Option<Self> {
        let [request_type, response_type] = types.map(|named| {
            let essence = |value: &str| value.split(';').next().map(str::to_owned);
            let at = TYPES
                .iter()
                .position(|known| known.and_then(essence) == named.and_then(essence));
            u8::try_from(at.unwrap_or(0)).unwrap_or(0)
        });
        let status = STATUS
            .iter()
            .position(|known| *known == status)
            .unwrap_or(1);
        u16::try_from(request.len()).ok()?;
        Some(Self {
            target: u8::try_from(row).ok()?,
            choices: u8::try_from(status).ok()?,
            request_type,
            response_type,
            request,
            response,
        })
    }

    /// As [`of_inspection`] reads it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.request.len()).unwrap_or(u16::MAX);
        let head = [
            self.target,
            self.choices,
            self.request_type,
            self.response_type,
        ];
        [
            &head,
            &length.to_le_bytes()[..],
            self.request,
            self.response,
        ]
        .concat()
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, bodies) = bytes.split_at_checked(6)?;
        let [target, choices, request_type, response_type, low, high] = *head else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        let (request, response) = bodies.split_at(length.min(bodies.len()));
        Some(Self {
            target,
            choices,
            request_type,
            response_type,
            request,
            response,
        })
    }

    fn status(&self) -> u16 {
        STATUS[usize::from(self.choices) % STATUS.len()]
    }

    fn codings(&self) -> [Option<&'static str>; 2] {
        let choice = usize::from(self.choices) / STATUS.len();
        [choice, choice / CODINGS.len()].map(|choice| CODINGS[choice % CODINGS.len()])
    }

    /// What is seen of it if its bodies come in these pieces.
    fn observe(&self, request: &[&[u8]], response: &[&[u8]]) -> Observation {
        let row = usize::from(self.target) % ROWS.len();
        let target = Target {
            stream: ROWS[row].stream,
            row: Some(row),
            ..Target::from(ROWS[row].api)
        };
        let [request_coding, response_coding] = self.codings();
        let field = |name, media, coding: Option<&str>| match name {
            "content-type" => TYPES[usize::from(media) % TYPES.len()].map(str::to_owned),
            "content-encoding" => coding.map(str::to_owned),
            "grpc-encoding" => Some("gzip".to_owned()),
            _ => None,
        };
        let headers = Headers::of_request(|name| field(name, self.request_type, request_coding));
        let mut inspector = Inspector::new(target, &headers);
        for piece in request {
            inspector.request_body(piece);
        }
        inspector.request_end();
        let headers = Headers::of_response(|name| field(name, self.response_type, response_coding));
        inspector.response_head(self.status(), &headers);
        let (mut has_seen_content, mut has_seen_end) = (false, false);
        for piece in response {
            inspector.response_body(piece);
            assert!(inspector.has_seen_content() >= has_seen_content);
            assert!(inspector.has_seen_end() >= has_seen_end);
            has_seen_content = inspector.has_seen_content();
            has_seen_end = inspector.has_seen_end();
        }
        inspector.finish(Ending::Complete)
    }
}

/// Of [`Inspector`], whatever API it is and in whatever the bodies come: however
/// they are split, the same is seen, and no more than fits into a record.
///
/// # Panics
/// If that does not hold.
pub fn of_inspection(bytes: &[u8]) {
    let Some(shown) = Shown::read(bytes) else {
        return;
    };
    let whole = shown.observe(&[shown.request], &[shown.response]);
    let texts = [
        &whole.request_model,
        &whole.response_model,
        &whole.response_id,
        &whole.finish_reason,
        &whole.service_tier,
        &whole.provider_error,
    ];
    for text in texts.into_iter().flatten() {
        assert!(text.len() <= 200, "{} bytes of a name", text.len());
    }
    // How far a body is read that breaks off within its coding depends on how it
    // came, and so does whether a decoder finds it malformed or waits for more.
    let is_coded = shown.codings().iter().flatten().any(|it| *it != "identity");
    let breaks_off = whole.problems.iter().any(|problem| {
        matches!(
            problem,
            Problem::BadEncoding | Problem::DecompressionRatio | Problem::BodyTooLarge
        ) || (is_coded && *problem == Problem::Truncated)
    });
    if breaks_off {
        return;
    }
    let observed = check_splits(shown.response, |response| {
        shown.observe(&[shown.request], response)
    });
    assert_eq!(observed, whole);
    let observed = check_splits(shown.request, |request| {
        shown.observe(request, &[shown.response])
    });
    assert_eq!(observed, whole);
}
