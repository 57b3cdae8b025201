//! Patterns of request paths, compared segment by segment from the right.
//!
//! `…/` stands for any prefix, also none; a pattern without it is the whole
//! path, and `…` alone is every path. A segment is a list of names separated by
//! `|`, each with at most one `*` for any characters; `{}` is any
//! segment; `{model}` and `{id}` are remembered. What follows a `:` is a verb,
//! compared with what follows the last `:` of the segment.

use memchr::memrchr;

/// Most segments of a path that are looked at: more than any pattern has.
const SEGMENTS_MAX: usize = 8;

/// A path without its query, percent-encoded as it came: its last segments, from
/// the right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    segments: [&'a str; SEGMENTS_MAX],
    /// `1 <= count <= SEGMENTS_MAX`
    count: usize,
}

/// What a pattern that matched has remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Captured<'a> {
    /// As it stands in the path.
    pub(super) model: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

/// How a path ends: with the verb of its last segment, or else with all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End<'a> {
    Name(&'a str),
    Verb(&'a str),
}

impl<'a> Path<'a> {
    /// Leaves off one trailing slash, and the origin of an absolute form.
    pub(super) fn new(path: &'a str) -> Self {
        // Next to all begin with a slash, and have no scheme to look for.
        let absolute = (!path.starts_with('/')).then(|| path.split_once("://"));
        let path = match absolute.flatten() {
            Some((scheme, rest)) if !scheme.contains('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => path,
        };
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
        let mut segments = [""; SEGMENTS_MAX];
        let mut left = Some(bare.unwrap_or(path));
        let from_the_right = std::iter::from_fn(|| {
            let rest = left.take()?;
            let slash = memrchr(b'/', rest.as_bytes()).and_then(|at| rest.split_at_checked(at));
            let Some((before, segment)) = slash else {
                return Some(rest);
            };
            left = Some(before);
            segment.strip_prefix('/')
        });
        let slots = segments.iter_mut().zip(from_the_right);
        let count = slots.map(|(slot, segment)| *slot = segment).count();
        Self { segments, count }
    }

    pub(super) fn end(&self) -> End<'a> {
        let [last, ..] = self.segments;
        match last.rsplit_once(':') {
            Some((_, verb)) => End::Verb(verb),
            None => End::Name(last),
        }
    }
}

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern {
    /// From the right.
    segments: Vec<Segment>,
    /// Whether anything may stand before them.
    takes_prefix: bool,
}

#[derive(Debug)]
struct Segment {
    name: Name,
    verbs: Option<Vec<Choice>>,
}

#[derive(Debug)]
enum Name {
    /// Any that is not empty.
    Any,
    Model,
    Id,
    OneOf(Vec<Choice>),
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Exactly(&'static str),
    /// Begins and ends so.
    Around(&'static str, &'static str),
}

impl Pattern {
    pub(super) fn new(pattern: &'static str) -> Self {
        let mut segments = Vec::new();
        for wanted in pattern.rsplit('/') {
            if wanted == "…" {
                return Self {
                    segments,
                    takes_prefix: true,
                };
            }
            segments.push(Segment::new(wanted));
        }
        Self {
            segments,
            takes_prefix: false,
        }
    }

    /// What the path gives for the pattern, if it matches.
    pub(super) fn matched<'a>(&self, path: &Path<'a>) -> Option<Captured<'a>> {
        let segments = path.segments.get(..path.count).unwrap_or_default();
        let fits = if self.takes_prefix {
            segments.len() >= self.segments.len()
        } else {
            segments.len() == self.segments.len()
        };
        let mut captured = Captured::default();
        let mut pairs = self.segments.iter().zip(segments);
        let matches = fits && pairs.all(|(wanted, segment)| wanted.matches(segment, &mut captured));
        matches.then_some(captured)
    }

    /// All ends that a path of this pattern can have, if they can be listed.
    pub(super) fn ends(&self) -> Option<Vec<End<'static>>> {
        let last = self.segments.first()?;
        let (choices, end): (_, fn(&'static str) -> End<'static>) = match (&last.verbs, &last.name)
        {
            (Some(verbs), _) => (verbs, End::Verb),
            (None, Name::OneOf(names)) => (names, End::Name),
            (None, Name::Any | Name::Model | Name::Id) => return None,
        };
        let ends = choices.iter().map(|choice| match choice {
            Choice::Exactly(name) => Some(end(name)),
            Choice::Around(..) => None,
        });
        ends.collect()
    }
}

impl Segment {
    fn new(wanted: &'static str) -> Self {
        let (name, verbs) = match wanted.rsplit_once(':') {
            Some((name, verbs)) => (name, Some(Choice::list(verbs))),
            None => (wanted, None),
        };
        let name = match name {
            "{}" => Name::Any,
            "{model}" => Name::Model,
            "{id}" => Name::Id,
            _ => Name::OneOf(Choice::list(name)),
        };
        Self { name, verbs }
    }

    fn matches<'a>(&self, segment: &'a str, captured: &mut Captured<'a>) -> bool {
        let name = match &self.verbs {
            None => segment,
            Some(verbs) => match segment.rsplit_once(':') {
                Some((name, verb)) if is_one_of(verb, verbs) => name,
                _ => return false,
            },
        };
        match &self.name {
            Name::OneOf(names) => return is_one_of(name, names),
            Name::Any => {}
            Name::Model => captured.model = Some(name),
            Name::Id => captured.id = Some(name),
        }
        !name.is_empty()
    }
}

impl Choice {
    fn list(choices: &'static str) -> Vec<Self> {
        let choices = choices
            .split('|')
            .map(|choice| match choice.split_once('*') {
                Some((start, end)) => Self::Around(start, end),
                None => Self::Exactly(choice),
            });
        choices.collect()
    }
}

fn is_one_of(name: &str, choices: &[Choice]) -> bool {
    choices.iter().any(|choice| match choice {
        Choice::Exactly(wanted) => name == *wanted,
        Choice::Around(start, end) => name
            .strip_prefix(start)
            .is_some_and(|rest| rest.ends_with(end)),
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
    fn check(pattern: &'static str, path: &str, expected: Option<Option<&str>>) {
        let captured = Pattern::new(pattern).matched(&Path::new(path));
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
