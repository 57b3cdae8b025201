//! Is the request for the host whose certificate was verified?
//!
//! An application that names one host in the handshake and another in the
//! request would otherwise get the first one's treatment for the second one's
//! traffic (CVE-2009-0801 is the old form of it).

/// Whether an authority (`host`, `host:port`, `[v6]:port`) names `host`, and a
/// port, if it gives one, equals `port`.
#[must_use]
pub(crate) fn names(authority: &str, host: &str, port: u16) -> bool {
    let (name, given_port) = split_port(authority);
    let same_port = given_port.is_none_or(|given| given.parse() == Ok(port));
    same_port && normal(name).eq_ignore_ascii_case(normal(host)) && !name.is_empty()
}

/// The host of an authority, lower case, without port.
#[must_use]
pub(crate) fn host(authority: &str) -> String {
    normal(split_port(authority).0).to_ascii_lowercase()
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

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // A colon inside brackets belongs to the address.
        Some((_, after)) if after.contains(']') => (authority, None),
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    }
}

fn normal(name: &str) -> &str {
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
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
