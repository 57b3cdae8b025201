//! Tables of what is wanted of documents, and the tree that their paths make: it
//! is made once for a table, and tells where a key leads by looking at that key
//! alone, however many paths there are.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use std::sync::OnceLock;

use super::{EACH, Interest, Path};

/// Most interests in one table: one bit each.
const INTERESTS_MAX: usize = u64::BITS as usize;

/// What is wanted of documents of one kind.
#[derive(Debug)]
pub struct Table<S: 'static> {
    interests: &'static [Interest<S>],
    /// Made when it is first needed: a process sees few kinds of documents.
    tree: OnceLock<Tree>,
}

impl<S> Table<S> {
    /// Of these interests.
    ///
    /// # Panics
    /// If they are more than 64; where it is a static, that does not compile.
    #[must_use]
    pub const fn new(interests: &'static [Interest<S>]) -> Self {
        assert!(interests.len() <= INTERESTS_MAX, "more than 64 interests");
        Self {
            interests,
            tree: OnceLock::new(),
        }
    }

    pub(super) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| {
            let paths = self.interests.iter().map(|wanted| wanted.path);
            Tree::new(&paths.collect::<Vec<_>>())
        })
    }

    /// The interests whose bits are set, and which they are.
    pub(super) fn select(
        &self,
        mut mask: u64,
    ) -> impl Iterator<Item = (usize, &'static Interest<S>)> {
        let interests = self.interests;
        std::iter::from_fn(move || {
            let interest = usize::try_from(mask.trailing_zeros()).ok()?;
            // Past the table when the mask is empty.
            let wanted = interests.get(interest)?;
            mask &= mask.wrapping_sub(1);
            Some((interest, wanted))
        })
    }
}

/// A place in documents: a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u16);

impl Place {
    /// No path leads there.
    pub(super) const NOWHERE: Self = Self(0);
    /// The document.
    pub(super) const ROOT: Self = Self(1);
}

/// Every place that a path leads to or through. Those that lie in one of them are
/// beside each other, by ascending [`bit_of`] their names.
#[derive(Debug)]
pub(super) struct Tree(Vec<Node>);

#[derive(Debug, Clone, Default)]
struct Node {
    /// The last step that leads here.
    name: &'static str,
    /// The interests in it: one bit each, by their places in the table.
    here: u64,
    /// Those that lie in it, and of all of them [`bit_of`] their names: most other
    /// names have none of these.
    start: u16,
    end: u16,
    bits: u64,
    /// The one of them that is every element, if it is an array.
    each: u16,
}

impl Tree {
    fn new(paths: &[Path]) -> Self {
        let index = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        let mut nodes = vec![Node::default(), Node::default()];
        let mut steps: Vec<Path> = vec![&[], &[]];
        let mut at = usize::from(Place::ROOT.0);
        while let Some(path) = steps.get(at).copied() {
            let mut nexts: Vec<_> = paths
                .iter()
                .filter(|longer| longer.starts_with(path))
                .filter_map(|longer| longer.get(..=path.len()))
                .collect();
            nexts.sort_by_key(|next| (next.last().map(|name| bit_of(name.as_bytes())), *next));
            nexts.dedup();
            let start = nodes.len();
            let each = nexts.iter().position(|next| next.last() == Some(&EACH));
            if let Some(node) = nodes.get_mut(at) {
                node.start = index(start);
                node.end = index(start.saturating_add(nexts.len()));
                node.each = each.map_or(0, |each| index(start.saturating_add(each)));
                for next in &nexts {
                    node.bits |= next.last().map_or(0, |name| bit_of(name.as_bytes()));
                }
                for (interest, _) in paths.iter().enumerate().filter(|(_, it)| **it == path) {
                    node.here |= 1_u64.wrapping_shl(u32::from(index(interest)));
                }
            }
            nodes.extend(nexts.iter().map(|next| Node {
                name: next.last().copied().unwrap_or_default(),
                ..Node::default()
            }));
            steps.extend(nexts);
            at = at.saturating_add(1);
        }
        Self(nodes)
    }

    /// Where the member of that name leads from a place.
    pub(super) fn member(&self, Place(from): Place, name: &[u8]) -> Place {
        let bit = bit_of(name);
        let Some(node) = self.node(from).filter(|node| node.bits & bit != 0) else {
            return Place::NOWHERE;
        };
        // All with lower bits come before it, and more than these where two have one.
        let before = (node.bits & bit.wrapping_sub(1)).count_ones();
        let first = u16::try_from(before).map_or(node.end, |it| node.start.saturating_add(it));
        (first..node.end)
            // A member may well have the name that stands for elements.
            .filter(|at| *at != node.each)
            .find(|at| (self.node(*at)).is_some_and(|node| node.name.as_bytes() == name))
            .map_or(Place::NOWHERE, Place)
    }

    /// Where the elements of an array lead that is at a place.
    pub(super) fn element(&self, Place(from): Place) -> Place {
        self.node(from)
            .map_or(Place::NOWHERE, |node| Place(node.each))
    }

    /// The interests in what is at a place: a bit each.
    pub(super) fn wanted(&self, Place(at): Place) -> u64 {
        self.node(at).map_or(0, |node| node.here)
    }

    fn node(&self, at: u16) -> Option<&Node> {
        self.0.get(usize::from(at))
    }
}

/// One of 64 bits, by what names mostly differ in: both ends, and the length.
fn bit_of(name: &[u8]) -> u64 {
    let end = |byte: Option<&u8>| byte.copied().map_or(0, u32::from);
    let mixed = u32::try_from(name.len())
        .unwrap_or_default()
        .wrapping_add(end(name.first()).wrapping_mul(5))
        .wrapping_add(end(name.last()).wrapping_mul(11));
    1_u64.wrapping_shl(mixed)
}

#[cfg(test)]
mod tests {
    use super::super::Want;
    use super::*;

    const fn value(path: Path) -> Interest<()> {
        Interest {
            path,
            want: Want::Value,
            slot: (),
        }
    }

    static TABLE: Table<()> = Table::new(&[
        value(&["model"]),
        value(&["usage"]),
        value(&["usage", "input"]),
        value(&["modes", "model"]),
        value(&["usage", "model", "input"]),
        value(&[""]),
        value(&["modes", EACH]),
        value(&["modes", EACH, EACH]),
        value(&["usage"]),
        value(&[]),
    ]);

    #[test]
    fn a_tree_leads_where_the_paths_do() {
        // Of which some have one bit.
        let others: Vec<_> = (0..200).map(|key| format!("key-{key}")).collect();
        let names = ["model", "modes", "usage", "input", "", "umage", EACH];
        let names: Vec<_> = names
            .into_iter()
            .chain(others.iter().map(String::as_str))
            .collect();
        let tree = TABLE.tree();
        let check = |place: Place, path: &[&str]| {
            let leading = TABLE.interests.iter().enumerate();
            let leading = leading.filter(|(_, wanted)| wanted.path == path);
            let expected: Vec<_> = leading.map(|(interest, _)| interest).collect();
            let found: Vec<_> = TABLE.select(tree.wanted(place)).map(|it| it.0).collect();
            assert_eq!(found, expected, "{path:?}");
        };
        check(Place::ROOT, &[]);
        let modes = tree.member(Place::ROOT, b"modes");
        assert_eq!(tree.member(modes, EACH.as_bytes()), Place::NOWHERE);
        for first in &names {
            let one = tree.member(Place::ROOT, first.as_bytes());
            check(one, &[first]);
            check(tree.element(one), &[first, EACH]);
            for second in names.iter().filter(|name| **name != EACH) {
                let two = tree.member(one, second.as_bytes());
                check(two, &[first, second]);
                check(tree.element(two), &[first, second, EACH]);
                for third in names.iter().filter(|name| **name != EACH) {
                    let three = tree.member(two, third.as_bytes());
                    check(three, &[first, second, third]);
                }
            }
        }
    }

    #[test]
    fn names_of_one_bit_are_told_apart() {
        // Ends and lengths are the same.
        static ALIKE: Table<()> = Table::new(&[
            value(&["abcd"]),
            value(&["acbd"]),
            value(&["xyz"]),
            value(&["abbd"]),
        ]);
        let tree = ALIKE.tree();
        for (interest, wanted) in ALIKE.interests.iter().enumerate() {
            let place = tree.member(Place::ROOT, wanted.path[0].as_bytes());
            assert_eq!(tree.wanted(place), 1 << interest);
        }
        assert_eq!(tree.member(Place::ROOT, b"accd"), Place::NOWHERE);
    }
}
