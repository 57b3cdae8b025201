//! What is said: documents that are ready, and events as they come.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use weir_tests::bench::clock::{STAMP, now_ns};

/// Of an answer, which no other has: a meter counts an answer that is told again
/// only once.
const ID_DIGITS: usize = 16;
const ID_PREFIX: &str = "{\"id\":\"chatcmpl-";
/// What comes behind the text of a document.
const DOCUMENT_END: &str = concat!(
    "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],",
    "\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":210,\"total_tokens\":229,",
    "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},",
    "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,",
    "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},",
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\"}"
);
/// The prose of a model.
const WORDS: &str = "The river does not notice that it is measured, and flows on as it did. ";

/// Documents by their size, made when they are first asked for.
#[derive(Default)]
pub(super) struct Said {
    documents: Mutex<HashMap<usize, Vec<u8>>>,
    answers: AtomicU64,
}

impl Said {
    fn id(&self) -> String {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        format!("{number:0ID_DIGITS$}")
    }

    /// Puts a document of this size behind `out`.
    pub(super) fn document(&self, bytes: usize, out: &mut Vec<u8>) {
        let mut documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let document = documents.entry(bytes).or_insert_with(|| document(bytes));
        let at = out.len() + ID_PREFIX.len();
        out.extend_from_slice(document);
        if let Some(id) = out.get_mut(at..at + ID_DIGITS) {
            id.copy_from_slice(self.id().as_bytes());
        }
    }

    /// Of a stream that is to have so many events.
    pub(super) fn stream(&self, count: u64, has_usage: bool) -> Stream {
        let head = format!(
            "\ndata: {ID_PREFIX}{}\",\"object\":\"chat.completion.chunk\",\"created\":1741569952,\
             \"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[",
            self.id()
        );
        Stream {
            head,
            left: count,
            has_usage,
        }
    }
}

fn document(bytes: usize) -> Vec<u8> {
    let mut document = format!(
        "{ID_PREFIX}{:0ID_DIGITS$}\",\"object\":\"chat.completion\",\"created\":1741569952,\
         \"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{{\"index\":0,\"message\":{{\
         \"role\":\"assistant\",\"content\":\"",
        0
    );
    let text = bytes.saturating_sub(document.len() + DOCUMENT_END.len());
    document.extend(WORDS.chars().cycle().take(text));
    document.push_str(DOCUMENT_END);
    document.into_bytes()
}

/// A stream of events under way.
pub(super) struct Stream {
    head: String,
    left: u64,
    has_usage: bool,
}

impl Stream {
    /// Puts the next event behind `out`, with the time into it. Whether there was one.
    pub(super) fn event(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(false);
        };
        self.left = left;
        write!(out, "{STAMP}{}", now_ns())?;
        out.extend_from_slice(self.head.as_bytes());
        let (delta, reason) = match left {
            0 => ("", "\"stop\""),
            _ => ("\"content\":\" river\"", "null"),
        };
        write!(
            out,
            "{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":{reason}}}]"
        )?;
        if self.has_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
        Ok(true)
    }

    /// Puts behind `out` what comes after the last event.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        if self.has_usage {
            // The head begins with the end of a stamp's line.
            out.extend_from_slice(self.head.trim_start().as_bytes());
            out.extend_from_slice(
                b"],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29}}\n\n",
            );
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}
