//! What must hold of the readers of this room whatever text they are shown.
//! [`crate::invariant`] has the list.

pub use super::prices::invariant::{of_litellm, of_prices};

use super::trace::Parent;

/// Of a trace context in two lines: one that is taken is written as it came.
///
/// # Panics
/// If that does not hold.
pub fn of_traceparent(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (parent, state) = match text.split_once('\n') {
        Some((parent, state)) => (parent, Some(state)),
        None => (&*text, None),
    };
    let Some(read) = Parent::parse(parent, state) else {
        return;
    };
    let written = format!("-{}-{}-{:02x}", read.trace_id, read.span_id, read.flags);
    assert_eq!(parent.trim().get(2..55), Some(written.as_str()));
    assert!(read.state.is_none_or(|state| state.len() <= 512));
}
