//! Patterns of request paths, compared segment by segment from the right.
//!
//! `…/` stands for any prefix, also none; a pattern without it is the whole
//! path, and `…` alone is every path. A segment is a list of names separated by
//! `|`, each with at most one `*` for any characters; `{}` is any
//! segment; `{model}` and `{id}` are remembered. What follows a `:` is a verb,
//! compared with what follows the last `:` of the segment.

/// A path without its query, percent-encoded as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a>(&'a str);

/// What a pattern that matched has remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Captured<'a> {
    /// As it stands in the path.
    pub(super) model: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl<'a> Path<'a> {
    /// Leaves off one trailing slash, and the origin of an absolute form.
    pub(super) fn new(path: &'a str) -> Self {
        let path = match path.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => path,
        };
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
        Self(bare.unwrap_or(path))
    }

    /// What the path gives for the pattern, if it matches.
    pub(super) fn matched(self, pattern: &str) -> Option<Captured<'a>> {
        let mut captured = Captured::default();
        if pattern == "…" {
            return Some(captured);
        }
        let mut segments = self.0.rsplit('/');
        for wanted in pattern.rsplit('/') {
            if wanted == "…" {
                return Some(captured);
            }
            let segment = segments.next()?;
            let (name, wanted) = match wanted.rsplit_once(':') {
                None => (segment, wanted),
                Some((wanted, verbs)) => {
                    let (name, verb) = segment.rsplit_once(':')?;
                    if !is_one_of(verb, verbs) {
                        return None;
                    }
                    (name, wanted)
                }
            };
            match wanted {
                "{}" | "{model}" | "{id}" if name.is_empty() => return None,
                "{}" => {}
                "{model}" => captured.model = Some(name),
                "{id}" => captured.id = Some(name),
                _ if is_one_of(name, wanted) => {}
                _ => return None,
            }
        }
        segments.next().is_none().then_some(captured)
    }
}

fn is_one_of(name: &str, wanted: &str) -> bool {
    wanted
        .split('|')
        .any(|wanted| match wanted.split_once('*') {
            Some((start, end)) => name
                .strip_prefix(start)
                .is_some_and(|rest| rest.ends_with(end)),
            None => name == wanted,
        })
}

/// Decodes what is percent-encoded in a segment; `None` if the result is no text.
pub(in crate::llm) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: Option<Option<&str>>) {
        let captured = Path::new(path).matched(pattern);
        assert_eq!(
            captured.map(|captured| captured.model),
            expected,
            "{pattern} {path}"
        );
    }

    #[test]
    fn a_pattern_is_compared_from_the_right() {
        check("…/chat/completions", "/v1/chat/completions", Some(None));
        check("…/chat/completions", "chat/completions", Some(None));
        check("…/chat/completions", "/completions", None);
        check("…/chat/completions", "/xchat/completions", None);
        check("/generate", "/generate/", Some(None));
        check("/generate", "/api/generate", None);
        check("/", "/", Some(None));
        check("/", "/x", None);
        check("…", "/anything/at/all", Some(None));
        check("/generate", "http://h.example/generate", Some(None));
        check("/", "http://h.example", Some(None));
    }

    #[test]
    fn segments_are_names_wildcards_or_verbs() {
        check("…/audio/a|b", "/v1/audio/b", Some(None));
        check("…/audio/a|b", "/v1/audio/c", None);
        check("…/x/{}/y", "/x/1/y", Some(None));
        check("…/x/{}/y", "/x//y", None);
        check("…/model/{model}/go", "/model/a:0/go", Some(Some("a:0")));
        check("…/models/{model}:a|b", "/v1/models/m:b", Some(Some("m")));
        check(
            "…/models/{model}:a|b",
            "/v1/models/m:1:b",
            Some(Some("m:1")),
        );
        check("…/models/{model}:a|b", "/v1/models/:b", None);
        check("…/models/{model}:a|b", "/v1/models/m", None);
        check("/ws/*.Bidi", "/ws/a.b.Bidi", Some(None));
        check("/ws/*.Bidi", "/ws/a.b.Other", None);
        check("/a.*/{}", "/a.B/C", Some(None));
    }

    #[test]
    fn what_is_no_text_is_not_decoded() {
        assert_eq!(decoded("a%3Ab%2fc").as_deref(), Some("a:b/c"));
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
