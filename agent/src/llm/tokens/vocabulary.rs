//! The vocabularies: which byte sequences are tokens, and how early each was
//! learnt.

#[cfg(test)]
mod tests;

use super::layout::{EMPTY, OFFSET_BITS, RECORD_HEAD_LEN, SLOT_LEN, hash, print};

static O200K_BASE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_base.table"));
static CL100K_BASE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cl100k_base.table"));

/// A vocabulary that its vendor has published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::llm) enum Vocabulary {
    /// In which the text of models is counted whose own is not known.
    #[default]
    O200kBase,
    Cl100kBase,
}

/// Which models read in which vocabulary, by how their names begin; the first
/// that fits counts. After `tiktoken/model.py` of OpenAI's tiktoken; what is not
/// in it is a model of nobody's or somebody else's: `text-embedding-004` is one
/// of Google's. The models of gpt-oss read in `o200k_harmony`, which differs in
/// its special tokens only.
const MODELS: &[(&str, Vocabulary)] = &[
    ("o1", Vocabulary::O200kBase),
    ("o3", Vocabulary::O200kBase),
    ("o4-mini", Vocabulary::O200kBase),
    // Ollama writes a colon behind it.
    ("gpt-oss", Vocabulary::O200kBase),
    ("gpt-5", Vocabulary::O200kBase),
    ("gpt-5.", Vocabulary::O200kBase),
    ("gpt-4.5-", Vocabulary::O200kBase),
    ("gpt-4.1", Vocabulary::O200kBase),
    ("gpt-4o", Vocabulary::O200kBase),
    ("chatgpt-4o-", Vocabulary::O200kBase),
    // A kind of o4-mini, of which `tiktoken-rs` says it.
    ("codex-mini", Vocabulary::O200kBase),
    ("gpt-4", Vocabulary::Cl100kBase),
    ("gpt-3.5", Vocabulary::Cl100kBase),
    // As Azure writes it.
    ("gpt-35-turbo", Vocabulary::Cl100kBase),
    ("davinci-002", Vocabulary::Cl100kBase),
    ("babbage-002", Vocabulary::Cl100kBase),
    ("text-embedding-ada-002", Vocabulary::Cl100kBase),
    ("text-embedding-3-", Vocabulary::Cl100kBase),
];

impl Vocabulary {
    /// That of a model, by its name.
    pub(in crate::llm) fn of(model: &str) -> Option<Self> {
        // Of a router, whose names say whose model it is.
        let model = model.strip_prefix("openai/").unwrap_or(model);
        // Fine-tuned.
        let model = model.strip_prefix("ft:").unwrap_or(model);
        let initial = model.as_bytes().first();
        let mut alike = MODELS
            .iter()
            .filter(|(name, _)| name.as_bytes().first() == initial);
        let known = alike.find(|(name, _)| {
            let rest = model.strip_prefix(name);
            // `o1` is not the beginning of any word, nor `gpt-4` of any number.
            let goes_on = |next: char| next.is_ascii_alphanumeric() || next == '.';
            rest.is_some_and(|rest| name.ends_with(['-', '.']) || !rest.starts_with(goes_on))
        });
        known.map(|(_, vocabulary)| *vocabulary)
    }

    /// The rank of `token`, if it is one: tokens of a low rank are put together
    /// before others.
    pub(super) fn rank(self, token: &[u8]) -> Option<u32> {
        let table = match self {
            Self::O200kBase => O200K_BASE,
            Self::Cl100kBase => CL100K_BASE,
        };
        let (slots_len, table) = table.split_first_chunk::<SLOT_LEN>()?;
        let slots_len = usize::try_from(u32::from_le_bytes(*slots_len)).ok()?;
        let (slots, records) = table.split_at_checked(slots_len.checked_mul(SLOT_LEN)?)?;
        let hash = hash(token);
        let mask = slots_len.checked_sub(1)?;
        let mut at = usize::try_from(hash & mask as u64).ok()?;
        // The table is never full.
        for _ in 0..slots_len {
            let slot = slots.get(at.checked_mul(SLOT_LEN)?..)?.first_chunk()?;
            let slot = u32::from_le_bytes(*slot);
            if slot == EMPTY {
                return None;
            }
            if let Some(offset) = offset(slot, hash) {
                let ([len, rank @ ..], bytes) = records
                    .get(offset..)?
                    .split_first_chunk::<RECORD_HEAD_LEN>()?;
                if bytes.get(..usize::from(*len))? == token {
                    let [a, b, c] = *rank;
                    return Some(u32::from_le_bytes([a, b, c, 0]));
                }
            }
            at = at.wrapping_add(1) & mask;
        }
        None
    }
}

/// Where the token of a slot is, if it can be the one of that hash.
fn offset(slot: u32, hash: u64) -> Option<usize> {
    let place = slot & !(u32::MAX << OFFSET_BITS);
    if slot ^ place != print(hash) {
        return None;
    }
    usize::try_from(place.checked_sub(1)?).ok()
}
