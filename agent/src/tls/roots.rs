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

/// Loads and merges all sources, and `also`, files that an application brought.
/// Warnings name single certificates of the system's store and of those files
/// that could not be used.
///
/// # Errors
///
/// A configured file that cannot be used, one that cannot be read, or no root
/// at all.
pub fn load(
    sources: &[UpstreamRoot],
    also: &[PathBuf],
) -> Result<(Arc<RootCertStore>, Vec<String>), RootsError> {
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
    for path in also {
        let pem = read(path)?;
        let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        let (added, ignored) = store.add_parsable_certificates(found);
        if added == 0 || ignored > 0 {
            warnings.push(format!(
                "roots {}: {added} certificates usable, {ignored} not",
                path.display()
            ));
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
    let pem = read(path)?;
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

fn read(path: &Path) -> Result<Vec<u8>, RootsError> {
    fs::read(path).map_err(|source| RootsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The files that `paths` are: of a directory those in it, such as the keys of a
/// mounted `ConfigMap`.
///
/// # Errors
///
/// One of them is not there, or may not be read.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, RootsError> {
    let mut files = Vec::new();
    for path in paths {
        let error = |source| RootsError::Read {
            path: path.clone(),
            source,
        };
        if !fs::metadata(path).map_err(error)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = fs::read_dir(path)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.path()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(error)?;
        inside.retain(|file| file.is_file());
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[test]
    fn what_an_application_brings_is_trusted_besides() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("mounted")).expect("a directory");
        // As the kubelet lays out a ConfigMap.
        fs::create_dir(at("mounted/..1")).expect("a directory");
        fs::write(at("mounted/..1/a.pem"), certificate("a")).expect("a file");
        std::os::unix::fs::symlink("..1", at("mounted/..data")).expect("a link");
        std::os::unix::fs::symlink("..data/a.pem", at("mounted/a.pem")).expect("a link");
        fs::write(at("configured"), certificate("b")).expect("a file");
        fs::write(at("empty"), "").expect("a file");

        let also = files(&[at("mounted"), at("empty")]).expect("files");
        assert_eq!(also, [at("mounted/a.pem"), at("empty")]);
        let configured = [UpstreamRoot::File(at("configured"))];
        let (store, warnings) = load(&configured, &also).expect("roots");
        assert_eq!(store.len(), 2);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("0 certificates usable"),
            "{warnings:?}"
        );
    }

    #[test]
    fn one_that_is_missing_is_an_error() {
        let missing = PathBuf::from("/nonexistent/roots.pem");
        assert!(files(std::slice::from_ref(&missing)).is_err());
        assert!(load(&[], &[missing]).is_err());
    }
}
