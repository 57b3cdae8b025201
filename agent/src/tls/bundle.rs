//! What the command is made to trust: everything it trusted before, and the CA
//! of this run.
//!
//! Most TLS libraries are told their roots by a variable that *replaces* them,
//! so the file it names must hold the system's roots and whatever the caller had
//! named already; losing one would break a connection that worked. A part that
//! cannot be read is reported and the rest still stands. Only certificates are
//! written, never a key.

mod environment;
mod jks;

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use environment::{
    Effect, JAVA_OPTIONS, JAVA_OPTIONS_ANY, JAVA_TRUST_STORE, VARIABLES, environment,
    java_trust_options,
};

/// The CA of this run alone, PEM.
pub const CA_FILE: &str = "ca.pem";
/// All roots, PEM, the CA last.
pub const BUNDLE_FILE: &str = "bundle.pem";
/// What the caller adds to built-in roots, and the CA, PEM.
pub const EXTRA_FILE: &str = "extra.pem";
/// All roots as Java reads them.
pub const JAVA_FILE: &str = "truststore.jks";

/// Where distributions keep the roots of the system, as one file.
pub const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
];

/// Upper bound of a file of roots, in bytes. The whole web PKI is 250 KiB; the
/// bound is there because the caller's environment chooses the file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Upper bound of files read from a directory of roots. A full system has some
/// 300, by two names each.
const DIRECTORY_FILES_MAX: usize = 4096;

/// The CA that was handed over is not a certificate.
#[derive(Debug, thiserror::Error)]
#[error("the proxy's CA is not one PEM certificate")]
pub struct NotACertificate;

/// The contents of the files that [`environment`] names.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// [`CA_FILE`].
    pub ca: String,
    /// [`BUNDLE_FILE`].
    pub bundle: String,
    /// [`EXTRA_FILE`].
    pub extra: String,
    /// [`JAVA_FILE`].
    pub java: Vec<u8>,
    /// What could not be taken over, one line each.
    pub warnings: Vec<String>,
}

impl Bundles {
    /// Reads what is trusted now, from `system`, what `existing` names and `also`,
    /// and adds the CA.
    ///
    /// # Errors
    /// `ca_pem` is not one certificate.
    pub fn assemble(
        ca_pem: &str,
        existing: &BTreeMap<OsString, OsString>,
        system: &[&str],
        also: &[PathBuf],
    ) -> Result<Self, NotACertificate> {
        let mut certificates = CertificateDer::pem_slice_iter(ca_pem.as_bytes());
        let (Some(Ok(ca)), None) = (certificates.next(), certificates.next()) else {
            return Err(NotACertificate);
        };

        let mut all = Roots::default();
        for file in system.iter().filter(|file| Path::new(file).exists()) {
            all.add(Path::new(file), "the system's roots");
        }
        if all.certificates.is_empty() {
            all.warnings.push(
                "no roots of the system were found: the command trusts only what it names itself"
                    .to_owned(),
            );
        }
        let mut extra = Roots::default();
        for (variable, effect) in VARIABLES {
            match effect {
                Effect::Replaces | Effect::ReplacesIfSet => &mut all,
                Effect::Adds => &mut extra,
            }
            .add_named_by(variable, existing);
        }
        for directory in existing
            .get(OsStr::new("SSL_CERT_DIR"))
            .iter()
            .flat_map(|list| list.as_bytes().split(|byte| *byte == b':'))
            .filter(|directory| !directory.is_empty())
        {
            all.add(Path::new(OsStr::from_bytes(directory)), "SSL_CERT_DIR");
        }

        for path in also {
            all.add(path, "--also-trust");
            extra.add(path, "--also-trust");
        }

        let mut warnings = std::mem::take(&mut all.warnings);
        warnings.append(&mut extra.warnings);
        warnings.extend(environment::java_conflict(existing));
        Ok(Self {
            java: jks::trust_store(all.certificates.iter().chain([&ca])),
            ca: Roots::default().into_pem(&ca),
            bundle: all.into_pem(&ca),
            extra: extra.into_pem(&ca),
            warnings,
        })
    }

    /// The files to be written, by name.
    #[must_use]
    pub fn files(&self) -> [(&'static str, &[u8]); 4] {
        [
            (CA_FILE, self.ca.as_bytes()),
            (BUNDLE_FILE, self.bundle.as_bytes()),
            (EXTRA_FILE, self.extra.as_bytes()),
            (JAVA_FILE, &self.java),
        ]
    }
}

/// Certificates in the order they were found, each once.
#[derive(Debug, Default)]
struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    seen: HashSet<CertificateDer<'static>>,
    read: HashSet<PathBuf>,
    warnings: Vec<String>,
}

impl Roots {
    fn add_named_by(&mut self, variable: &str, existing: &BTreeMap<OsString, OsString>) {
        let named = existing.get(OsStr::new(variable));
        if let Some(path) = named.filter(|path| !path.is_empty()) {
            self.add(Path::new(path), variable);
        }
    }

    /// Takes over a file, or every file of a directory, that `source` names.
    fn add(&mut self, path: &Path, source: &str) {
        // Most variables name the same file.
        if !self.read.insert(path.to_owned()) {
            return;
        }
        let outcome = if path.is_dir() {
            self.add_directory(path)
        } else {
            read_file(path).map(|text| match self.add_pem(&text) {
                Found::Nothing => self.warn(path, source, "it holds no PEM certificate"),
                Found::Malformed => self.warn(path, source, "some of it is malformed"),
                Found::Certificates => {}
            })
        };
        if let Err(error) = outcome {
            self.warn(path, source, &error.to_string());
        }
    }

    fn add_directory(&mut self, directory: &Path) -> io::Result<()> {
        let mut files: Vec<PathBuf> = fs::read_dir(directory)?
            .take(DIRECTORY_FILES_MAX)
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|file| file.is_file())
            .collect();
        files.sort();
        for file in files {
            // Directories of roots hold other things too; OpenSSL, which reads
            // them by hashed name, passes over those as well.
            if let Ok(text) = read_file(&file) {
                self.add_pem(&text);
            }
        }
        Ok(())
    }

    fn add_pem(&mut self, text: &[u8]) -> Found {
        let mut found = Found::Nothing;
        for certificate in CertificateDer::pem_slice_iter(text) {
            match certificate {
                Ok(certificate) if is_one_sequence(&certificate) => {
                    if found == Found::Nothing {
                        found = Found::Certificates;
                    }
                    if self.seen.insert(certificate.clone()) {
                        self.certificates.push(certificate);
                    }
                }
                Ok(_) | Err(_) => found = Found::Malformed,
            }
        }
        found
    }

    fn warn(&mut self, path: &Path, source: &str, why: &str) {
        self.warnings.push(format!(
            "{source}: not all of {} is trusted by the command: {why}",
            path.display()
        ));
    }

    fn into_pem(self, ca: &CertificateDer<'_>) -> String {
        let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let encode = |certificate: &[u8]| {
            pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate), unix)
        };
        let mut text = String::new();
        for certificate in &self.certificates {
            text.push_str(&encode(certificate));
        }
        text.push_str("# weir: the CA of this run or pod, whose key is on no disk\n");
        text.push_str(&encode(ca));
        text
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Certificates,
    Malformed,
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // A named pipe would wait for a writer, and a device need not end.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than any set of roots"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether these bytes are one DER sequence and nothing else, as a certificate
/// is. OpenSSL refuses a whole file for one entry that is not.
fn is_one_sequence(der: &[u8]) -> bool {
    let (length, header) = match der {
        [0x30, short, ..] if *short < 0x80 => (usize::from(*short), 2),
        [0x30, 0x81, one, ..] => (usize::from(*one), 3),
        [0x30, 0x82, high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        [0x30, 0x83, top, high, low, ..] => {
            let length = u32::from_be_bytes([0, *top, *high, *low]);
            (usize::try_from(length).unwrap_or(usize::MAX), 5)
        }
        _ => return false,
    };
    der.len().checked_sub(header) == Some(length)
}

#[cfg(test)]
mod tests;
