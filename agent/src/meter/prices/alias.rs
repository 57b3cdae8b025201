//! The names a model goes by.

use std::iter::{once, once_with};

/// Prefixes by which Bedrock names the regions that an inference profile may use.
pub(super) const PROFILES: [&str; 9] = [
    "us-gov.", "us.", "eu.", "apac.", "au.", "jp.", "ca.", "sa.", "global.",
];

/// The names under which `id` may stand in the table, most exact first: as it
/// is; without path; without region; without provider; each also without date or
/// version suffix. Families are not guessed at: siblings differ in price tenfold.
pub(super) fn aliases(id: &str) -> impl Iterator<Item = &str> {
    // `ft:base:organisation:name:id`: what follows the base names nobody's price.
    let id = match id.strip_prefix("ft:").and_then(|rest| rest.find(':')) {
        Some(end) => id.get(.."ft:".len() + end).unwrap_or(id),
        None => id,
    };
    // Most are found as they are: what comes after is made when it is asked for.
    let pathless = move || id.rsplit('/').next().unwrap_or(id);
    let regionless = move || without_prefix(pathless(), &PROFILES);
    let bare = move || without_prefix(regionless(), &["anthropic.", "openai."]);
    with_suffix_stripped(id)
        .chain(once_with(pathless).flat_map(with_suffix_stripped))
        .chain(once_with(regionless).flat_map(with_suffix_stripped))
        .chain(once_with(bare).flat_map(with_suffix_stripped))
}

/// As it is, and without suffix.
fn with_suffix_stripped(name: &str) -> impl Iterator<Item = &str> {
    once(name).chain(once_with(move || without_suffix(name)))
}

fn without_prefix<'a>(id: &'a str, prefixes: &[&str]) -> &'a str {
    prefixes
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix))
        .unwrap_or(id)
}

/// Strips `@…`, `-vN`, `-vN:M` and then a date, `-YYYY-MM-DD` or `-YYYYMMDD`.
fn without_suffix(id: &str) -> &str {
    let id = id.split('@').next().unwrap_or(id);
    let unnumbered = id.trim_end_matches(|last: char| last.is_ascii_digit() || last == ':');
    let id = match unnumbered.strip_suffix("-v") {
        Some(rest) if unnumbered.len() < id.len() => rest,
        Some(_) | None => id,
    };
    let is_date = |suffix: &str, dashes: &[usize]| {
        suffix.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        })
    };
    [("-YYYY-MM-DD", [0, 5, 8].as_slice()), ("-YYYYMMDD", &[0])]
        .iter()
        .find_map(|(shape, dashes)| {
            let (rest, suffix) = id.split_at_checked(id.len().checked_sub(shape.len())?)?;
            (!rest.is_empty() && is_date(suffix, dashes)).then_some(rest)
        })
        .unwrap_or(id)
}
