//! The variables by which programs learn whom to trust.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{BUNDLE_FILE, EXTRA_FILE, JAVA_FILE};

/// Variables whose file replaces a program's roots; always set.
///
/// uv and httpx read the first, requests the second and not the first. Some of
/// them are lower case because npm spells its settings so.
pub(super) const REPLACE: [&str; 11] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "npm_config_cafile",
    "PERL_LWP_SSL_CA_FILE",
    "BUNDLE_SSL_CA_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// The same kind, needed only where the caller uses them: without them their
/// programs read the ones above, or the system's file.
pub(super) const REPLACE_IF_SET: [&str; 3] = [
    "NIX_SSL_CERT_FILE",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
];

/// Variables whose file is added to roots a program brings along.
pub(super) const APPEND: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

const JAVA_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
const JAVA_TRUST_STORE: &str = "-Djavax.net.ssl.trustStore=";

/// The variables to set for a command that had `existing`, when the files of
/// [`Bundles`](super::Bundles) are in `directory`.
#[must_use]
pub fn environment(
    existing: &BTreeMap<OsString, OsString>,
    directory: &Path,
) -> Vec<(OsString, OsString)> {
    let bundle = directory.join(BUNDLE_FILE);
    let extra = directory.join(EXTRA_FILE);
    let in_use = REPLACE_IF_SET
        .iter()
        .filter(|name| existing.contains_key(OsStr::new(name)));
    let replace = REPLACE.iter().chain(in_use).map(|name| (name, &bundle));
    let append = APPEND.iter().map(|name| (name, &extra));
    let mut variables: Vec<(OsString, OsString)> = replace
        .chain(append)
        .map(|(name, file)| (name.into(), file.into()))
        .collect();

    if java_conflict(existing).is_none() {
        let mut options = existing
            .get(OsStr::new(JAVA_OPTIONS))
            .cloned()
            .unwrap_or_default();
        if !options.is_empty() {
            options.push(" ");
        }
        // No password: it would only guard the integrity of a file that Java
        // reads a moment after it was written.
        options.push("'");
        options.push(JAVA_TRUST_STORE);
        options.push(directory.join(JAVA_FILE));
        options.push("' -Djavax.net.ssl.trustStoreType=JKS");
        variables.push((JAVA_OPTIONS.into(), options));
    }
    variables
}

/// A trust store of the caller's own cannot be merged, as its password is not
/// known, and must not be lost; so it wins, and the caller is told.
pub(super) fn java_conflict(existing: &BTreeMap<OsString, OsString>) -> Option<String> {
    ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"]
        .into_iter()
        .find(|name| {
            existing
                .get(OsStr::new(name))
                .is_some_and(|options| options.to_string_lossy().contains(JAVA_TRUST_STORE))
        })
        .map(|name| {
            format!(
                "{name}: Java keeps the trust store named there and will refuse weir's CA: \
                 import ca.pem into it, or unset the option"
            )
        })
}
