//! The pod-local certificate authority: made in memory at start, mints a leaf
//! for each intercepted host, gone with the process. In a pod the next proxy
//! can have its key, sealed, so that applications which trust it go on doing so.
//!
//! The leaf rules are those that strict clients enforce: an authority key
//! identifier equal to the issuer's subject key identifier (Python 3.13 checks),
//! `serverAuth`, a validity under 200 days that begins in the past, a random
//! serial number, a subject alternative name.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType, SerialNumber,
};
use rustls::{
    crypto::aws_lc_rs::sign::any_ecdsa_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};

use super::seal::{Seal, SealError};
use crate::bounds::Bound;

/// Clocks of applications may be behind: certificates begin two days ago.
const BACKDATED: Duration = Duration::from_secs(2 * 24 * 3600);
/// Whole validity of a leaf. Clients refuse more than 398 days today and 200
/// from 2026 on; a leaf is minted again long before it ends.
const LEAF_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// A leaf is served from the cache this long.
const LEAF_REUSE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The CA lives as long as its pod; none is expected to outlive this.
const CA_VALIDITY: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// Leaves kept. Only hosts of the catalogue get one, so that wildcard hosts are
/// the only way to fill it; beyond it the oldest makes room.
const LEAVES_MAX: usize = 512;
/// Upper bound of X.520 for a common name.
const COMMON_NAME_LEN_MAX: usize = 64;
const SERIAL_LEN: usize = 16;
const SUBJECT: &str = "weir certificate authority";

/// Minting failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// rcgen could not make or sign a certificate.
    #[error("cannot make a certificate for {subject}: {source}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The key cannot be sealed.
    #[error("cannot seal the key: {0}")]
    Seal(#[from] SealError),
    /// What was sealed under this seal is no key of an authority.
    #[error("the sealed key is not one of this version of weir")]
    NotAKey,
    /// The crypto provider does not take the key it made.
    #[error("cannot use a generated key: {0}")]
    Key(#[source] rustls::Error),
    /// The system has no random numbers.
    #[error("the system's random number generator failed")]
    Random,
}

/// A certificate authority whose key exists in this process, and outside of it
/// only sealed.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    leaf_key: KeyPair,
    leaf_signer: Arc<dyn SigningKey>,
    leaves: Mutex<HashMap<String, Leaf>>,
}

struct Leaf {
    key: Arc<CertifiedKey>,
    minted: SystemTime,
}

impl Authority {
    /// Makes a CA that is valid from `now`.
    ///
    /// `permitted` are the DNS suffixes it may speak for (RFC 5280 §4.2.1.10);
    /// `None` leaves it unconstrained, for catalogues that cannot be enumerated.
    ///
    /// # Errors
    ///
    /// Fails if the crypto library or the random number generator does.
    pub fn new(permitted: Option<&[String]>, now: SystemTime) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(of_authority)?;
        Self::with_key(key, permitted, now)
    }

    /// The CA with the key that another one sealed; whoever trusts that one
    /// trusts this one, because it has the same name, too. `None` if it was
    /// sealed under another seal.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; or what was sealed is something else.
    pub fn succeeding(
        seal: &Seal,
        sealed: &[u8],
        permitted: Option<&[String]>,
        now: SystemTime,
    ) -> Result<Option<Self>, AuthorityError> {
        let Some(der) = seal.open(sealed) else {
            return Ok(None);
        };
        let der = PrivatePkcs8KeyDer::from(der);
        let key = KeyPair::try_from(&der).map_err(|_no_key| AuthorityError::NotAKey)?;
        Self::with_key(key, permitted, now).map(Some)
    }

    /// The key, for [`Self::succeeding`].
    ///
    /// # Errors
    ///
    /// Fails if the crypto library or the random number generator does.
    pub fn sealed(&self, seal: &Seal) -> Result<Vec<u8>, AuthorityError> {
        Ok(seal.close(&self.issuer.key().serialize_der())?)
    }

    fn with_key(
        key: KeyPair,
        permitted: Option<&[String]>,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(SUBJECT);
        params.serial_number = Some(serial()?);
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + CA_VALIDITY).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = permitted.map(constraints);
        let certificate = params.self_signed(&key).map_err(of_authority)?;
        let leaf_key = KeyPair::generate().map_err(of_authority)?;
        let leaf_der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let leaf_signer = any_ecdsa_type(&leaf_der).map_err(AuthorityError::Key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            leaf_key,
            leaf_signer,
            leaves: Mutex::default(),
        })
    }

    /// The CA certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The leaf for a host: a DNS name, lower case, or an IP address.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be put into a certificate.
    pub fn leaf(&self, host: &str, now: SystemTime) -> Result<Arc<CertifiedKey>, AuthorityError> {
        if let Some(leaf) = self.cached(host, now) {
            return Ok(leaf);
        }
        let key = Arc::new(self.mint(host, now)?);
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if leaves.len() >= LEAVES_MAX
            && let Some(oldest) = leaves
                .iter()
                .min_by_key(|(_, leaf)| leaf.minted)
                .map(|(host, _)| host.clone())
        {
            leaves.remove(&oldest);
            Bound::LeafCache.hit();
        }
        leaves.insert(
            host.to_owned(),
            Leaf {
                key: Arc::clone(&key),
                minted: now,
            },
        );
        Ok(key)
    }

    fn cached(&self, host: &str, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        let leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let leaf = leaves.get(host)?;
        // A clock that was set back makes the age an error: mint again.
        let fresh = now
            .duration_since(leaf.minted)
            .is_ok_and(|age| age < LEAF_REUSE);
        fresh.then(|| Arc::clone(&leaf.key))
    }

    fn mint(&self, host: &str, now: SystemTime) -> Result<CertifiedKey, AuthorityError> {
        let certificate_error = |source| AuthorityError::Certificate {
            subject: host.to_owned(),
            source,
        };
        let mut params = CertificateParams::default();
        // A subject that is never empty keeps the alternative name uncritical.
        params.distinguished_name = name(if host.len() <= COMMON_NAME_LEN_MAX {
            host
        } else {
            "intercepted host"
        });
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_not_an_address) => SanType::DnsName(host.try_into().map_err(certificate_error)?),
        }];
        params.serial_number = Some(serial()?);
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now - BACKDATED + LEAF_VALIDITY).into();
        // Writes basicConstraints and a subject key identifier, which differs
        // from the CA's because the keys differ.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&self.leaf_key, &self.issuer)
            .map_err(certificate_error)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        Ok(CertifiedKey::new(chain, Arc::clone(&self.leaf_signer)))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authority(key not shown)")
    }
}

fn of_authority(source: rcgen::Error) -> AuthorityError {
    AuthorityError::Certificate {
        subject: SUBJECT.into(),
        source,
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn constraints(permitted: &[String]) -> NameConstraints {
    // Names without a constraint of their own type are unrestricted, so that
    // addresses have to be excluded explicitly.
    let any_v4 = CidrSubnet::from_v4_prefix([0; 4], 0);
    let any_v6 = CidrSubnet::from_v6_prefix([0; 16], 0);
    NameConstraints {
        permitted_subtrees: permitted
            .iter()
            .cloned()
            .map(GeneralSubtree::DnsName)
            .collect(),
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(any_v4),
            GeneralSubtree::IpAddress(any_v6),
        ],
    }
}

/// 127 random bits: unique, and positive in DER.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; SERIAL_LEN];
    super::provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_no_reason| AuthorityError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "extensions are an open list, and a test looks for one of them"
)]
mod tests {
    use rustls::{
        client::danger::ServerCertVerifier,
        pki_types::{UnixTime, pem::PemObject},
    };
    use x509_parser::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn authority() -> Authority {
        Authority::new(Some(&["api.openai.com".into()]), SystemTime::now()).unwrap()
    }

    #[test]
    fn a_leaf_is_reused_until_it_is_old() {
        let authority = authority();
        let now = SystemTime::now();
        let first = authority.leaf("api.openai.com", now).unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &authority.leaf("api.openai.com", now + DAY).unwrap()
        ));
        let later = authority.leaf("api.openai.com", now + 31 * DAY).unwrap();
        assert_ne!(first.cert, later.cert);
    }

    #[test]
    fn the_leaf_cache_is_bounded() {
        let authority = authority();
        let now = SystemTime::now();
        for index in 0..LEAVES_MAX + 10 {
            let seconds = Duration::from_secs(index.try_into().unwrap());
            authority
                .leaf(&format!("h{index}.api.openai.com"), now + seconds)
                .unwrap();
        }
        assert_eq!(authority.leaves.lock().unwrap().len(), LEAVES_MAX);
    }

    #[test]
    fn long_names_and_addresses_get_a_leaf_and_names_that_cannot_do_not() {
        let authority = authority();
        let long = format!("{}.api.openai.com", "a".repeat(60));
        for host in [
            long.as_str(),
            "203.0.113.7",
            "2001:db8::7",
            "xn--bcher-kva.example",
        ] {
            authority.leaf(host, SystemTime::now()).unwrap();
        }
        assert!(
            authority
                .leaf("h\u{e9}.example", SystemTime::now())
                .is_err()
        );
    }

    #[test]
    fn leaves_follow_the_rules_that_strict_clients_enforce() {
        let authority = authority();
        let now = SystemTime::now();
        let (_, pem) = parse_x509_pem(authority.certificate_pem().as_bytes()).unwrap();
        let ca = pem.parse_x509().unwrap();
        let ca_identifier = subject_key_identifier(&ca).unwrap();
        assert!(ca.basic_constraints().unwrap().unwrap().critical);
        assert!(ca.key_usage().unwrap().unwrap().value.key_cert_sign());

        let mut serials = Vec::new();
        for host in [
            "api.openai.com",
            "203.0.113.7",
            &format!("{}.api.openai.com", "a".repeat(60)),
        ] {
            let key = authority.leaf(host, now).unwrap();
            let (_, leaf) = X509Certificate::from_der(&key.cert[0]).unwrap();
            let issuer = leaf
                .iter_extensions()
                .find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                        issuer.key_identifier.clone()
                    }
                    _ => None,
                })
                .unwrap();
            assert_eq!(issuer.0, ca_identifier, "{host}");
            assert_ne!(
                subject_key_identifier(&leaf).unwrap(),
                ca_identifier,
                "{host}"
            );
            assert!(
                leaf.extended_key_usage()
                    .unwrap()
                    .unwrap()
                    .value
                    .server_auth,
                "{host}"
            );
            assert!(!leaf.is_ca(), "{host}");
            assert!(leaf.subject_alternative_name().unwrap().is_some(), "{host}");
            assert!(leaf.subject().iter_common_name().next().is_some(), "{host}");
            let (from, to) = (leaf.validity().not_before, leaf.validity().not_after);
            let age = now
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs();
            assert!(from.timestamp().cast_unsigned() + 36 * 3600 < age, "{host}");
            assert!(
                to.timestamp() - from.timestamp() < 200 * 24 * 3600,
                "{host}"
            );
            serials.push(leaf.raw_serial().to_vec());
        }
        serials.sort();
        serials.dedup();
        assert_eq!(serials.len(), 3);
        assert!(serials.iter().all(|serial| serial.len() == SERIAL_LEN));
    }

    #[test]
    fn the_authority_speaks_only_for_hosts_under_its_constraints() {
        let authority = authority();
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            super::super::provider(),
        )
        .build()
        .unwrap();
        for (host, accepted) in [
            ("api.openai.com", true),
            ("eu.api.openai.com", true),
            ("bank.example", false),
            ("203.0.113.7", false),
        ] {
            let leaf = authority.leaf(host, SystemTime::now()).unwrap();
            let verified = verifier.verify_server_cert(
                &leaf.cert[0],
                &[],
                &host.to_owned().try_into().unwrap(),
                &[],
                UnixTime::now(),
            );
            assert_eq!(verified.is_ok(), accepted, "{host}: {verified:?}");
        }
    }

    fn subject_key_identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
        certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            })
    }

    #[test]
    fn who_trusts_an_authority_trusts_the_one_that_succeeds_it() {
        let seal = Seal::random().unwrap();
        let first = authority();
        let sealed = first.sealed(&seal).unwrap();
        assert!(
            weir_common::Deposit::of(&sealed).is_some(),
            "{}",
            sealed.len()
        );
        let permitted = ["api.openai.com".to_owned()];
        let now = SystemTime::now();
        let second = Authority::succeeding(&seal, &sealed, Some(&permitted), now)
            .unwrap()
            .expect("the same seal");
        for (of, accepted) in [(&second, true), (&authority(), false)] {
            let mut roots = rustls::RootCertStore::empty();
            let pem = first.certificate_pem().as_bytes();
            roots
                .add(CertificateDer::from_pem_slice(pem).unwrap())
                .unwrap();
            let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots),
                super::super::provider(),
            )
            .build()
            .unwrap();
            let leaf = of.leaf("api.openai.com", now).unwrap();
            let host = "api.openai.com".to_owned().try_into().unwrap();
            let verified =
                verifier.verify_server_cert(&leaf.cert[0], &[], &host, &[], UnixTime::now());
            assert_eq!(verified.is_ok(), accepted, "{verified:?}");
        }
        let other = Seal::random().unwrap();
        let stranger = Authority::succeeding(&other, &sealed, None, now).unwrap();
        assert!(stranger.is_none());
        let nonsense = seal.close(b"nonsense").unwrap();
        assert!(matches!(
            Authority::succeeding(&seal, &nonsense, None, now),
            Err(AuthorityError::NotAKey)
        ));
    }

    #[test]
    fn the_key_is_not_printed() {
        let printed = format!("{:?}", authority());
        assert_eq!(printed, "Authority(key not shown)");
        assert!(!authority().certificate_pem().contains("PRIVATE"));
    }
}
