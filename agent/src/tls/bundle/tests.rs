//! Nothing the caller trusted may be lost, whatever shape it has.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{Bundles, environment, is_one_sequence};

fn certificate(name: &str) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.self_signed(&key).expect("a certificate").pem()
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|one| one.expect("well formed"))
        .collect()
}

fn variables(pairs: &[(&str, &Path)]) -> BTreeMap<OsString, OsString> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.as_os_str().to_owned()))
        .collect()
}

#[test]
fn everything_trusted_before_stays_and_the_ca_comes_last() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let [system, user, both, hashed, node, also, ca] =
        ["system", "user", "both", "hashed", "node", "also", "ca"].map(certificate);
    fs::write(at("system"), format!("{system}# a comment\n{both}")).expect("a file");
    fs::write(at("user"), format!("{both}{user}")).expect("a file");
    fs::create_dir(at("hashed")).expect("a directory");
    fs::write(at("hashed/0a0b.0"), &hashed).expect("a file");
    fs::write(at("hashed/README"), "no certificate").expect("a file");
    fs::write(at("node"), &node).expect("a file");
    fs::write(at("also"), &also).expect("a file");

    let existing = variables(&[
        ("REQUESTS_CA_BUNDLE", &at("user")),
        ("CURL_CA_BUNDLE", &at("user")),
        ("SSL_CERT_FILE", Path::new("")),
        (
            "SSL_CERT_DIR",
            Path::new(&format!(":{}", at("hashed").display())),
        ),
        ("NODE_EXTRA_CA_CERTS", &at("node")),
    ]);
    let file = at("system");
    let system_files = [file.to_str().expect("a name"), "/nonexistent/roots.pem"];
    let bundles =
        Bundles::assemble(&ca, &existing, &system_files, &[at("also")]).expect("a certificate");

    let expected: Vec<_> = [&system, &both, &user, &hashed, &also, &ca]
        .into_iter()
        .flat_map(|pem| ders(pem))
        .collect();
    assert_eq!(ders(&bundles.bundle), expected);
    assert_eq!(
        ders(&bundles.extra),
        [ders(&node), ders(&also), ders(&ca)].concat()
    );
    assert_eq!(ders(&bundles.ca), ders(&ca));
    assert_eq!(bundles.warnings, [""; 0]);
    for (name, contents) in bundles.files() {
        let key = contents.windows(11).any(|part| part == b"PRIVATE KEY");
        assert!(!key && !contents.is_empty(), "{name}");
    }
}

#[test]
fn what_cannot_be_taken_over_is_said_and_the_rest_stands() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (good, ca) = (certificate("good"), certificate("ca"));
    let not_der = pem::encode(&pem::Pem::new("CERTIFICATE", *b"not a certificate"));
    fs::write(at("torn"), format!("{good}{not_der}")).expect("a file");
    fs::write(at("empty"), "").expect("a file");

    let existing = variables(&[
        ("SSL_CERT_FILE", &at("torn")),
        ("PIP_CERT", &at("empty")),
        ("AWS_CA_BUNDLE", &at("missing")),
        ("CURL_CA_BUNDLE", Path::new("/dev/zero")),
        ("SSL_CERT_DIR", &at("nowhere")),
    ]);
    let bundles = Bundles::assemble(&ca, &existing, &[], &[]).expect("a certificate");
    assert_eq!(ders(&bundles.bundle), [ders(&good), ders(&ca)].concat());
    let named = [
        "no roots of the system",
        "SSL_CERT_FILE: ",
        "CURL_CA_BUNDLE: ",
        "AWS_CA_BUNDLE: ",
        "PIP_CERT: ",
        "SSL_CERT_DIR: ",
    ];
    assert_eq!(
        bundles.warnings.len(),
        named.len(),
        "{:?}",
        bundles.warnings
    );
    for (warning, name) in bundles.warnings.iter().zip(named) {
        assert!(warning.starts_with(name), "{warning}");
    }
}

#[test]
fn the_ca_must_be_one_certificate() {
    let two = format!("{}{}", certificate("a"), certificate("b"));
    for text in ["", "no certificate", &two] {
        assert!(Bundles::assemble(text, &BTreeMap::new(), &[], &[]).is_err());
    }
}

#[test]
fn variables_name_the_file_of_their_kind() {
    let directory = Path::new("/run/weir-exec-7");
    let set: BTreeMap<_, _> = environment(&BTreeMap::new(), directory)
        .into_iter()
        .collect();
    let value = |name: &str| set.get(OsStr::new(name)).and_then(|value| value.to_str());
    for name in [
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
    ] {
        assert_eq!(value(name), Some("/run/weir-exec-7/bundle.pem"), "{name}");
    }
    for name in ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] {
        assert_eq!(value(name), Some("/run/weir-exec-7/extra.pem"), "{name}");
    }
    for name in ["NIX_SSL_CERT_FILE", "SSL_CERT_DIR"] {
        assert_eq!(value(name), None, "{name}");
    }
    assert_eq!(set.len(), 14);
}

#[test]
fn a_variable_that_only_some_use_is_set_for_those() {
    let existing = variables(&[("NIX_SSL_CERT_FILE", Path::new("/x"))]);
    let set = environment(&existing, Path::new("/d"));
    assert!(set.contains(&("NIX_SSL_CERT_FILE".into(), "/d/bundle.pem".into())));
}

#[test]
fn java_options_of_the_caller_are_kept() {
    let ours = "'-Djavax.net.ssl.trustStore=/d/truststore.jks' -Djavax.net.ssl.trustStoreType=JKS";
    for (existing, expected) in [
        (None, Some(ours.to_owned())),
        (Some(""), Some(ours.to_owned())),
        (Some("-Xmx1g"), Some(format!("-Xmx1g {ours}"))),
        (Some("-Djavax.net.ssl.trustStore=/mine -Xmx1g"), None),
    ] {
        let existing: BTreeMap<OsString, OsString> = existing
            .map(|options| ("JAVA_TOOL_OPTIONS".into(), options.into()))
            .into_iter()
            .collect();
        let set: BTreeMap<_, _> = environment(&existing, Path::new("/d"))
            .into_iter()
            .collect();
        let options = set.get(OsStr::new("JAVA_TOOL_OPTIONS"));
        assert_eq!(options.and_then(|one| one.to_str()), expected.as_deref());

        let bundles =
            Bundles::assemble(&certificate("ca"), &existing, &[], &[]).expect("a certificate");
        let told = bundles
            .warnings
            .iter()
            .any(|one| one.starts_with("JAVA_TOOL_OPTIONS"));
        assert_eq!(told, expected.is_none());
    }
}

#[test]
fn a_certificate_is_one_sequence_and_nothing_else() {
    let long = [&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat();
    for (der, expected) in [
        (&[0x30, 0x00][..], true),
        (&[0x30, 0x01, 0x00], true),
        (&[0x30, 0x81, 0x01, 0x00], true),
        (&long, true),
        (&long[..259], false),
        (&[0x30, 0x01], false),
        (&[0x30, 0x00, 0x00], false),
        (&[0x30], false),
        (&[0x31, 0x00], false),
        (&[], false),
    ] {
        assert_eq!(is_one_sequence(der), expected, "{der:?}");
    }
}
