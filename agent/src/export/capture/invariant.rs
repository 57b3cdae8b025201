//! What must hold of captured bodies, whatever is in them.

use serde_json::Value;

use super::body::shown;
use super::redact;
use crate::meter::payload::Body;

const TYPES: [Option<&str>; 5] = [
    None,
    Some("application/json"),
    Some("text/event-stream"),
    Some("application/x-ndjson"),
    Some("text/plain"),
];

/// Of a captured body of the type that the first byte says, of which as much is
/// kept as the second says: nothing is left in it that would be taken out again.
///
/// # Panics
/// If that does not hold.
pub fn of_capture(bytes: &[u8]) {
    let [which, kept, said @ ..] = bytes else {
        return;
    };
    let most = match *kept {
        u8::MAX => usize::MAX,
        kept => usize::from(kept) * 8,
    };
    let mut body = Body::new(most);
    body.media_type = TYPES[usize::from(*which) % TYPES.len()].map(str::to_owned);
    body.keep(said);
    let line = serde_json::to_value(shown(&body)).expect("it is written as JSON");
    check_redacted(&line["body"]);
}

fn check_redacted(value: &Value) {
    match value {
        Value::String(text) => assert_eq!(redact::text(text), *text),
        Value::Array(items) => items.iter().for_each(check_redacted),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            assert_eq!(redact::text(name), *name);
            check_redacted(member);
        }),
        Value::Number(number) => {
            let digits = number.to_string();
            assert_eq!(redact::text(&digits), digits);
        }
        Value::Null | Value::Bool(_) => {}
    }
}
