//! The chunks in which Bedrock streams the answer of a model in its own format:
//! a document in base64 within a document.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Found, Interest, JsonError, Scanner, Table, Want};
use super::observation::Problem;

/// What is within a chunk. The other member, `p`, pads it to a random length.
static BYTES: Table<()> = Table::new(&[Interest {
    path: &["bytes"],
    want: Want::Scalar,
    slot: (),
}]);

/// As lenient as the decoders of the SDKs.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Unwraps one chunk after another. A chunk is at most as large as the scanner's
/// bound on a value; what models stream is below 1 KB.
#[derive(Debug)]
pub(super) struct Unwrapper {
    scanner: Scanner<()>,
    encoded: Vec<u8>,
}

impl Default for Unwrapper {
    fn default() -> Self {
        Self {
            scanner: Scanner::new(&BYTES),
            encoded: Vec::new(),
        }
    }
}

impl Unwrapper {
    /// Reads the next bytes of a payload.
    pub(super) fn push(&mut self, payload: &[u8]) {
        let encoded = &mut self.encoded;
        self.scanner.push(payload, |found| {
            if let Found::Value { raw, .. } = found {
                encoded.clear();
                encoded.extend_from_slice(raw);
            }
        });
    }

    /// What was in the payload, which ends here.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, Problem> {
        let whole = self.scanner.end();
        self.scanner.reset();
        let encoded = std::mem::take(&mut self.encoded);
        match whole {
            Ok(_) | Err(JsonError::Empty) => {}
            Err(JsonError::TooDeep) => return Err(Problem::TooDeep),
            Err(JsonError::Truncated | JsonError::Malformed) => return Err(Problem::BadJson),
        }
        if encoded.is_empty() {
            if self.scanner.has_met_oversized() {
                return Err(Problem::ValueTooLarge);
            }
            // A message that is no chunk.
            return Ok(Vec::new());
        }
        let inner = encoded
            .strip_prefix(b"\"")
            .and_then(|encoded| encoded.strip_suffix(b"\""));
        inner
            .and_then(|inner| BASE64.decode(inner).ok())
            .ok_or(Problem::BadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrap(payload: &str) -> Result<String, Problem> {
        let mut unwrapper = Unwrapper::default();
        for byte in payload.as_bytes().chunks(1) {
            unwrapper.push(byte);
        }
        let bytes = unwrapper.end()?;
        Ok(String::from_utf8(bytes).expect("the cases are text"))
    }

    #[test]
    fn a_document_is_taken_out_of_its_chunk() {
        let cases = [
            (r#"{"bytes":"e30=","p":"abcdef"}"#, Ok("{}")),
            (r#"{"bytes":"e30"}"#, Ok("{}")),
            (r#"{"p":"abc"}"#, Ok("")),
            ("", Ok("")),
            (r#"{"bytes":"?"}"#, Err(Problem::BadEncoding)),
            (r#"{"bytes":7}"#, Err(Problem::BadEncoding)),
            (r#"{"bytes":"e30="#, Err(Problem::BadJson)),
        ];
        for (payload, expected) in cases {
            assert_eq!(unwrap(payload), expected.map(str::to_owned), "{payload}");
        }
    }

    #[test]
    fn an_oversized_chunk_is_passed_over() {
        let payload = format!(r#"{{"bytes":"{}"}}"#, "A".repeat(100_000));
        assert_eq!(unwrap(&payload), Err(Problem::ValueTooLarge));
    }
}
