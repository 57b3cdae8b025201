//! Of the rule `stream_usage`, the only thing that changes a body.

use serde_json::Value;

use crate::invariant::check_splits;
use crate::llm::classify::Api;
use crate::llm::stream_usage::{Ask, UsageFilter, ask};

/// Of [`UsageFilter`]: however a stream is split, the same is left of it; that is
/// the stream with parts taken out, and all of it where no usage is named.
///
/// # Panics
/// If that does not hold.
pub fn of_usage_filter(bytes: &[u8]) {
    let out = check_splits(bytes, |pieces| {
        let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
        for piece in pieces {
            filter.push(piece, &mut out);
        }
        filter.finish(&mut out);
        out
    });
    let mut rest = bytes.iter();
    assert!(
        out.iter().all(|byte| rest.any(|other| other == byte)),
        "something was added"
    );
    if memchr::memmem::find(bytes, b"\"usage\"").is_none() {
        assert_eq!(out, bytes);
    }
}

/// Of [`ask`]: what is sent instead of a request is the same document, but for
/// asking; and only a stream is asked.
///
/// # Panics
/// If that does not hold.
pub fn of_usage_request(bytes: &[u8]) {
    let Ask::Edited(edited) = ask(Api::OpenAiChat, bytes) else {
        return;
    };
    let Ok(mut before) = serde_json::from_slice::<Value>(bytes) else {
        // The provider will refuse it either way.
        return;
    };
    let after: Value = serde_json::from_slice(&edited).expect("a document stays one");
    assert_eq!(before["stream"], true);
    let options = &mut before["stream_options"];
    assert_ne!(options["include_usage"], true, "it asked already");
    options["include_usage"] = true.into();
    assert_eq!(after, before);
    assert_eq!(ask(Api::OpenAiChat, &edited), Ask::Unchanged);
}
