//! `application/vnd.amazon.eventstream`: a message as it goes on the wire.
//!
//! Lengths and checksums around headers and a payload, all big-endian: total
//! length, length of the headers, CRC-32 of these eight bytes, headers,
//! payload, CRC-32 of all before it.

use crate::seed::{ALPHANUMERIC, Draws};

/// A header's value of type string.
const STRING: u8 = 7;

/// Longest padding, in characters.
const PADDING_MAX: u32 = 32;

/// A message with a JSON payload.
pub(super) struct Message<'a> {
    /// In the order in which AWS writes them.
    headers: [(&'static str, &'a str); 3],
    payload: &'a str,
}

impl<'a> Message<'a> {
    /// An event of that type.
    pub(super) fn event(kind: &'a str, payload: &'a str) -> Self {
        Self::new((":event-type", kind), "event", payload)
    }

    /// An exception of that type, after which nothing comes.
    pub(super) fn exception(kind: &'a str, payload: &'a str) -> Self {
        Self::new((":exception-type", kind), "exception", payload)
    }

    fn new(kind: (&'static str, &'a str), message: &'static str, payload: &'a str) -> Self {
        Self {
            headers: [
                kind,
                (":content-type", "application/json"),
                (":message-type", message),
            ],
            payload,
        }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        for (name, value) in self.headers {
            let name_length = u8::try_from(name.len()).expect("the names are short");
            let value_length = u16::try_from(value.len()).expect("the values are short");
            headers.push(name_length);
            headers.extend_from_slice(name.as_bytes());
            headers.push(STRING);
            headers.extend_from_slice(&value_length.to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let length = |bytes: usize| {
            u32::try_from(bytes)
                .expect("answers are far below 4 GiB")
                .to_be_bytes()
        };
        let mut message = Vec::new();
        message.extend_from_slice(&length(headers.len() + self.payload.len() + 16));
        message.extend_from_slice(&length(headers.len()));
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message.extend_from_slice(&headers);
        message.extend_from_slice(self.payload.as_bytes());
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message
    }
}

/// What hides how long a text within a payload is: the member `p`.
pub(super) fn padding(draws: &mut Draws) -> String {
    let length = draws.between(1, PADDING_MAX);
    draws.text(ALPHANUMERIC, length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand and read by botocore's decoder.
    #[test]
    fn messages_have_the_bytes_that_botocore_reads() {
        let usage = r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":7}}"#;
        let slow = r#"{"message":"slow down"}"#;
        for (message, length, headers, prelude, whole) in [
            (
                Message::event("metadata", usage),
                180,
                0x4e,
                0x1101_1d2a,
                0xd101_4739_u32,
            ),
            (
                Message::exception("throttlingException", slow),
                136,
                0x61,
                0xde01_75f4,
                0x832e_e072,
            ),
        ] {
            let bytes = message.encode();
            let word = |at: usize| {
                let word = bytes[at..at + 4].try_into().expect("four bytes");
                u32::from_be_bytes(word)
            };
            assert_eq!(bytes.len(), length);
            assert_eq!(word(0) as usize, length);
            assert_eq!(word(4), headers);
            assert_eq!(word(8), prelude);
            assert_eq!(word(length - 4), whole);
        }
    }
}
