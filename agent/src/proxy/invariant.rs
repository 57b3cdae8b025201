//! What must hold of the readers of this room whatever bytes they are shown.
//! [`crate::invariant`] has the list.

pub use super::h1::invariant::{of_chunked, of_h1_request, of_h1_response};

use super::authority;

/// Of reading an authority: one that is said to name a host names it for
/// everybody else as well, and no other port; and an absolute form has the
/// authority that a parser of addresses finds in it.
///
/// # Panics
/// If that does not hold.
pub fn of_authority(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for (host, port) in [("api.openai.com", 443), ("2001:db8::1", 8443)] {
        if !authority::names(text, host, port) {
            continue;
        }
        let parsed: http::uri::Authority = text.parse().expect("everybody can read it");
        let name = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let name = name.strip_suffix('.').unwrap_or(name);
        assert!(name.eq_ignore_ascii_case(host), "{name} is not {host}");
        assert!(!parsed.as_str().contains('@'), "it has a user");
        if let Some(given) = parsed.port() {
            assert!(given.as_str().bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(given.as_u16(), port);
        }
        assert_eq!(authority::host(text), host);
    }
    if let Some(found) = authority::of_absolute_form(text)
        && let Ok(uri) = text.parse::<http::Uri>()
        && let Some(expected) = uri.authority()
    {
        assert_eq!(found, expected.as_str());
    }
}
