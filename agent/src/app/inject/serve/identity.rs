//! The webhook's certificate and key, and what becomes of them when somebody
//! renews them.
//!
//! They are files, as a mounted Secret is: whoever renews it swaps a link, and
//! both change at once; a copy by hand changes them one after the other. So a
//! pair is only taken if it fits together, and the one before stays until then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls;

/// Why the files are not an identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// One of them cannot be read.
    #[error("cannot read {path}: {source}: mount the webhook's Secret, or make one with `weir inject certificate`", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One of them is something else.
    #[error("{path} holds no {what} in PEM", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// They do not belong together.
    #[error("{certificate} and its key do not fit together: {source}", certificate = certificate.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// Whether anything changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// Nothing.
    Same,
    /// There is a new certificate.
    Renewed,
}

/// By what a file is known to have changed: its device and inode, its size, and
/// when it was written, to the nanosecond.
type Mark = Option<(u64, u64, u64, i64, i64)>;

/// A pair that fits together, and where it came from.
pub(super) struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    seen: [Mark; 2],
    config: Arc<ServerConfig>,
    not_after: Option<SystemTime>,
}

impl Identity {
    /// # Errors
    /// The files are not there, or do not fit together.
    pub(super) fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let seen = marks(certificate, key);
        let (config, not_after) = read(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            seen,
            config,
            not_after,
        })
    }

    /// Takes what is in the files now, if it is another pair. Costs two calls
    /// of stat(2) while it is not.
    ///
    /// # Errors
    /// It cannot be used; then the pair before stays, and this is tried again
    /// when the files have changed again.
    pub(super) fn refresh(&mut self) -> Result<Refreshed, IdentityError> {
        let seen = marks(&self.certificate, &self.key);
        if seen == self.seen {
            return Ok(Refreshed::Same);
        }
        self.seen = seen;
        let (config, not_after) = read(&self.certificate, &self.key)?;
        self.config = config;
        self.not_after = not_after;
        Ok(Refreshed::Renewed)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// When the certificate ends, if it says so.
    pub(super) fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }
}

fn marks(certificate: &Path, key: &Path) -> [Mark; 2] {
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ))
    })
}

fn read(
    certificate: &Path,
    key: &Path,
) -> Result<(Arc<ServerConfig>, Option<SystemTime>), IdentityError> {
    let text = |path: &Path| {
        fs::read(path).map_err(|source| IdentityError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let malformed = |path: &Path, what| IdentityError::Malformed {
        path: path.to_owned(),
        what,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|_unsaid| malformed(certificate, "certificate"))?;
    let Some(leaf) = chain.first() else {
        return Err(malformed(certificate, "certificate"));
    };
    let not_after = not_after(leaf);
    let private = PrivateKeyDer::from_pem_slice(&text(key)?)
        .map_err(|_unsaid| malformed(key, "private key"))?;
    let unfit = |source| IdentityError::Unfit {
        certificate: certificate.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), not_after))
}

fn not_after(leaf: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["webhook".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_that_does_not_fit_together_does_not_replace_one_that_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let (certificate, key) = (directory.path().join("c"), directory.path().join("k"));
        let [first, second] = [pair(), pair()];
        fs::write(&certificate, &first.0).expect("a file");
        fs::write(&key, &first.1).expect("a file");
        let mut identity = Identity::load(&certificate, &key).expect("a pair");
        assert!(identity.not_after().is_some());
        assert_eq!(identity.refresh().expect("the same"), Refreshed::Same);
        let before = identity.config();

        fs::write(&certificate, &second.0).expect("a file");
        assert!(matches!(
            identity.refresh(),
            Err(IdentityError::Unfit { .. })
        ));
        assert!(Arc::ptr_eq(&before, &identity.config()));
        // Said once, not for each connection.
        assert_eq!(identity.refresh().expect("no change"), Refreshed::Same);

        fs::write(&key, &second.1).expect("a file");
        assert_eq!(identity.refresh().expect("a pair"), Refreshed::Renewed);
        assert!(!Arc::ptr_eq(&before, &identity.config()));

        fs::remove_file(&key).expect("it was there");
        assert!(matches!(
            identity.refresh(),
            Err(IdentityError::Read { .. })
        ));
        fs::write(&key, "no key").expect("a file");
        assert!(matches!(
            identity.refresh(),
            Err(IdentityError::Malformed { .. })
        ));
    }
}
