//! The roots that upstream certificates are verified against.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::UpstreamRoot;

/// Roots could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A configured file cannot be read.
    #[error("cannot read upstream roots {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configured file is not PEM, or a certificate in it is not usable as a root.
    #[error("upstream roots {path}: {problem}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Nothing to verify against.
    #[error(
        "no upstream roots: the system has no certificate store (install ca-certificates, \
         or name a PEM file in `tls.upstream_roots`)"
    )]
    Empty,
}

/// Loads and merges all sources. Warnings name single certificates of the
/// system's store that could not be used.
///
/// # Errors
///
/// A configured file that cannot be used, or no root at all.
pub fn load(sources: &[UpstreamRoot]) -> Result<(Arc<RootCertStore>, Vec<String>), RootsError> {
    let mut store = RootCertStore::empty();
    let mut warnings = Vec::new();
    for source in sources {
        match source {
            UpstreamRoot::System => {
                let found = rustls_native_certs::load_native_certs();
                warnings.extend(
                    found
                        .errors
                        .iter()
                        .map(|error| format!("system roots: {error}")),
                );
                let (_added, ignored) = store.add_parsable_certificates(found.certs);
                if ignored > 0 {
                    warnings.push(format!(
                        "system roots: {ignored} unusable certificates ignored"
                    ));
                }
            }
            UpstreamRoot::File(path) => add_file(&mut store, path)?,
        }
    }
    if store.is_empty() {
        return Err(RootsError::Empty);
    }
    Ok((Arc::new(store), warnings))
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), RootsError> {
    let malformed = |problem: String| RootsError::Malformed {
        path: path.to_owned(),
        problem,
    };
    let pem = fs::read(path).map_err(|source| RootsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| malformed(format!("not PEM: {error}")))?;
        store.add(certificate).map_err(|error| {
            malformed(format!("certificate {}: {error}", count.saturating_add(1)))
        })?;
        count = count.saturating_add(1);
    }
    if count == 0 {
        Err(malformed("no certificate in it".into()))
    } else {
        Ok(())
    }
}
