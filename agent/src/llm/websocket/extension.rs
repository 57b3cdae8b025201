//! What the two ends of a WebSocket agreed upon, by the `Sec-WebSocket-Extensions`
//! of the answer (RFC 7692 §7.1).

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

/// Whether messages may be compressed.
///
/// The parameters need no place here. They say that a side uses a smaller window
/// than the largest, or forgets it between messages: a reader that keeps the
/// largest can read either, as it holds more than is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// They may not.
    None,
    /// By permessage-deflate, each as it is marked.
    Deflate,
}

impl Compression {
    /// Reads the field of an answer. Other extensions show in bits of the frames
    /// that end the reading.
    #[must_use]
    pub fn agreed(extensions: Option<&str>) -> Self {
        let mut names = extensions
            .unwrap_or_default()
            .split(',')
            .filter_map(|extension| extension.split(';').next());
        if names.any(|name| name.trim().eq_ignore_ascii_case("permessage-deflate")) {
            Self::Deflate
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_whether_messages_are_compressed() {
        for field in [
            None,
            Some(""),
            Some("x-webkit-deflate-frame"),
            Some("x; permessage-deflate"),
        ] {
            assert_eq!(Compression::agreed(field), Compression::None, "{field:?}");
        }
        for field in [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
            "x-other, Permessage-Deflate;client_no_context_takeover",
        ] {
            assert_eq!(
                Compression::agreed(Some(field)),
                Compression::Deflate,
                "{field}"
            );
        }
    }
}
