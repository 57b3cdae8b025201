//! The model that a path names: an id, an inference profile or an ARN,
//! percent-encoded.

use super::super::Refusal;

/// A model as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model(String);

impl Model {
    /// From a segment of a path.
    pub(super) fn of_path(segment: &str) -> Result<Self, Refusal> {
        decode(segment)
            .map(Self)
            .ok_or_else(|| Refusal::invalid("The provided model identifier is invalid.", None))
    }

    /// As it was asked for: an id, a profile, an ARN.
    pub(super) fn id(&self) -> &str {
        &self.0
    }

    /// Its maker's own name for it: without an ARN, a region, the maker and
    /// Bedrock's version.
    pub(super) fn own_name(&self) -> &str {
        let name = self.0.rsplit('/').next().unwrap_or(&self.0);
        let name = name.rsplit('.').next().unwrap_or(name);
        let name = name.split(':').next().unwrap_or(name);
        match name.rsplit_once("-v") {
            Some((name, version)) if version.bytes().all(|it| it.is_ascii_digit()) => name,
            _ => name,
        }
    }
}

/// Undoes percent-encoding; `None` if it is not that of a text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (*first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = digit(*high)? * 16 + digit(*low)?;
                decoded.push(u8::try_from(byte).ok()?);
                tail
            }
            (b'%', _) => return None,
            (byte, tail) => {
                decoded.push(byte);
                tail
            }
        };
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_what_the_path_encodes() {
        for (segment, id, own) in [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "claude-sonnet-4-5-20250929",
            ),
            (
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
                "nova-lite",
            ),
            ("meta.llama3-8b:1", "meta.llama3-8b:1", "llama3-8b"),
            ("own", "own", "own"),
        ] {
            let model = Model::of_path(segment).expect("a model");
            assert_eq!((model.id(), model.own_name()), (id, own));
        }
        for wrong in ["%", "%3", "%zz", "%ff"] {
            assert!(Model::of_path(wrong).is_err(), "{wrong}");
        }
    }
}
