//! Of requests' heads.

use crate::llm::catalogue::Provider;
use crate::llm::classify::classify;
use crate::llm::headers::Headers;

/// Of [`classify`], shown a method, a space and a path: what is taken from a path
/// is bounded text without controls, and a fragment changes nothing.
///
/// # Panics
/// If that does not hold.
pub fn of_classify(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (method, path) = text.split_once(' ').unwrap_or(("POST", &text));
    for provider in [None, Some(Provider::OpenAi), Some(Provider::Cohere)] {
        let headers = Headers::default();
        let target = classify(method, path, provider.as_ref(), &headers);
        for name in [&target.model, &target.id].into_iter().flatten() {
            assert!((1..=200).contains(&name.len()), "{name}");
            assert!(!name.contains(char::is_control), "{name:?}");
        }
        let with_fragment = format!("{path}#fragment");
        assert_eq!(
            classify(method, &with_fragment, provider.as_ref(), &headers),
            target
        );
    }
}
