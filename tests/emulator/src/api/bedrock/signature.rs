//! Whether a request is what its sender signed: AWS Signature Version 4.
//!
//! The canonical request is made from what arrived, so that one byte changed on
//! the way (of method, path, query, a signed field or the body) refuses the
//! call, as it does at AWS. Two things are stricter than there: the path is
//! taken as it was sent, without resolving `.` and empty segments, and the body
//! is hashed whatever `x-amz-content-sha256` says. A Bedrock API key
//! (`Authorization: Bearer`) signs nothing and is taken as it is.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use http::HeaderName;
use time::{Date, Duration, Month, OffsetDateTime, Time};

use super::super::Refusal;
use super::model::decode;
use crate::wire::Request;

/// The one key that is known: that of AWS' own test vectors.
pub const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What keys and requests are signed for.
const SERVICE: &str = "bedrock";
/// How far a signature's time may be off.
const SKEW_MAX: Duration = Duration::minutes(5);

const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. Consult the service \
    documentation for details.";

/// Refuses a request that nobody signed, or that is not as it was signed.
pub(in crate::api) fn verify(
    request: &Request,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let Some(authorization) = request.header("authorization") else {
        return Err(Refusal::unsigned("Missing Authentication Token"));
    };
    if let Some(key) = authorization.strip_prefix("Bearer ") {
        return if key.is_empty() {
            Err(Refusal::unsigned("Missing Authentication Token"))
        } else {
            Ok(())
        };
    }
    let claim = Claim::of(authorization).ok_or_else(|| {
        Refusal::ill_signed(
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'.",
        )
    })?;
    if claim.scope.access_key != ACCESS_KEY_ID {
        return Err(Refusal::unknown_key());
    }
    if claim.scope.service != SERVICE {
        let message = format!("Credential should be scoped to correct service: '{SERVICE}'.");
        return Err(Refusal::missigned(message));
    }
    if !claim.signs("host") {
        let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        return Err(Refusal::missigned(message));
    }
    let stamp = request.header("x-amz-date").unwrap_or_default();
    let signed = time_of(stamp).filter(|_| claim.signs("x-amz-date"));
    let signed = signed.ok_or_else(|| {
        Refusal::ill_signed("Authorization header requires existence of a signed 'X-Amz-Date'.")
    })?;
    if !stamp.starts_with(claim.scope.date) {
        let message = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.";
        return Err(Refusal::missigned(message));
    }
    if (now - signed).abs() > SKEW_MAX {
        let message =
            format!("Signature expired or not yet current: {stamp} is not within 5 min. of now.");
        return Err(Refusal::missigned(message));
    }
    if claim.expected(request, body, stamp) == claim.signature {
        Ok(())
    } else {
        Err(Refusal::missigned(MISMATCH))
    }
}

/// What an `Authorization` field says.
struct Claim<'a> {
    scope: Scope<'a>,
    /// Lower case, in order, between semicolons.
    signed_headers: &'a str,
    /// In hexadecimal.
    signature: &'a str,
}

/// What a key was made for.
struct Scope<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Claim<'a> {
    fn of(authorization: &'a str) -> Option<Self> {
        let members = authorization.strip_prefix(ALGORITHM)?;
        let member = |name: &str| {
            let mut members = members.split(',').map(str::trim);
            members.find_map(|member| member.strip_prefix(name)?.strip_prefix('='))
        };
        let credential: Vec<&str> = member("Credential")?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = credential[..] else {
            return None;
        };
        Some(Self {
            scope: Scope {
                access_key,
                date,
                region,
                service,
            },
            signed_headers: member("SignedHeaders")?,
            signature: member("Signature")?,
        })
    }

    fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }

    /// The signature that the request would have to have.
    fn expected(&self, request: &Request, body: &[u8], stamp: &str) -> String {
        let Scope {
            date,
            region,
            service,
            ..
        } = self.scope;
        let canonical = hex(&sha256(
            canonical(request, body, self.signed_headers).as_bytes(),
        ));
        let signed =
            format!("{ALGORITHM}\n{stamp}\n{date}/{region}/{service}/aws4_request\n{canonical}");
        let mut key = format!("AWS4{SECRET_ACCESS_KEY}").into_bytes();
        for part in [date, region, service, "aws4_request"] {
            key = hmac_sha256(&key, part);
        }
        hex(&hmac_sha256(&key, &signed))
    }
}

/// The request in the one form in which both sides hash it.
fn canonical(request: &Request, body: &[u8], signed_headers: &str) -> String {
    let mut headers = String::new();
    for name in signed_headers.split(';') {
        let value = value(request, name);
        headers.push_str(&format!("{name}:{value}\n"));
    }
    format!(
        "{}\n{}\n{}\n{headers}\n{signed_headers}\n{}",
        request.method,
        // A path that is encoded already is encoded again, except by S3.
        encoded(request.path(), "/"),
        canonical_query(request.target.query().unwrap_or_default()),
        hex(&sha256(body)),
    )
}

/// The values of a field, each without spaces that say nothing.
fn value(request: &Request, name: &str) -> String {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return String::new();
    };
    let values: Vec<String> = request
        .headers
        .get_all(header)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    match (&values[..], &request.authority) {
        // HTTP/2 has it elsewhere.
        ([], Some(authority)) if name == "host" => authority.clone(),
        (values, _) => values.join(","),
    }
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (canonical_part(name), canonical_part(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// A name or value of a query, however it was encoded.
fn canonical_part(text: &str) -> String {
    encoded(decode(text).as_deref().unwrap_or(text), "")
}

/// Percent-encodes all but unreserved characters and those in `safe`.
fn encoded(text: &str, safe: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(character) || safe.contains(character) {
            encoded.push(character);
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

/// `20150830T123600Z`
fn time_of(stamp: &str) -> Option<OffsetDateTime> {
    let digits = stamp.strip_suffix('Z')?;
    if digits.len() != 15 || !digits.is_ascii() || digits.as_bytes()[8] != b'T' {
        return None;
    }
    let part = |from: usize, to: usize| digits[from..to].parse::<u8>().ok();
    let month = Month::try_from(part(4, 6)?).ok()?;
    let date = Date::from_calendar_date(digits[..4].parse().ok()?, month, part(6, 8)?).ok()?;
    let time = Time::from_hms(part(9, 11)?, part(11, 13)?, part(13, 15)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests;
