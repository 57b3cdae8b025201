//! Hosts that are not in the catalogue pass undecrypted.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Protocol};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::world::{OTHER_HOST, World};

/// What is downloaded, in bytes: so much that the kernel moves most of it.
const SIZE: u64 = 1_000_000;

#[test]
fn a_host_that_is_not_in_the_catalogue_shows_its_own_certificate() -> Result<()> {
    let world = World::new()?;
    let url = format!("https://{OTHER_HOST}/emulator/download?bytes={SIZE}");
    let transfers = Http::ALL.map(|http| Transfer::of(&url, http).trusting(&world.ca()));
    let batch = Batch::new(&world, "splice", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    for (answer, version) in answers.iter().zip(["1.1", "2"]) {
        ensure!(
            answer.status == 200 && answer.version == version,
            "{answer:?}"
        );
        assert_eq!(answer.body.len() as u64, SIZE);
    }
    ended.all_are(2, Decision::Splice, Reason::NotInCatalogue)?;
    for record in ended.records() {
        assert_eq!(record.host.as_deref(), Some(OTHER_HOST));
        assert_eq!(record.protocol, Protocol::Tls);
        // The client is the one who ends it, more or less politely.
        let outcomes = [OutcomeKind::Complete, OutcomeKind::ClientGone];
        assert!(outcomes.contains(&record.outcome), "{record:?}");
        // As they were encrypted: the body and what goes around it.
        assert!(
            (SIZE..2 * SIZE).contains(&record.bytes_received),
            "{record:?}"
        );
        assert!((300..5_000).contains(&record.bytes_sent), "{record:?}");
        assert_eq!((record.operation.as_deref(), record.status), (None, None));
    }
    Ok(())
}

#[test]
fn weirs_authority_does_not_vouch_for_a_host_that_is_spliced() -> Result<()> {
    let world = World::new()?;
    let transfer = Transfer::of(&format!("https://{OTHER_HOST}/"), Http::H1);
    let batch = Batch::new(&world, "splice", &[transfer])?;
    // The variable names weir's CA alone.
    let mut command: Vec<String> = [
        "sh",
        "-c",
        r#"exec "$@" --cacert "$NODE_EXTRA_CA_CERTS""#,
        "-",
    ]
    .map(str::to_owned)
    .to_vec();
    command.extend(batch.command());
    let ended = world.weir().run(&command)?;
    let answers = batch.answers(&ended.text())?;
    // CURLE_PEER_FAILED_VERIFICATION
    ensure!(answers[0].exit == 60, "{answers:?}");
    ended.all_are(1, Decision::Splice, Reason::NotInCatalogue)
}
