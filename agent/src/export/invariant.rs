//! What must hold of what leaves, whatever was captured.

pub use super::capture::invariant::of_capture;
