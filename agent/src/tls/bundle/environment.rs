//! The variables by which programs learn whom to trust.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{BUNDLE_FILE, EXTRA_FILE, JAVA_FILE};

/// What a variable's file is to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// All its roots; always set.
    Replaces,
    /// The same, needed only where it is in use: without it programs read one of
    /// the others, or the system's file.
    ReplacesIfSet,
    /// Added to roots that it brings along.
    Adds,
}

/// Every variable that names a file of roots, here and in pods.
///
/// uv and httpx read the first, requests the second and not the first. Some are
/// lower case because npm spells its settings so.
pub const VARIABLES: [(&str, Effect); 16] = [
    ("SSL_CERT_FILE", Effect::Replaces),
    ("REQUESTS_CA_BUNDLE", Effect::Replaces),
    ("CURL_CA_BUNDLE", Effect::Replaces),
    ("GIT_SSL_CAINFO", Effect::Replaces),
    ("AWS_CA_BUNDLE", Effect::Replaces),
    ("PIP_CERT", Effect::Replaces),
    ("CARGO_HTTP_CAINFO", Effect::Replaces),
    ("npm_config_cafile", Effect::Replaces),
    ("PERL_LWP_SSL_CA_FILE", Effect::Replaces),
    ("BUNDLE_SSL_CA_CERT", Effect::Replaces),
    ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Effect::Replaces),
    ("NIX_SSL_CERT_FILE", Effect::ReplacesIfSet),
    ("HTTPLIB2_CA_CERTS", Effect::ReplacesIfSet),
    ("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Effect::ReplacesIfSet),
    ("NODE_EXTRA_CA_CERTS", Effect::Adds),
    ("DENO_CERT", Effect::Adds),
];

/// The variable that gives every Java program options.
pub const JAVA_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
/// All that can, and could name a trust store of the user's own.
pub const JAVA_OPTIONS_ANY: [&str; 3] = [JAVA_OPTIONS, "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"];
/// How options name one.
pub const JAVA_TRUST_STORE: &str = "-Djavax.net.ssl.trustStore=";

/// The options that make Java trust what [`JAVA_FILE`] in `directory` holds.
///
/// No password: it would only guard the integrity of a file that Java reads a
/// moment after it was written.
#[must_use]
pub fn java_trust_options(directory: &Path) -> OsString {
    let mut options = OsString::from("'");
    options.push(JAVA_TRUST_STORE);
    options.push(directory.join(JAVA_FILE));
    options.push("' -Djavax.net.ssl.trustStoreType=JKS");
    options
}

/// The variables to set for a command that had `existing`, when the files of
/// [`Bundles`](super::Bundles) are in `directory`.
#[must_use]
pub fn environment(
    existing: &BTreeMap<OsString, OsString>,
    directory: &Path,
) -> Vec<(OsString, OsString)> {
    let bundle = directory.join(BUNDLE_FILE);
    let extra = directory.join(EXTRA_FILE);
    let mut variables: Vec<(OsString, OsString)> = VARIABLES
        .into_iter()
        .filter_map(|(name, effect)| {
            let file = match effect {
                Effect::Replaces => &bundle,
                Effect::ReplacesIfSet if existing.contains_key(OsStr::new(name)) => &bundle,
                Effect::ReplacesIfSet => return None,
                Effect::Adds => &extra,
            };
            Some((name.into(), file.into()))
        })
        .collect();

    if java_conflict(existing).is_none() {
        let mut options = existing
            .get(OsStr::new(JAVA_OPTIONS))
            .cloned()
            .unwrap_or_default();
        if !options.is_empty() {
            options.push(" ");
        }
        options.push(java_trust_options(directory));
        variables.push((JAVA_OPTIONS.into(), options));
    }
    variables
}

/// A trust store of the caller's own cannot be merged, as its password is not
/// known, and must not be lost; so it wins, and the caller is told.
pub(super) fn java_conflict(existing: &BTreeMap<OsString, OsString>) -> Option<String> {
    JAVA_OPTIONS_ANY
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
