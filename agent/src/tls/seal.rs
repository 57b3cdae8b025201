//! A secret under which a private key may leave the process that made it.
//!
//! The sealed key and the seal are kept in different places, neither of which is
//! of use without the other.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

const KEY_LEN: usize = 32;
/// What is sealed under it, so that it opens as nothing else.
const CONTEXT: &[u8] = b"weir certificate authority, PKCS #8";

/// The secret: a key of AES-256-GCM. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seal([u8; KEY_LEN]);

/// Sealing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A text that is no seal. It is not quoted: it may be one, misspelt.
    #[error("a seal is 32 bytes in base64")]
    Malformed,
    /// The crypto library or the random number generator refused.
    #[error("the crypto library failed")]
    Crypto,
}

impl Seal {
    /// A new one.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn random() -> Result<Self, SealError> {
        let mut bytes = [0; KEY_LEN];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| SealError::Crypto)?;
        Ok(Self(bytes))
    }

    /// Seals: nonce, ciphertext, tag.
    ///
    /// # Errors
    ///
    /// The crypto library fails.
    pub(super) fn close(&self, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut text = secret.to_vec();
        let nonce = self
            .key()?
            .seal_in_place_append_tag(Aad::from(CONTEXT), &mut text)
            .map_err(|_unspecified| SealError::Crypto)?;
        Ok([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens what was sealed under this; `None` if it was not.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self
            .key()
            .ok()?
            .open_in_place(nonce, Aad::from(CONTEXT), &mut text)
            .ok()?
            .len();
        text.truncate(opened);
        Some(text)
    }

    fn key(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).map_err(|_unspecified| SealError::Crypto)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Seal(…)")
    }
}

impl From<Seal> for String {
    fn from(seal: Seal) -> Self {
        STANDARD.encode(seal.0)
    }
}

impl TryFrom<String> for Seal {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|_text| SealError::Malformed)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_bytes| SealError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_the_same_seal_alone() {
        let seal = Seal::random().unwrap();
        let sealed = seal.close(b"a key").unwrap();
        assert_eq!(seal.open(&sealed).as_deref(), Some(&b"a key"[..]));
        assert_eq!(Seal::random().unwrap().open(&sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(&changed), None, "byte {at}");
            assert_eq!(seal.open(&sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn it_survives_being_written_down_and_is_not_shown() {
        let seal = Seal::random().unwrap();
        assert_eq!(Seal::try_from(String::from(seal.clone())), Ok(seal.clone()));
        for text in ["", "AAAA", "no base64!"] {
            assert_eq!(Seal::try_from(text.to_owned()), Err(SealError::Malformed));
        }
        assert_eq!(format!("{seal:?}"), "Seal(…)");
    }
}
