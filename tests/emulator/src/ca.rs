//! The emulator's certificate authority, and the certificates it issues,
//! sound and unsound.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// How far a client's clock may be behind.
const CLOCK_SKEW: Duration = Duration::days(1);

/// How long a certificate is good for: below the 47 days that strict clients
/// are about to allow, and longer than any test run.
const LIFETIME: Duration = Duration::days(45);

/// A certificate authority whose key lives in memory only.
#[derive(Clone)]
pub struct Ca(Arc<Authority>);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// What is wrong with a listener's certificate, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CertificateKind {
    /// Nothing: for the emulator's names, issued by its CA.
    #[default]
    Sound,
    /// It ended in 2021.
    Expired,
    /// It is for `elsewhere.example`.
    WrongName,
    /// It is issued by a CA that nobody has.
    UnknownCa,
    /// It is issued by nobody but itself.
    SelfSigned,
}

/// A certificate chain with its key.
#[derive(Debug)]
pub struct Identity {
    /// The end-entity certificate, and its issuer's where there is one.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The chain as PEM.
    pub chain_pem: String,
    /// The key as PEM.
    pub key_pem: String,
}

/// The cryptography library refused to make a key or a certificate.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct CaError(#[from] rcgen::Error);

impl Ca {
    /// A new CA.
    ///
    /// # Errors
    /// No key could be made.
    pub fn generate() -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "weir emulator test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self(Arc::new(Authority {
            pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
        })))
    }

    /// The CA's certificate as PEM, for clients to trust.
    pub fn pem(&self) -> &str {
        &self.0.pem
    }

    /// The CA's certificate as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    /// An identity for a client, for listeners that ask for one.
    ///
    /// # Errors
    /// No certificate could be made.
    pub fn client_identity(&self, name: &str) -> Result<Identity, CaError> {
        let mut params = leaf_params(&[name.to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// An identity for a server that is not the emulator's.
    ///
    /// # Errors
    /// No certificate could be made.
    pub fn identity(&self, names: &[&str]) -> Result<Identity, CaError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        self.server_identity(&names, CertificateKind::Sound)
    }

    /// The identity that a listener shows.
    pub(crate) fn server_identity(
        &self,
        names: &[String],
        kind: CertificateKind,
    ) -> Result<Identity, CaError> {
        let mut params = leaf_params(names)?;
        match kind {
            CertificateKind::Sound => self.sign(params),
            CertificateKind::Expired => {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
                self.sign(params)
            }
            CertificateKind::WrongName => {
                self.sign(leaf_params(&["elsewhere.example".to_owned()])?)
            }
            CertificateKind::UnknownCa => Ca::generate()?.sign(params),
            CertificateKind::SelfSigned => {
                let key = KeyPair::generate()?;
                let certificate = params.self_signed(&key)?;
                Ok(identity(&certificate, &key, None))
            }
        }
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, CaError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0.issuer)?;
        Ok(identity(&certificate, &key, Some(&self.0)))
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ca").finish_non_exhaustive()
    }
}

fn leaf_params(names: &[String]) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::new(names)?;
    if let Some(name) = names.first() {
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + LIFETIME;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn identity(
    certificate: &rcgen::Certificate,
    key: &KeyPair,
    issuer: Option<&Authority>,
) -> Identity {
    let mut chain = vec![certificate.der().clone()];
    let mut chain_pem = certificate.pem();
    if let Some(issuer) = issuer {
        chain.push(issuer.certificate.clone());
        chain_pem.push_str(&issuer.pem);
    }
    Identity {
        chain,
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        chain_pem,
        key_pem: key.serialize_pem(),
    }
}
