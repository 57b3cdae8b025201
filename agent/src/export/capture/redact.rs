//! Takes out of a text what nobody wants to find in a file: keys, addresses of
//! mail, numbers of payment cards.
//!
//! By shape, so that what looks like none of them stays. It is the least that a
//! capture does, not a promise that nothing personal is left.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Members whose value is a secret whatever it looks like; compared without
/// case, hyphens and underscores.
const SECRET_MEMBERS: &[&str] = &[
    "apikey",
    "accesskey",
    "accesstoken",
    "authorization",
    "clientsecret",
    "cookie",
    "password",
    "privatekey",
    "proxyauthorization",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessiontoken",
    "setcookie",
    "xapikey",
];

/// What stands in the place of something that was a key.
const KEY: &str = "[redacted:key]";
const MAIL: &str = "[redacted:email]";
const CARD: &str = "[redacted:card]";

/// Longest part of the end of a cut text that may be the beginning of something
/// that would have been taken out.
const TAIL_MAX: usize = 256;

static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        // Those of providers and forges, by their prefixes.
        r"\b(?:sk|pk|rk|xai|gsk|hf|pplx|csk|fw|r8|nvapi|ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]",
        r"|ya29)[-_.][A-Za-z0-9_.\-]{8,}",
        r"|\bAIza[A-Za-z0-9_\-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
        // Tokens of JSON Web Signature.
        r"|\beyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]*)?",
        r"|(?i-u:\bbearer\s+)[A-Za-z0-9._~+/\-]{8,}=*|(?i-u:\bbasic\s+)[A-Za-z0-9+/]{16,}=*",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ))
});
static MAILS: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"[^\s@<>"',;:()\[\]{}]{1,64}@[^\s@<>"',;:()\[\]{}.]+(?:\.[^\s@<>"',;:()\[\]{}.]+)+"#)
});
static CARDS: LazyLock<Regex> = LazyLock::new(|| regex(r"\b\d(?:[ \-]?\d){12,18}\b"));
/// ASCII written as an escape of JSON.
static ESCAPES: LazyLock<Regex> = LazyLock::new(|| regex(r"\\u00([2-7][0-9a-fA-F])"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant that a test compiles")
}

/// The text without them.
pub(super) fn text(text: &str) -> String {
    let text = KEYS.replace_all(text, KEY);
    let text = MAILS.replace_all(&text, MAIL);
    let text = CARDS.replace_all(&text, |found: &Captures<'_>| {
        let digits = found.get(0).map_or("", |it| it.as_str());
        if is_card(digits) {
            CARD.to_owned()
        } else {
            digits.to_owned()
        }
    });
    text.into_owned()
}

/// As [`text`], of a text that was cut at its end: what might be the beginning
/// of one of them goes as well.
pub(super) fn cut_text(whole: &str) -> String {
    let redacted = text(whole);
    let from = redacted.len().saturating_sub(TAIL_MAX);
    let from = redacted.floor_char_boundary(from);
    let (head, tail) = redacted.split_at(from);
    let kept = tail
        .rfind(char::is_whitespace)
        .and_then(|at| tail.get(..at))
        .unwrap_or_default();
    format!("{head}{kept}")
}

/// As [`cut_text`], of JSON that is not whole: its escapes do not hide anything.
pub(super) fn cut_json(json: &str) -> String {
    let plain = ESCAPES.replace_all(json, |found: &Captures<'_>| {
        let code = found
            .get(1)
            .and_then(|digits| u8::from_str_radix(digits.as_str(), 16).ok());
        code.map_or(String::new(), |code| char::from(code).to_string())
    });
    cut_text(&plain)
}

/// The value without them, in every text and every name of a member.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Array(items) => items.into_iter().map(self::value).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| {
                let member = match secret_member(&name) {
                    Some(instead) if !member.is_null() => Value::String(instead.to_owned()),
                    Some(_) | None => self::value(member),
                };
                (text(&name), member)
            })
            .collect(),
        // A card's number may be written as a number.
        Value::Number(number) => {
            let digits = number.to_string();
            match text(&digits) {
                redacted if redacted == digits => Value::Number(number),
                redacted => Value::String(redacted),
            }
        }
        Value::Null | Value::Bool(_) => value,
    }
}

/// What stands for the value of a member of that name, if it is a secret.
pub(super) fn secret_member(name: &str) -> Option<&'static str> {
    let plain: String = name
        .chars()
        .filter(|char| !matches!(char, '-' | '_'))
        .map(|char| char.to_ascii_lowercase())
        .collect();
    SECRET_MEMBERS.contains(&plain.as_str()).then_some(KEY)
}

/// Whether the digits have the check digit of payment cards (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|char| char.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_the_shape_of_a_secret_is_taken_out() {
        for secret in [
            "sk-proj-abcdefghijkl0123",
            "sk-ant-api03-abc_DEF-0123456789",
            "AIzaSyA-0123456789abcdefghijklmnopq",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdefghij",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123",
            "Bearer abcdef0123456789==",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nMIIE of a file that was cut",
            "jane.doe+test@mail.example.co.uk",
            "j\u{f6}rg@b\u{fc}cher.example",
            "4111 1111 1111 1111",
            "5500-0000-0000-0004",
            "378282246310005",
        ] {
            let said = text(&format!("it is {secret}"));
            let part: String = secret.chars().skip(4).take(8).collect();
            assert!(said.contains("[redacted:"), "{secret} stays: {said}");
            assert!(!said.contains(&part), "{secret} stays: {said}");
            assert!(said.starts_with("it is "), "{said}");
        }
    }

    #[test]
    fn what_has_not_stays() {
        for harmless in [
            "a weir is a low dam",
            "call me @ noon",
            "order 4111 1111 1111 1112",
            "pi is 3.14159265358979",
            "task-force, sky-blue, basic english",
            "2026-11-20T12:34:56Z",
        ] {
            assert_eq!(text(harmless), harmless);
        }
    }

    #[test]
    fn members_and_their_names_are_looked_at() {
        let redacted = value(json!({
            "API_Key": "short",
            "jane@example.com": ["mail jane@example.com", 4_111_111_111_111_111_u64, 7, null],
            "max_tokens": 4096,
        }));
        assert_eq!(
            redacted,
            json!({
                "API_Key": KEY,
                (MAIL): [format!("mail {MAIL}"), CARD, 7, null],
                "max_tokens": 4096,
            })
        );
    }

    #[test]
    fn the_end_of_a_cut_text_is_not_half_a_secret() {
        for end in 1..22 {
            let cut: String = "and jane.doe@example.com".chars().take(4 + end).collect();
            let said = cut_text(&cut);
            assert!(!said.contains('j'), "{cut} gives {said}");
            assert!(said.starts_with("and"), "{said}");
        }
        let long = "x".repeat(1000);
        assert_eq!(cut_text(&long).len(), 1000 - TAIL_MAX);
    }

    #[test]
    fn escapes_hide_nothing() {
        let said = cut_json(r#"{"a":"jane\u0040example.com","b":"and then"#);
        assert!(said.contains(MAIL) && !said.contains("jane"), "{said}");
    }
}
