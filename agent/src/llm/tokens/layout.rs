//! How the tables lie in the binary. Shared with the build script, which writes
//! them.

/// Code points of a block of the table of letters.
pub(super) const BLOCK_LEN: usize = 256;

/// Bytes of a slot of a hash table, which is led by their number.
pub(super) const SLOT_LEN: usize = 4;

/// Bytes before a token: its length, and its rank in three bytes.
pub(super) const RECORD_HEAD_LEN: usize = 4;

/// Bits of a slot that say where the token is; 0 is nowhere. The rest of them
/// are some of its hash, so that most others need not be looked at.
pub(super) const OFFSET_BITS: u32 = 22;

/// Where nothing is.
pub(super) const EMPTY: u32 = 0;

/// What a code point is, as far as it matters to how text is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Letter {
    Other,
    /// White space that does not end a line.
    Space,
    Newline,
    Number,
    /// Combines with a letter, and is none.
    Mark,
    /// Of upper or title case.
    Upper,
    Lower,
    /// A letter of a script without case, or a modifier.
    Caseless,
}

/// The hash of a token: FNV-1a of 64 bits, whose low bits are as good as the
/// others once they are folded.
pub(super) fn hash(token: &[u8]) -> u64 {
    let hash = token.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

/// Bits of a hash that do not say where its slot is.
pub(super) fn print(hash: u64) -> u32 {
    // The upper half; truncated on purpose.
    let [.., a, b, c, d] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) & (u32::MAX << OFFSET_BITS)
}
