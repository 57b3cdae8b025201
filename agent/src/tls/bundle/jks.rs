//! A Java key store (JKS) that holds trusted certificates and nothing else.
//!
//! Every JDK since 1.2 reads it without a password, which only its own checksum
//! needs. The other format Java reads, PKCS#12, encrypts public certificates
//! under a password that would then have to be passed along.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls_pki_types::CertificateDer;

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry with a certificate; the other kind holds a key.
const TRUSTED_CERTIFICATE: u32 = 2;
/// The password that Java's own tools assume, and the phrase mixed into the
/// checksum by the format.
const PASSWORD: &str = "changeit";
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// The bytes of a store that trusts these certificates.
pub(super) fn trust_store<'a>(
    certificates: impl Iterator<Item = &'a CertificateDer<'static>>,
) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    trust_store_at(now, certificates)
}

fn trust_store_at<'a>(
    created_ms: u64,
    certificates: impl Iterator<Item = &'a CertificateDer<'static>>,
) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count: u32 = 0;
    for certificate in certificates {
        let Ok(length) = u32::try_from(certificate.len()) else {
            continue;
        };
        entries.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        text(&mut entries, &format!("weir-{count}"));
        entries.extend(created_ms.to_be_bytes());
        text(&mut entries, "X.509");
        entries.extend(length.to_be_bytes());
        entries.extend_from_slice(certificate);
        count += 1;
    }
    let mut store = Vec::with_capacity(entries.len() + 32);
    for word in [MAGIC, VERSION, count] {
        store.extend(word.to_be_bytes());
    }
    store.append(&mut entries);

    let mut checksum = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        checksum.update(&unit.to_be_bytes());
    }
    checksum.update(WHITENER);
    checksum.update(&store);
    store.extend_from_slice(checksum.finish().as_ref());
    store
}

/// Java's `writeUTF` for short ASCII: a length of two bytes, then the bytes.
fn text(to: &mut Vec<u8>, ascii: &str) {
    let length = u16::try_from(ascii.len()).unwrap_or(u16::MAX);
    to.extend(length.to_be_bytes());
    to.extend_from_slice(ascii.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_the_bytes_java_expects() {
        let certificate = CertificateDer::from(vec![0x30, 0x01, 0x00]);
        let store = trust_store_at(0x0102, [&certificate].into_iter());
        let body = [
            &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 2, 0, 6],
            b"weir-0",
            &[0, 0, 0, 0, 0, 0, 1, 2, 0, 5],
            b"X.509",
            &[0, 0, 0, 3, 0x30, 1, 0],
        ]
        .concat();
        assert_eq!(store[..store.len() - 20], body);
        assert_eq!(store[store.len() - 20..], CHECKSUM);
    }

    /// SHA-1 as another implementation computes it over the same parts.
    const CHECKSUM: [u8; 20] = [
        0xd2, 0x62, 0x92, 0x24, 0x79, 0x10, 0xc6, 0xc8, 0xaf, 0xbb, 0x72, 0xff, 0x6c, 0x33, 0x74,
        0x2d, 0x28, 0x69, 0xad, 0x25,
    ];
}
