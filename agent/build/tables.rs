//! Lays OpenAI's vocabularies and the letters of Unicode out as tables that the
//! binary carries and reads where they are: nothing is loaded, and memory that
//! nobody looks at costs nothing. Their source is `tiktoken-rs`, pinned by the
//! lock file; `agent/src/llm/tokens/vocabulary.rs` and `letters.rs` read them.

use std::error::Error;

use regex_syntax::hir::{Class, HirKind};
use tiktoken_rs::{CoreBPE, cl100k_base, o200k_base};

#[path = "../src/llm/tokens/layout.rs"]
mod layout;

use layout::{BLOCK_LEN, EMPTY, Letter, OFFSET_BITS, RECORD_HEAD_LEN, SLOT_LEN, hash, print};

/// Code points there are.
const CODE_POINTS: usize = 0x11_0000;

/// A table, and the name of its file.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// All of them.
pub(crate) fn all() -> Result<[Table; 3], Box<dyn Error>> {
    let table = |name, bytes| Table { name, bytes };
    Ok([
        table("o200k_base.table", vocabulary(&o200k_base()?)),
        table("cl100k_base.table", vocabulary(&cl100k_base()?)),
        table("letters.table", letters()),
    ])
}

/// A vocabulary: a hash table of slots, then the tokens that they point to.
fn vocabulary(published: &CoreBPE) -> Vec<u8> {
    let tokens: Vec<Vec<u8>> = (0..)
        .map_while(|rank| published.decode_bytes(&[rank]).ok())
        .collect();
    assert!(tokens.len() > 100_000, "the ranks have no gap");
    let slots_len = tokens.len().next_power_of_two();
    let mut slots = vec![EMPTY; slots_len];
    let mut records = Vec::new();
    for (rank, token) in tokens.iter().enumerate() {
        let hash = hash(token);
        let mut at = usize::try_from(hash).expect("a host of 64 bits") % slots_len;
        while slots[at] != EMPTY {
            at = (at + 1) % slots_len;
        }
        let place = u32::try_from(records.len() + 1).expect("a few megabytes");
        assert_eq!(
            place >> OFFSET_BITS,
            0,
            "there are fewer than 4 MiB of tokens"
        );
        slots[at] = print(hash) | place;
        let length = u8::try_from(token.len()).expect("no token is that long");
        let rank = u32::try_from(rank).expect("a small number").to_le_bytes();
        assert_eq!(rank[3], 0, "a rank has three bytes");
        let head: [u8; RECORD_HEAD_LEN] = [length, rank[0], rank[1], rank[2]];
        records.extend(head);
        records.extend(token);
    }
    let mut table: Vec<u8> = u32::try_from(slots_len)
        .expect("a small number")
        .to_le_bytes()
        .to_vec();
    assert_eq!(table.len(), SLOT_LEN);
    table.extend(slots.into_iter().flat_map(u32::to_le_bytes));
    table.extend(records);
    table
}

/// What each code point is: numbers of blocks, then each different block once.
fn letters() -> Vec<u8> {
    let mut kinds = vec![Letter::Other as u8; CODE_POINTS];
    for (class, letter) in [
        (r"\s", Letter::Space),
        (r"[\r\n]", Letter::Newline),
        (r"\p{N}", Letter::Number),
        (r"\p{M}", Letter::Mark),
        (r"[\p{Lu}\p{Lt}]", Letter::Upper),
        (r"\p{Ll}", Letter::Lower),
        (r"[\p{Lm}\p{Lo}]", Letter::Caseless),
    ] {
        let parsed = regex_syntax::parse(class).expect("a class of Unicode");
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else {
            panic!("{class} is no class");
        };
        for range in ranges.ranges() {
            kinds[range.start() as usize..=range.end() as usize].fill(letter as u8);
        }
    }
    let mut blocks: Vec<&[u8]> = Vec::new();
    let mut numbers = Vec::new();
    for block in kinds.chunks(BLOCK_LEN) {
        let number = blocks.iter().position(|known| *known == block);
        let number = number.unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        numbers.push(u8::try_from(number).expect("most blocks are alike"));
    }
    [numbers, blocks.concat()].concat()
}
