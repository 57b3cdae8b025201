//! The command trusts what it trusted before, and the CA of the run.

use std::fs;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use weir::tls::bundle::SYSTEM_BUNDLES;
use weir_tests::exec::Exec;

fn certificate(name: &str) -> Result<String> {
    let key = KeyPair::generate()?;
    Ok(CertificateParams::new(vec![name.to_owned()])?
        .self_signed(&key)?
        .pem())
}

/// The base64 of a certificate, without the line ends that may differ.
fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

#[test]
fn the_bundle_holds_what_the_caller_named_and_the_ca_last() -> Result<()> {
    let own = tempfile::NamedTempFile::new()?;
    let certificate = certificate("own")?;
    fs::write(own.path(), &certificate)?;
    let run = Exec::new()?
        .variable("REQUESTS_CA_BUNDLE", own.path())
        .variable("NODE_EXTRA_CA_CERTS", own.path())
        .run(&[
            "sh",
            "-c",
            "cat $SSL_CERT_FILE; echo =; cat $NODE_EXTRA_CA_CERTS; echo =; cat ${SSL_CERT_FILE%/*}/ca.pem",
        ])?;
    let parts: Vec<&str> = run.text()?.split("\n=\n").collect();
    let [bundle, extra, ca] = parts.as_slice() else {
        panic!("{} parts", parts.len());
    };
    let certificates = |pem: &str| -> Vec<String> {
        pem.split("-----END CERTIFICATE-----")
            .filter_map(|part| part.split("-----BEGIN CERTIFICATE-----").nth(1))
            .map(body)
            .collect()
    };
    let ca = certificates(ca).pop().context("the CA")?;
    let bundle = certificates(bundle);
    assert_eq!(bundle.last(), Some(&ca));
    assert!(bundle.contains(&body(&certificate)));
    let system = SYSTEM_BUNDLES
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .context("the system has no roots: install ca-certificates")?;
    for root in certificates(&system) {
        assert!(bundle.contains(&root), "a root of the system is lost");
    }
    assert_eq!(certificates(extra), [body(&certificate), ca]);
    Ok(())
}

#[test]
fn no_key_is_ever_written() -> Result<()> {
    let run = Exec::new()?.run(&["sh", "-c", "grep -lr 'PRIVATE KEY' ${SSL_CERT_FILE%/*}"])?;
    assert_eq!((run.text()?, run.code()), ("", 1));
    Ok(())
}

#[test]
fn a_bundle_that_cannot_be_read_is_said() -> Result<()> {
    let run = Exec::new()?
        .variable("CURL_CA_BUNDLE", "/nonexistent/roots.pem")
        .run(&["true"])?;
    assert_eq!(run.code(), 0);
    assert!(
        run.said()
            .iter()
            .any(|line| line.starts_with("CURL_CA_BUNDLE: not all of /nonexistent/roots.pem")),
        "{run:?}"
    );
    Ok(())
}
