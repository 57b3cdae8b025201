//! Counts, money and durations as people read them.

use rust_decimal::Decimal;

use crate::llm::usage::Provenance;
use crate::meter::record::{CostProvenance, Millis};

/// Stands before an estimate.
pub(super) const ESTIMATED: &str = "~";
/// Stands for what is not known.
pub(super) const UNKNOWN: &str = "?";
/// Stands for what there is not.
pub(super) const NONE: &str = "-";
/// Stands after a cost that the provider stated.
pub(super) const STATED: &str = "*";

/// `1234567` as `1,234,567`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A token count with its provenance.
pub(super) fn tokens(count: Option<u64>, provenance: Provenance) -> String {
    match (count, provenance) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(count), Provenance::Estimated) => format!("{ESTIMATED}{}", grouped(count)),
        (Some(count), Provenance::Measured | Provenance::Unknown) => grouped(count),
    }
}

/// Dollars: to four places from a cent up, to three significant digits below.
pub(super) fn dollars(usd: Decimal) -> String {
    let cent = Decimal::new(1, 2);
    let rounded = if usd >= cent {
        Some(usd.round_dp(4))
    } else {
        usd.round_sf(3)
    }
    .unwrap_or(usd);
    format!("${}", rounded.normalize())
}

/// A cost with where it comes from. One priced by estimated tokens is estimated.
pub(super) fn cost(usd: Option<Decimal>, cost: CostProvenance, tokens: Provenance) -> String {
    let Some(usd) = usd else {
        return UNKNOWN.to_owned();
    };
    match (cost, tokens) {
        (CostProvenance::Stated, _) => format!("{}{STATED}", dollars(usd)),
        (_, Provenance::Estimated) => format!("{ESTIMATED}{}", dollars(usd)),
        (_, Provenance::Measured | Provenance::Unknown) => dollars(usd),
    }
}

/// `4.2 ms`, `123 ms`, `1.23 s`, `2m05s`.
pub(super) fn duration(millis: Millis) -> String {
    let seconds = millis.as_secs_f64();
    if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1000.0)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 60.0 {
        format!("{seconds:.2} s")
    } else {
        format!(
            "{:.0}m{:02.0}s",
            (seconds / 60.0).floor(),
            (seconds % 60.0).floor()
        )
    }
}

/// `512 B`, `12.3 kB`, `4.5 MB`.
pub(super) fn bytes(count: u64) -> String {
    let (unit, divisor) = match count {
        0..1_000 => return format!("{count} B"),
        1_000..1_000_000 => ("kB", 1_000),
        1_000_000..1_000_000_000 => ("MB", 1_000_000),
        1_000_000_000.. => ("GB", 1_000_000_000),
    };
    format!(
        "{}.{} {unit}",
        count / divisor,
        count % divisor * 10 / divisor
    )
}

/// Text from outside on one line of a terminal: control characters could move
/// the cursor or change colours.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        let dollars = |text: &str| dollars(text.parse().expect("a decimal"));
        assert_eq!(dollars("0"), "$0");
        assert_eq!(dollars("12.34567"), "$12.3457");
        assert_eq!(dollars("0.00021345"), "$0.000213");
        assert_eq!(dollars("0.000000123456"), "$0.000000123");
        let duration = |micros| duration(Duration::from_micros(micros).into());
        assert_eq!(duration(4_249), "4.2 ms");
        assert_eq!(duration(123_456), "123 ms");
        assert_eq!(duration(1_234_567), "1.23 s");
        assert_eq!(duration(125_900_000), "2m05s");
        assert_eq!(
            [512, 12_345, 4_567_890].map(bytes),
            ["512 B", "12.3 kB", "4.5 MB"]
        );
        assert_eq!(printable("a\u{1b}[31mb\n"), "a?[31mb?");
    }
}
