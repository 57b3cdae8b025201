//! Where in the text of a table a value stands.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::PriceError;
use super::super::file::without_position;

/// A text, and values that are parts of it.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
}

impl<'a> Reader<'a> {
    /// The members of an object within the text, or of the text itself.
    pub(super) fn object(
        &self,
        raw: Option<&'a RawValue>,
        key: Option<&str>,
    ) -> Result<BTreeMap<String, &'a RawValue>, PriceError> {
        let json = raw.map_or(self.text, RawValue::get);
        serde_json::from_str(json).map_err(|error| {
            let (line, column) = match raw {
                // Its lines count from where it begins.
                Some(raw) => self.position(raw),
                None => (error.line(), error.column()),
            };
            PriceError::Shape {
                line,
                column,
                key: key.map(str::to_owned),
                message: without_position(&error.to_string()),
            }
        })
    }

    pub(super) fn refusal(&self, raw: &RawValue, key: String, message: String) -> PriceError {
        let (line, column) = self.position(raw);
        PriceError::Shape {
            line,
            column,
            key: Some(key),
            message,
        }
    }

    /// Line and column of a value, which is a part of the text.
    fn position(&self, raw: &RawValue) -> (usize, usize) {
        let at = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, at - line_start + 1)
    }
}
