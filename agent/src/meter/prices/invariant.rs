//! What must hold of tables of prices, whatever their text.

use super::file::File;
use super::{PriceError, litellm, sheet};

/// Of price files: what is refused says where, and what is taken is written and
/// read again as the same.
///
/// # Panics
/// If that does not hold.
pub fn of_prices(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match File::parse(text) {
        Ok(file) => check_written(&file.dated()),
        Err(error) => check_position(text, &error),
    }
}

/// Of LiteLLM's table: likewise.
///
/// # Panics
/// If that does not hold.
pub fn of_litellm(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match litellm::read(text, "2026-01-01") {
        Ok(imported) => check_written(&imported.file.dated()),
        Err(error) => check_position(text, &error),
    }
}

fn check_written(file: &File) {
    let text = sheet::text(file);
    let again = File::parse(&text).unwrap_or_else(|error| panic!("{error} of {text}"));
    let again = again.dated();
    assert_eq!(again.providers, file.providers, "of {text}");
    assert_eq!(sheet::text(&again), text);
}

fn check_position(text: &str, PriceError::Shape { line, column, .. }: &PriceError) {
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(line), "line {line} of {lines}");
    let longest = text.split('\n').map(str::len).max().unwrap_or(0);
    assert!(*column <= longest + 1, "column {column} of {longest}");
}
