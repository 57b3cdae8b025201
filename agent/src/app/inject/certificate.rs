//! `weir inject certificate`: a CA for one certificate, and the manifests that
//! carry both to where they are needed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use crate::cli::{CertificateArgs, FailurePolicy};
use crate::inject::stream::to_yaml;
use crate::inject::webhook::configuration;

/// Clocks of API servers may be behind.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes the manifests.
///
/// # Errors
/// The previous Secret cannot be read, or holds no CA.
pub(super) fn run(args: &CertificateArgs) -> anyhow::Result<ExitCode> {
    let previous = args.previous.as_deref().map(previous_ca).transpose()?;
    let text = manifests(args, previous.as_deref(), SystemTime::now())?;
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration goes first: the API server then trusts both CAs before the
/// webhook shows the new certificate.
fn manifests(
    args: &CertificateArgs,
    previous: Option<&str>,
    now: SystemTime,
) -> anyhow::Result<String> {
    let made = Made::new(args, now).context("cannot make a certificate")?;
    let trusted = [previous.unwrap_or_default(), made.ca.as_str()].concat();
    let configuration = configuration(
        &args.name,
        &args.namespace,
        match args.failure_policy {
            FailurePolicy::Fail => "Fail",
            FailurePolicy::Ignore => "Ignore",
        },
        &STANDARD.encode(trusted),
    );
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": args.name, "namespace": args.namespace},
        "type": "kubernetes.io/tls",
        "data": {
            "ca.crt": STANDARD.encode(&made.ca),
            "tls.crt": STANDARD.encode(&made.certificate),
            "tls.key": STANDARD.encode(&made.key),
        },
    });
    let [configuration, secret] =
        [configuration, secret].map(|document| to_yaml(&document).map_err(io::Error::other));
    Ok(format!("{}---\n{}", configuration?, secret?))
}

struct Made {
    ca: String,
    certificate: String,
    key: String,
}

impl Made {
    fn new(args: &CertificateArgs, now: SystemTime) -> Result<Self, rcgen::Error> {
        let until = now + DAY * args.days;
        let validity = |params: &mut CertificateParams| {
            params.not_before = (now - BACKDATED).into();
            params.not_after = until.into();
        };
        let host = format!("{}.{}.svc", args.name, args.namespace);

        let mut params = CertificateParams::default();
        validity(&mut params);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, format!("weir: CA of {host}"));
        let ca_key = KeyPair::generate()?;
        let ca = params.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(params, ca_key);

        let mut params =
            CertificateParams::new(vec![host.clone(), format!("{host}.cluster.local")])?;
        validity(&mut params);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Self {
            ca,
            certificate,
            key: key.serialize_pem(),
        })
    }
}

/// The certificate of the CA in the Secret's manifest.
fn previous_ca(file: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let secret: Value = serde_saphyr::from_str(&text)
        .map_err(|error| io::Error::other(error.without_snippet().to_string()))
        .with_context(|| format!("{} is no manifest", file.display()))?;
    let ca = secret["data"]["ca.crt"]
        .as_str()
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|pem| String::from_utf8(pem).ok())
        .filter(|pem| pem.contains("BEGIN CERTIFICATE"));
    match ca {
        Some(pem) => Ok(pem),
        None => bail!(
            "{} has no certificate in data[ca.crt]: name the Secret that `weir inject certificate` \
             made, as `kubectl get secret -o yaml` shows it",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    use super::*;

    fn args(previous: Option<std::path::PathBuf>) -> CertificateArgs {
        CertificateArgs {
            namespace: "weir-system".to_owned(),
            name: "weir-webhook".to_owned(),
            days: 30,
            previous,
            failure_policy: FailurePolicy::Fail,
        }
    }

    fn documents(text: &str) -> Vec<Value> {
        serde_saphyr::from_multiple(text).expect("YAML")
    }

    fn decoded(value: &Value) -> String {
        let bytes = STANDARD.decode(value.as_str().expect("text"));
        String::from_utf8(bytes.expect("base64")).expect("PEM")
    }

    /// As an API server verifies: against `caBundle`, for the Service's name.
    fn verifies(bundle: &str, certificate: &str, name: &str, now: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(ca.expect("PEM")).expect("a CA");
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crate::tls::provider())
                .build()
                .expect("roots");
        let leaf = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        verifier
            .verify_server_cert(
                &leaf,
                &[],
                &ServerName::try_from(name.to_owned()).expect("a name"),
                &[],
                UnixTime::since_unix_epoch(now),
            )
            .is_ok()
    }

    #[test]
    fn the_api_server_trusts_the_certificate_for_its_time_and_name() {
        let now = SystemTime::now();
        let text = manifests(&args(None), None, now).expect("manifests");
        let [configuration, secret] = &documents(&text)[..] else {
            panic!("two documents, got {text}");
        };
        let certificate = decoded(&secret["data"]["tls.crt"]);
        for webhook in configuration["webhooks"].as_array().expect("a list") {
            let bundle = decoded(&webhook["clientConfig"]["caBundle"]);
            assert_eq!(bundle, decoded(&secret["data"]["ca.crt"]));
            for (name, at, good) in [
                ("weir-webhook.weir-system.svc", now, true),
                ("weir-webhook.weir-system.svc", now + DAY * 29, true),
                ("weir-webhook.weir-system.svc", now + DAY * 31, false),
                ("other.weir-system.svc", now, false),
            ] {
                assert_eq!(verifies(&bundle, &certificate, name, at), good, "{name}");
            }
        }
        // The CA's key is nowhere, the certificate's once.
        assert_eq!(
            decoded(&secret["data"]["tls.key"])
                .matches("BEGIN PRIVATE KEY")
                .count(),
            1
        );
        assert!(!text.contains("PRIVATE KEY"));
    }

    #[test]
    fn while_it_is_renewed_both_certificates_are_trusted() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let old = manifests(&args(None), None, now).expect("manifests");
        let secret = &documents(&old)[1];
        let file = directory.path().join("secret.yaml");
        fs::write(&file, to_yaml(secret).expect("YAML")).expect("a file");
        let previous = previous_ca(&file).expect("a CA");
        let new = manifests(&args(None), Some(&previous), now).expect("manifests");
        let new = documents(&new);
        let bundle = decoded(&new[0]["webhooks"][0]["clientConfig"]["caBundle"]);
        for secret in [secret, &new[1]] {
            let certificate = decoded(&secret["data"]["tls.crt"]);
            assert!(verifies(
                &bundle,
                &certificate,
                "weir-webhook.weir-system.svc",
                now
            ));
        }
        // The old CA is not in the new Secret, and is forgotten the next time.
        assert_eq!(
            decoded(&new[1]["data"]["ca.crt"]).matches("BEGIN").count(),
            1
        );
    }

    #[test]
    fn what_is_no_such_secret_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("secret.yaml");
        for text in ["", "data: {}", "data: {ca.crt: '!'}", "data: ["] {
            fs::write(&file, text).expect("a file");
            assert!(previous_ca(&file).is_err(), "{text}");
        }
        assert!(previous_ca(Path::new("/nonexistent")).is_err());
    }
}
