//! Why a pod is not injected.

use std::fmt;

/// One field that keeps weir from working, where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The field in its document, `spec.template.spec.hostNetwork`.
    pub path: String,
    /// What is wrong with it, and the remedy.
    pub why: String,
}

impl Refusal {
    /// The refusal of the field at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.why)
    }
}
