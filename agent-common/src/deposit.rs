//! What a proxy leaves for the next one of its pod.

/// How many bytes can be left: a sealed private key has some 170.
pub const DEPOSIT_LEN_MAX: usize = 248;

/// The one value of the deposit map: opaque to the programs, and of no use to
/// whoever reads the map, because it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Deposit {
    /// How many of `bytes` are set; 0 for no deposit.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
    /// The rest is zero.
    pub bytes: [u8; DEPOSIT_LEN_MAX],
}

const _: () = {
    // Copied in words of eight bytes.
    assert!(size_of::<Deposit>() == 256 && align_of::<Deposit>() == 4);
    assert!(core::mem::offset_of!(Deposit, bytes) == 8);
};

impl Deposit {
    /// These bytes; `None` if there are none, or too many.
    #[must_use]
    pub fn of(given: &[u8]) -> Option<Self> {
        let mut bytes = [0; DEPOSIT_LEN_MAX];
        bytes.get_mut(..given.len())?.copy_from_slice(given);
        let len = u32::try_from(given.len()).ok().filter(|len| *len > 0)?;
        Some(Self {
            len,
            reserved: 0,
            bytes,
        })
    }

    /// The bytes; `None` if there are none, or what is there is no deposit.
    #[must_use]
    pub fn get(&self) -> Option<&[u8]> {
        let len = usize::try_from(self.len).ok().filter(|len| *len > 0)?;
        self.bytes.get(..len)
    }
}

#[cfg(test)]
mod tests {
    use super::{DEPOSIT_LEN_MAX, Deposit};

    #[test]
    fn what_is_left_is_found_and_nothing_is_nothing() {
        for given in [&b"s"[..], &[7; DEPOSIT_LEN_MAX]] {
            assert_eq!(Deposit::of(given).expect("it fits").get(), Some(given));
        }
        assert_eq!(Deposit::of(&[]), None);
        assert_eq!(Deposit::of(&[7; DEPOSIT_LEN_MAX + 1]), None);
        let empty = Deposit {
            len: 0,
            reserved: 0,
            bytes: [0; DEPOSIT_LEN_MAX],
        };
        assert_eq!(empty.get(), None);
        assert_eq!(Deposit { len: 249, ..empty }.get(), None);
    }
}
