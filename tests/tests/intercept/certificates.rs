//! Upstream certificates: what does not verify is refused, and never forwarded.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::OutcomeKind;
use weir_emulator::{Ca, CertificateKind, ClientAuth, Emulator, Listener, Tls, TlsVersions};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::world::{World, provider4};

/// The call, to another of the provider's addresses.
fn at(number: u8, http: Http) -> Transfer {
    let call = Call::new(Surface::Messages, Mode::Plain, http, "certificates");
    call.transfer_to(provider4(number))
}

#[test]
fn an_upstream_that_does_not_verify_is_refused_and_gets_nothing() -> Result<()> {
    let unsound = [
        (CertificateKind::Expired, "expired"),
        (CertificateKind::WrongName, "another name"),
        (CertificateKind::UnknownCa, "unknown authority"),
        (CertificateKind::SelfSigned, "unknown authority"),
    ];
    let mut emulator = Emulator::builder();
    let mut transfers = Vec::new();
    let mut expected = Vec::new();
    for ((certificate, why), number) in unsound.into_iter().zip(0..) {
        let tls = Tls {
            certificate,
            ..Tls::default()
        };
        let address = SocketAddr::new(provider4(number), 443);
        emulator = emulator.listener(Listener::tls(address, tls));
        for http in Http::ALL {
            transfers.push(at(number, http));
            expected.push(why);
        }
    }
    let world = World::with(emulator)?;
    let batch = Batch::new(&world, "unsound", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    for answer in &answers {
        // CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION
        ensure!(
            matches!(answer.exit, 35 | 60) && answer.status == 0,
            "{answer:?}"
        );
    }
    ended.all_are(
        expected.len(),
        Decision::Refuse,
        Reason::UpstreamCertificate,
    )?;
    for (record, why) in ended.records().iter().zip(&expected) {
        let error = record.error.as_deref().unwrap_or_default();
        ensure!(error.contains(why), "{why}: {record:?}");
        ensure!(
            record.host.as_deref() == Some("api.anthropic.com"),
            "{record:?}"
        );
        ensure!(
            record.outcome == OutcomeKind::Refused && record.status.is_none(),
            "{record:?}"
        );
    }
    ensure!(
        world.emulator.ledger().is_empty(),
        "{:?}",
        world.emulator.ledger()
    );
    // Each was broken off by weir, before a request could have been sent.
    world
        .emulator
        .wait_failed_handshakes(|failed| failed.len() == expected.len())?;
    Ok(())
}

#[test]
fn weirs_own_authority_is_not_trusted_upstream() -> Result<()> {
    // The emulator's CA stands for one that is not among the roots.
    let world = World::new()?;
    let stranger = Ca::generate()?;
    fs::write(world.ca(), stranger.pem())?;
    let transfer = Call::new(Surface::Chat, Mode::Plain, Http::H1, "stranger").transfer();
    let batch = Batch::new(&world, "stranger", &[transfer])?;
    let (answers, ended) = batch.through(world.weir())?;
    ensure!(matches!(answers[0].exit, 35 | 60), "{answers:?}");
    ended.all_are(1, Decision::Refuse, Reason::UpstreamCertificate)?;
    ensure!(world.emulator.ledger().is_empty());
    Ok(())
}

#[test]
fn an_application_that_does_not_trust_weir_is_recorded_as_such() -> Result<()> {
    let world = World::new()?;
    let transfers = Http::ALL.map(|http| {
        let call = Call::new(Surface::Chat, Mode::Plain, http, "distrust");
        // As one that has roots of its own and takes no others.
        call.transfer().trusting(&world.ca())
    });
    let batch = Batch::new(&world, "distrust", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    for answer in &answers {
        // CURLE_PEER_FAILED_VERIFICATION
        ensure!(answer.exit == 60, "{answer:?}");
    }
    ended.all_are(2, Decision::Refuse, Reason::ClientRefusedCertificate)?;
    ensure!(world.emulator.ledger().is_empty());
    Ok(())
}

#[test]
fn an_upstream_that_asks_for_a_client_certificate_is_left_to_the_application() -> Result<()> {
    let ca = Ca::generate()?;
    let identity = ca.client_identity("application")?;
    let mut emulator = Emulator::builder().ca(ca);
    let mut forms = Vec::new();
    for client_auth in [ClientAuth::Requested, ClientAuth::Required] {
        for versions in [TlsVersions::Tls12, TlsVersions::Tls13] {
            forms.push((client_auth, versions));
        }
    }
    for ((client_auth, versions), number) in forms.iter().zip(0..) {
        let tls = Tls {
            client_auth: *client_auth,
            versions: *versions,
            ..Tls::default()
        };
        let address = SocketAddr::new(provider4(number), 443);
        emulator = emulator.listener(Listener::tls(address, tls));
    }
    let world = World::with(emulator)?;
    let (certificate, key) = (
        world.directory().join("cert"),
        world.directory().join("key"),
    );
    fs::write(&certificate, identity.chain_pem)?;
    fs::write(&key, identity.key_pem)?;
    let transfers: Vec<Transfer> = (0..)
        .zip(&forms)
        .map(|(number, _)| {
            at(number, Http::H1)
                .trusting(&world.ca())
                .set("cert", &certificate.display().to_string())
                .set("key", &key.display().to_string())
        })
        .collect();
    let batch = Batch::new(&world, "asked", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    for (answer, form) in answers.iter().zip(&forms) {
        ensure!(answer.status == 200, "{form:?}: {answer:?}: {ended:?}");
    }
    ended.all_are(
        forms.len(),
        Decision::Splice,
        Reason::UpstreamWantsClientCert,
    )?;
    for record in ended.records() {
        assert_eq!(record.host.as_deref(), Some("api.anthropic.com"));
    }
    Ok(())
}
