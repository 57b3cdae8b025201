//! Where an exchange stands in a distributed trace: the application's, if its
//! request carried a W3C trace context, or one of its own.
//!
//! Nothing here adds a field to a request: that is for a rule of the tap. A context that breaks
//! any rule of the specification is as good as none (Trace Context §3.2.2.3);
//! guessing at it would tie the exchange to somebody else's trace.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest `tracestate` carried on, in bytes: what every participant must be
/// able to pass on (Trace Context §3.3.1.5).
const STATE_LEN_MAX: usize = 512;

/// Length of a `traceparent` of version 00, in bytes; later ones may be longer.
const PARENT_LEN: usize = 55;

/// Some bytes written as lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Id<const LEN: usize>([u8; LEN]);

/// Identifies a trace.
pub type TraceId = Id<16>;

/// Identifies a span within its trace.
pub type SpanId = Id<8>;

impl<const LEN: usize> Id<LEN> {
    /// The identifier of these bytes; all zero stands for none.
    #[must_use]
    pub fn new(bytes: [u8; LEN]) -> Option<Self> {
        (bytes != [0; LEN]).then_some(Self(bytes))
    }

    /// Its bytes, most significant first.
    #[must_use]
    pub fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl<const LEN: usize> fmt::Display for Id<LEN> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl<const LEN: usize> fmt::Debug for Id<LEN> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl<const LEN: usize> FromStr for Id<LEN> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected lower-case hexadecimal digits, not all zero";
        let digits = text.as_bytes();
        let mut bytes = [0; LEN];
        if digits.len() != LEN.saturating_mul(2) {
            return Err(SHAPE);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = octet(pair).ok_or(SHAPE)?;
        }
        Self::new(bytes).ok_or(SHAPE)
    }
}

impl<const LEN: usize> From<Id<LEN>> for String {
    fn from(id: Id<LEN>) -> Self {
        id.to_string()
    }
}

impl<const LEN: usize> TryFrom<String> for Id<LEN> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The context that a request arrived with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The application's trace.
    pub trace_id: TraceId,
    /// The span in it that made the request.
    pub span_id: SpanId,
    /// The flags of the context; bit 0 says that the trace is recorded.
    pub flags: u8,
    /// `tracestate`, as it came.
    pub state: Option<String>,
}

/// The bit of `flags` that says that the trace is recorded.
pub const SAMPLED: u8 = 1;

impl Parent {
    /// Reads the values of `traceparent` and `tracestate`.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (known, rest) = traceparent.trim().split_at_checked(PARENT_LEN)?;
        let mut fields = known.split('-');
        let version = fields.next().map(str::as_bytes).and_then(octet)?;
        let trace_id = fields.next()?.parse().ok()?;
        let span_id = fields.next()?.parse().ok()?;
        let flags = fields.next().map(str::as_bytes).and_then(octet)?;
        // Later versions may add fields; this one has none, and 0xff is no version.
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        (is_whole && fields.next().is_none()).then(|| Self {
            trace_id,
            span_id,
            flags,
            state: tracestate
                .map(str::trim)
                .filter(|state| !state.is_empty() && state.len() <= STATE_LEN_MAX)
                .map(str::to_owned),
        })
    }
}

/// The span of one exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The application's trace, or one of its own.
    pub trace_id: TraceId,
    /// The exchange itself.
    pub span_id: SpanId,
    /// The span of the application that it belongs to.
    pub parent_span_id: Option<SpanId>,
    /// Flags of the application's context; without one the exchange begins a
    /// trace, and whoever exports it decides about that.
    #[serde(skip)]
    pub parent_flags: Option<u8>,
    /// `tracestate` of the application's context: for exports of spans, which
    /// have a place for it, and not for the log.
    #[serde(skip)]
    pub state: Option<String>,
}

impl Trace {
    /// The trace of an exchange whose request carried `parent`; `random` gives
    /// bits that do not repeat.
    #[must_use]
    pub fn continuing(parent: Option<Parent>, mut random: impl FnMut() -> u64) -> Self {
        let span_id = SpanId::new(random().to_be_bytes()).unwrap_or(Id(1_u64.to_be_bytes()));
        match parent {
            Some(parent) => Self {
                trace_id: parent.trace_id,
                span_id,
                parent_span_id: Some(parent.span_id),
                parent_flags: Some(parent.flags),
                state: parent.state,
            },
            None => {
                let bits = u128::from(random()) << 64 | u128::from(random());
                Self {
                    trace_id: TraceId::new(bits.to_be_bytes()).unwrap_or(Id(1_u128.to_be_bytes())),
                    span_id,
                    parent_span_id: None,
                    parent_flags: None,
                    state: None,
                }
            }
        }
    }

    /// The value of `traceparent` for whoever is called: their parent is the span
    /// of the exchange. A trace that begins here may be recorded, and says so.
    #[must_use]
    pub fn context(&self) -> String {
        let Self {
            trace_id, span_id, ..
        } = self;
        let flags = self.parent_flags.unwrap_or(SAMPLED);
        format!("00-{trace_id}-{span_id}-{flags:02x}")
    }
}

/// Two lower-case hexadecimal digits.
fn octet(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_continued_with_a_span_of_its_own() {
        let parent = Parent::parse(GOOD, Some("vendor=1")).expect("a good context");
        let trace = Trace::continuing(Some(parent), || 7);
        assert_eq!(
            trace.trace_id.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(trace.span_id.to_string(), "0000000000000007");
        assert_eq!(
            trace.parent_span_id.map(String::from).as_deref(),
            Some("00f067aa0ba902b7")
        );
        assert_eq!(trace.parent_flags, Some(SAMPLED));
        assert_eq!(trace.state.as_deref(), Some("vendor=1"));
    }

    #[test]
    fn whoever_is_called_continues_the_trace_below_the_exchange() {
        let unrecorded = GOOD.replace("-01", "-00");
        let parent = Parent::parse(&unrecorded, None).expect("a good context");
        let trace = Trace::continuing(Some(parent), || 7);
        assert_eq!(
            trace.context(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-00"
        );
        let begun = Trace::continuing(None, || 7).context();
        let parent = Parent::parse(&begun, None).expect("a good context");
        assert_eq!(parent.flags, SAMPLED);
    }

    #[test]
    fn without_a_context_a_trace_begins() {
        let mut bits = 0;
        let trace = Trace::continuing(None, || {
            bits += 1;
            bits
        });
        assert_eq!(
            trace.trace_id.to_string(),
            "00000000000000020000000000000003"
        );
        assert_eq!(trace.parent_span_id, None);
        // An identifier is never all zero, whatever the bits.
        let trace = Trace::continuing(None, || 0);
        assert!(trace.trace_id.bytes().iter().any(|byte| *byte != 0));
    }

    #[test]
    fn what_is_not_a_context_is_none() {
        assert!(Parent::parse(GOOD, None).is_some());
        let later = GOOD.replacen("00", "cc", 1) + "-what-the-future-holds";
        assert!(Parent::parse(&later, None).is_some());
        let refused = [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replace("00-4b", "ff-4b"),
            format!("{GOOD}-more"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace('-', "_"),
            format!("{GOOD}, {GOOD}"),
            "\u{20ac}".repeat(40),
        ];
        for bad in refused {
            assert_eq!(Parent::parse(&bad, None), None, "{bad}");
        }
        for end in 0..GOOD.len() {
            let cut = GOOD.get(..end).expect("it is ASCII");
            assert_eq!(Parent::parse(cut, None), None, "{end}");
        }
    }

    #[test]
    fn a_state_without_bounds_is_left_out() {
        let long = "a=".to_owned() + &"b".repeat(STATE_LEN_MAX);
        let parent = Parent::parse(GOOD, Some(&long)).expect("the parent stands without it");
        assert_eq!(parent.state, None);
    }
}
