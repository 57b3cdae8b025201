//! What must hold of a configuration, whatever its text.

use super::Config;

/// Of [`Config::parse`]: what is refused says why, and where in the text.
///
/// # Panics
/// If that does not hold.
pub fn of_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Err(refusal) = Config::parse(text) else {
        return;
    };
    let lines = text.split(['\n', '\r']).count() as u64;
    assert!(!refusal.why.is_empty(), "{refusal:?}");
    assert!(
        (1..=lines + 1).contains(&refusal.line),
        "{refusal:?} of {lines} lines"
    );
}
