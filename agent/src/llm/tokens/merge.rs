//! How many tokens a piece of text comes to: byte-pair encoding.

use super::split::PIECE_LEN_MAX;

/// What is no token is put together last, that is never.
const NEVER: u32 = u32::MAX;

/// A part of the piece, and the rank of what it makes with the one after it.
struct Part {
    start: usize,
    rank: u32,
}

/// The number of tokens of a piece of at most [`PIECE_LEN_MAX`] bytes: pairs of
/// neighbours become one, those of the lowest rank first, as long as any pair is
/// a token. Looks up at most three sequences for each byte, and passes over the
/// parts at most once for each: bounded by the square of a piece, not of a text.
pub(super) fn count(piece: &[u8], mut rank: impl FnMut(&[u8]) -> Option<u32>) -> u64 {
    debug_assert!(piece.len() <= PIECE_LEN_MAX, "a piece is bounded");
    if piece.len() < 2 || rank(piece).is_some() {
        return 1;
    }
    let mut rank = |from: usize, to: Option<&Part>| {
        let pair = piece.get(from..to.map_or(piece.len(), |part| part.start));
        pair.and_then(&mut rank).unwrap_or(NEVER)
    };
    let mut parts: Vec<Part> = (0..piece.len())
        .map(|start| Part { start, rank: NEVER })
        .collect();
    for at in 0..parts.len().saturating_sub(1) {
        let joined = rank(at, parts.get(at.saturating_add(2)));
        if let Some(part) = parts.get_mut(at) {
            part.rank = joined;
        }
    }
    while let Some((at, lowest)) = lowest(&parts)
        && lowest != NEVER
    {
        parts.remove(at.saturating_add(1));
        for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            let is_last = at.saturating_add(1) == parts.len();
            let Some(start) = parts.get(at).map(|part| part.start) else {
                continue;
            };
            let joined = if is_last {
                NEVER
            } else {
                rank(start, parts.get(at.saturating_add(2)))
            };
            if let Some(part) = parts.get_mut(at) {
                part.rank = joined;
            }
        }
    }
    parts.len() as u64
}

/// The first of the parts that make the lowest rank.
fn lowest(parts: &[Part]) -> Option<(usize, u32)> {
    let ranks = parts.iter().map(|part| part.rank);
    ranks.enumerate().min_by_key(|(_, rank)| *rank)
}
