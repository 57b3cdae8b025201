//! Is the request for the host whose certificate was verified?
//!
//! An application that names one host in the handshake and another in the
//! request would otherwise get the first one's treatment for the second one's
//! traffic (CVE-2009-0801 is the old form of it).

use std::net::Ipv6Addr;

/// Whether an authority (`host`, `host:port`, `[v6]:port`) names `host`, and a
/// port, if it gives one, equals `port`. What others could read differently names
/// nothing.
#[must_use]
pub(crate) fn names(authority: &str, host: &str, port: u16) -> bool {
    let Some((name, given_port)) = split(authority) else {
        return false;
    };
    // A number may not have a sign here, as it may for `parse`.
    let is_digits = |given: &str| given.bytes().all(|byte| byte.is_ascii_digit());
    let same_port = given_port.is_none_or(|given| is_digits(given) && given.parse() == Ok(port));
    same_port && normal(name).eq_ignore_ascii_case(normal(host)) && !name.is_empty()
}

/// The host of an authority, lower case, without port.
#[must_use]
pub(crate) fn host(authority: &str) -> String {
    let name = split(authority).map_or(authority, |(name, _)| name);
    normal(name).to_ascii_lowercase()
}

/// The authority of an absolute-form request target (RFC 9112 §3.2.2).
#[must_use]
pub(crate) fn of_absolute_form(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return None;
    }
    rest.split(['/', '?', '#']).next()
}

/// Name and port; `None` if there are colons that do not separate these, or
/// brackets around something else than an IPv6 address.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let Some(bracketed) = authority.strip_prefix('[') else {
        return match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => None,
            Some((name, port)) => Some((name, Some(port))),
            None => Some((authority, None)),
        };
    };
    let (address, after) = bracketed.split_once(']')?;
    address.parse::<Ipv6Addr>().ok()?;
    match after.strip_prefix(':') {
        None => after.is_empty().then_some((address, None)),
        port => Some((address, port)),
    }
}

fn normal(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_names_a_host_or_it_does_not() {
        for (authority, host, expected) in [
            ("api.openai.com", "api.openai.com", true),
            ("API.OpenAI.com", "api.openai.com", true),
            ("api.openai.com.", "api.openai.com", true),
            ("api.openai.com:443", "api.openai.com", true),
            ("api.openai.com:80", "api.openai.com", false),
            ("api.openai.com:", "api.openai.com", false),
            ("api.openai.com:443x", "api.openai.com", false),
            ("user@api.openai.com", "api.openai.com", false),
            ("api.anthropic.com", "api.openai.com", false),
            ("api.openai.com.evil.example", "api.openai.com", false),
            ("", "api.openai.com", false),
            ("[2001:db8::1]:443", "2001:db8::1", true),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("api.openai.com:+443", "api.openai.com", false),
            ("[api.openai.com]", "api.openai.com", false),
            ("[2001:db8::1]x:443", "2001:db8::1", false),
            ("2001:db8::1:443", "2001:db8::1", false),
        ] {
            assert_eq!(
                names(authority, host, 443),
                expected,
                "{authority} for {host}"
            );
        }
    }

    #[test]
    fn absolute_form_has_an_authority() {
        assert_eq!(of_absolute_form("https://a:1/x?y"), Some("a:1"));
        assert_eq!(of_absolute_form("HTTP://a"), Some("a"));
        assert_eq!(of_absolute_form("/x?u=https://b/"), None);
        assert_eq!(of_absolute_form("*"), None);
    }
}
