//! What a captured body says: decoded, put together, redacted.
//!
//! A stream says its text in pieces, and what is to be taken out of it may lie
//! across several: pieces are put together before they are looked at. What is no
//! text is left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::redact;
use crate::{llm::decode::Decoder, meter::payload::Body};

/// Most bytes that a body may decode to, as a multiple of what may be kept of it
/// on the wire: text is rarely compressed any further.
const DECODED_RATIO: usize = 8;
/// Different places of text in one stream.
const PLACES_MAX: usize = 256;

/// A body as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    media_type: Option<String>,
    /// How long it was on the wire.
    bytes: u64,
    /// Whether there was more than what is shown.
    truncated: bool,
    /// Why nothing is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<&'static str>,
    /// A document, or the text of a stream by its place in the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

/// What the body says.
pub(super) fn shown(body: &Body) -> Shown {
    let kind = Kind::of(body.media_type.as_deref());
    let said = match (kind, decoded(body)) {
        _ if body.length == 0 => Err("empty"),
        (Kind::Other, _) => Err("not text"),
        (_, Err(why)) => Err(why),
        (Kind::Json, Ok((text, cut))) => Ok((document(&text, cut), cut)),
        (Kind::Lines(mark), Ok((text, cut))) => Ok((stream(&text, mark, cut), cut)),
        (Kind::Text, Ok((text, cut))) => Ok((Value::String(redact_text(&text, cut)), cut)),
    };
    let (omitted, body_said, truncated) = match said {
        Ok((said, cut)) => (None, Some(said), cut),
        Err(why) => (Some(why), None, body.is_cut()),
    };
    Shown {
        media_type: body.media_type.clone(),
        bytes: body.length,
        truncated,
        omitted,
        body: body_said,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Json,
    /// A document in each line that begins with this.
    Lines(&'static str),
    Text,
    Other,
}

impl Kind {
    fn of(media_type: Option<&str>) -> Self {
        match media_type {
            Some("text/event-stream") => Self::Lines("data:"),
            Some("application/x-ndjson" | "application/jsonl" | "application/ndjson") => {
                Self::Lines("")
            }
            // Clients that do not say what they send mean JSON.
            None => Self::Json,
            Some(json) if json.ends_with("/json") || json.ends_with("+json") => Self::Json,
            Some(text) if text.starts_with("text/") => Self::Text,
            Some(_) => Self::Other,
        }
    }
}

/// The text of the body, and whether there was more.
fn decoded(body: &Body) -> Result<(String, bool), &'static str> {
    let most = body.bytes.len().max(1024).saturating_mul(DECODED_RATIO);
    let mut plain = Vec::new();
    let mut is_cut = body.is_cut();
    let mut decoder =
        Decoder::new(body.coding.as_deref()).map_err(|_unknown| "unknown content coding")?;
    let result = decoder.push(&body.bytes, &mut |bytes| {
        let room = most.saturating_sub(plain.len());
        is_cut |= bytes.len() > room;
        plain.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    });
    // What came before an error is as good as the beginning of a body.
    is_cut |= result.is_err();
    Ok((String::from_utf8_lossy(&plain).into_owned(), is_cut))
}

fn redact_text(text: &str, cut: bool) -> String {
    if cut {
        redact::cut_text(text)
    } else {
        redact::text(text)
    }
}

fn document(text: &str, cut: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(whole) if !cut => redact::value(whole),
        Ok(_) | Err(_) => Value::String(redact::cut_json(text)),
    }
}

/// The texts of all events, each with those of the same place behind it.
fn stream(text: &str, mark: &str, cut: bool) -> Value {
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        // The last line of a stream that was cut is half of one.
        if cut && lines.peek().is_none() {
            break;
        }
        let Some(data) = line.trim_end().strip_prefix(mark) else {
            continue;
        };
        if let Ok(event) = serde_json::from_str::<Value>(data) {
            gather(&event, &mut String::new(), &mut places);
        }
    }
    let all = places.into_iter().map(|(place, text)| {
        let last = place.rsplit('.').next().unwrap_or_default();
        let text = match redact::secret_member(last) {
            Some(instead) => instead.to_owned(),
            None => redact_text(&text, cut),
        };
        (redact::text(&place), Value::String(text))
    });
    all.collect()
}

/// Adds the texts of an event to those of the events before. What names and
/// counts is the same in every event, and kept once.
fn gather(value: &Value, place: &mut String, places: &mut BTreeMap<String, String>) {
    let length = place.len();
    match value {
        Value::String(text) => {
            if !places.contains_key(place.as_str()) && places.len() >= PLACES_MAX {
                return;
            }
            let known = places.entry(place.clone()).or_default();
            if is_piece(place) {
                known.push_str(text);
            } else {
                known.clone_from(text);
            }
        }
        Value::Array(items) => {
            // Parts of an answer have a place each; the events number them.
            for item in items {
                gather(item, place, places);
            }
        }
        Value::Object(members) => {
            let index = members.get("index").or_else(|| members.get("output_index"));
            if let Some(index) = index.and_then(Value::as_u64) {
                place.push_str(&format!("[{index}]"));
            }
            let numbered = place.len();
            for (name, member) in members {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(name);
                gather(member, place, places);
                place.truncate(numbered);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    place.truncate(length);
}

/// Whether texts at this place are pieces of one. By the names that the
/// providers' streams have for them.
fn is_piece(place: &str) -> bool {
    const PIECES: &[&str] = &[
        "arguments",
        "content",
        "delta",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "response",
        "text",
        "thinking",
        "transcript",
    ];
    let last = place.rsplit('.').next().unwrap_or_default();
    let name = last.split('[').next().unwrap_or_default();
    PIECES.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::meter::payload::{Payload, Room};

    fn body(text: &[u8], media_type: &str, coding: Option<&str>, most: usize) -> Body {
        let mut body = Payload::new(Room {
            body_bytes_max: most,
            held: Box::new(()),
        })
        .request;
        body.media_type = Some(media_type.to_owned());
        body.coding = coding.map(str::to_owned);
        body.keep(text);
        body
    }

    fn said(body: &Body) -> Value {
        serde_json::to_value(shown(body)).expect("it is JSON")
    }

    #[test]
    fn a_document_is_shown_without_what_is_secret() {
        let json = br#"{"model":"m","messages":[{"content":"I am jane@example.com"}]}"#;
        let shown = said(&body(json, "application/json", None, 1000));
        assert_eq!(
            shown["body"],
            json!({"model": "m", "messages": [{"content": "I am [redacted:email]"}]})
        );
        assert_eq!(shown["truncated"], false);
    }

    #[test]
    fn a_secret_across_the_events_of_a_stream_is_taken_out() {
        let mut events = String::new();
        for piece in ["write to jane.", "doe@exa", "mple.com or", " call"] {
            let event = json!({"id": "c1", "choices": [{"index": 0, "delta": {"content": piece}}]});
            events.push_str(&format!("data: {event}\n\n"));
        }
        events.push_str("data: [DONE]\n\n");
        let shown = said(&body(events.as_bytes(), "text/event-stream", None, 10_000));
        assert_eq!(
            shown["body"],
            json!({
                "id": "c1",
                "choices[0].delta.content": "write to [redacted:email] or call",
            })
        );
        // Cut anywhere, no part of the address is left.
        for most in 1..events.len() {
            let shown = said(&body(events.as_bytes(), "text/event-stream", None, most));
            let text = shown.to_string();
            assert!(
                !text.contains("jane") && !text.contains("doe@"),
                "{most}: {text}"
            );
        }
    }

    #[test]
    fn a_document_cut_anywhere_shows_no_part_of_a_secret() {
        let json = br#"{"messages":[{"content":"my key is sk-proj-0123456789abcdef, keep it"}]}"#;
        for most in 1..json.len() {
            let shown = said(&body(json, "application/json", None, most));
            assert_eq!(shown["truncated"], true);
            assert!(!shown.to_string().contains("sk-"), "{most}: {shown}");
        }
    }

    #[test]
    fn what_is_no_text_is_left_out_and_codings_are_taken_off() {
        let shown = said(&body(b"\x89PNG", "image/png", None, 100));
        assert_eq!(shown["omitted"], "not text");
        assert_eq!(shown.get("body"), None);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, br#"{"a":"b"}"#).expect("memory takes all");
        let gzip = encoder.finish().expect("memory takes all");
        let shown = said(&body(&gzip, "application/json", Some("gzip"), 100));
        assert_eq!(shown["body"], json!({"a": "b"}));
        let shown = said(&body(&gzip, "application/json", Some("rot13"), 100));
        assert_eq!(shown["omitted"], "unknown content coding");
    }
}
