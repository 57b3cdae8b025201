//! The rows, read once: their patterns taken apart, and those that a path can
//! match at all by how it ends. The first row in their order still decides.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::pattern::{Captured, End, Path, Pattern};
use super::rows::{ROWS, Row};

/// That of [`ROWS`].
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(ROWS));

/// Rows that were read.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<ReadRow>,
    /// Those that can match paths of such an end, by their places in `rows`, in
    /// order.
    by_end: HashMap<End<'static>, Vec<usize>>,
    /// Those that can match paths of any end, in order.
    of_any_end: Vec<usize>,
}

#[derive(Debug)]
struct ReadRow {
    row: &'static Row,
    /// `None` is any.
    methods: Option<Vec<&'static str>>,
    pattern: Pattern,
}

impl Table {
    fn new(rows: &'static [Row]) -> Self {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| ReadRow {
                row,
                methods: (row.methods != "*").then(|| row.methods.split('|').collect()),
                pattern: Pattern::new(row.path),
            })
            .collect();
        let ends: Vec<_> = rows.iter().map(|row| row.pattern.ends()).collect();
        let places = |can_match: &dyn Fn(&Option<Vec<End<'static>>>) -> bool| {
            let places = ends.iter().enumerate();
            let places = places.filter_map(|(place, ends)| can_match(ends).then_some(place));
            places.collect::<Vec<_>>()
        };
        let by_end = ends.iter().flatten().flatten().map(|end| {
            let can_match = |ends: &Option<Vec<_>>| ends.as_ref().is_none_or(|it| it.contains(end));
            (*end, places(&can_match))
        });
        Self {
            by_end: by_end.collect(),
            of_any_end: places(&Option::is_none),
            rows,
        }
    }

    /// The rows that method and path match, in their order, with their places in
    /// it, and what the path gives.
    pub(super) fn matching<'t, 'a: 't>(
        &'t self,
        method: &'t str,
        path: &'t Path<'a>,
    ) -> impl Iterator<Item = (usize, &'static Row, Captured<'a>)> + 't {
        let places = self.by_end.get(&path.end()).unwrap_or(&self.of_any_end);
        places.iter().filter_map(move |place| {
            let read = self.rows.get(*place)?;
            let takes_method = match &read.methods {
                None => true,
                Some(methods) => methods.contains(&method),
            };
            let captured = takes_method.then(|| read.pattern.matched(path))??;
            Some((*place, read.row, captured))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the words of a row say, read one by one.
    fn plainly<'a>(row: &Row, method: &str, path: &'a str) -> Option<Captured<'a>> {
        let takes_method =
            row.methods == "*" || row.methods.split('|').any(|taken| taken == method);
        if !takes_method {
            return None;
        }
        let path = path
            .strip_suffix('/')
            .filter(|bare| !bare.is_empty())
            .unwrap_or(path);
        let mut captured = Captured::default();
        let mut segments = path.rsplit('/');
        for wanted in row.path.rsplit('/') {
            if wanted == "…" {
                return Some(captured);
            }
            let segment = segments.next()?;
            let (name, wanted) = match wanted.rsplit_once(':') {
                None => (segment, wanted),
                Some((wanted, verbs)) => {
                    let (name, verb) = segment.rsplit_once(':')?;
                    is_one_of(verb, verbs).then_some((name, wanted))?
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

    /// Paths that match a pattern: each choice in each segment once.
    fn examples(pattern: &str) -> Vec<String> {
        let choices = |segment: &str| -> Vec<String> {
            let (names, verbs) = match segment.rsplit_once(':') {
                Some((names, verbs)) => (names, Some(verbs)),
                None => (segment, None),
            };
            let names = match names {
                "…" => "|/v1|/a/b:c/d/e/f/g/h/i",
                "{}" | "{model}" | "{id}" => "x|y:1",
                names => names,
            };
            let names = names.split('|').map(|name| name.replacen('*', "a.b", 1));
            names
                .flat_map(|name| match verbs {
                    None => vec![name],
                    Some(verbs) => {
                        let verbs = verbs.split('|');
                        verbs.map(|verb| format!("{name}:{verb}")).collect()
                    }
                })
                .collect()
        };
        let segments: Vec<_> = pattern.split('/').map(choices).collect();
        let rounds = segments.iter().map(Vec::len).max().unwrap_or(0);
        (0..rounds)
            .map(|round| {
                let path = segments
                    .iter()
                    .filter_map(|all| all.iter().cycle().nth(round));
                path.map(String::as_str).collect::<Vec<_>>().join("/")
            })
            .collect()
    }

    /// The same path with something else in one place.
    fn mutated(path: &str) -> Vec<String> {
        let mut all = vec![
            path.to_owned(),
            format!("{path}/"),
            format!("{path}//"),
            format!("{path}:x"),
            format!("{path}:generateContent"),
            format!("{path}/completions"),
            format!("x{path}"),
            format!("/x{path}"),
            path.to_ascii_uppercase(),
            path.replace(':', "/"),
            path.replace('/', "//"),
        ];
        let marks = path
            .char_indices()
            .filter(|(_, it)| matches!(it, '/' | ':' | '.' | '_'));
        for (at, _) in marks {
            let (before, after) = path.split_at(at);
            all.push(format!("{before}x{after}"));
            all.push(format!("{before}{}", after.split_at(1).1));
            all.push(before.to_owned());
            all.push(after.to_owned());
        }
        all
    }

    #[test]
    fn every_row_is_found_as_if_all_were_read_one_by_one() {
        let examples = ROWS.iter().flat_map(|row| examples(row.path));
        let mut has_matched = vec![false; ROWS.len()];
        let paths: BTreeSet<_> = examples.flat_map(|example| mutated(&example)).collect();
        for path in paths {
            for method in ["POST", "GET", "DELETE", "POS"] {
                let found: Vec<_> = TABLE
                    .matching(method, &Path::new(&path))
                    .map(|(place, row, captured)| {
                        assert_eq!(
                            (row.path, row.methods),
                            (ROWS[place].path, ROWS[place].methods)
                        );
                        (place, captured)
                    })
                    .collect();
                let rows = ROWS.iter().enumerate();
                let expected: Vec<_> = rows
                    .filter_map(|(place, row)| Some((place, plainly(row, method, &path)?)))
                    .collect();
                assert_eq!(found, expected, "{method} {path}");
                for (place, _) in found {
                    has_matched[place] = true;
                }
            }
        }
        let unmatched: Vec<_> = ROWS
            .iter()
            .zip(has_matched)
            .filter(|(_, has)| !has)
            .collect();
        assert!(unmatched.is_empty(), "{unmatched:?}");
    }
}
