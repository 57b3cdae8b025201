//! Hosts that are not in the catalogue pass undecrypted.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Protocol};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::world::{OTHER_HOST, PROVIDER, World};

#[test]
fn a_host_that_is_not_in_the_catalogue_shows_its_own_certificate() -> Result<()> {
    let world = World::new()?;
    let url = format!("https://{OTHER_HOST}/emulator/download?bytes=100000");
    let transfers = [Http::H1, Http::H2].map(|http| {
        let transfer = Transfer::of(&url, PROVIDER, http);
        transfer.trusting(&world.ca())
    });
    let batch = Batch::new(&world, "splice", &transfers)?;
    let ended = world.weir().run(&batch.command())?.succeeded()?;
    for answer in batch.answers(&ended.stdout)? {
        ensure!(answer.status == 200 && answer.body.len() == 100_000, "{answer:?}");
    }
    ended.all_are(2, Decision::Splice, Reason::NotInCatalogue)?;
    for record in ended.records() {
        assert_eq!(record.host.as_deref(), Some(OTHER_HOST));
        assert_eq!(record.protocol, Protocol::Tls);
        assert_eq!(record.outcome, OutcomeKind::Complete);
        assert!(record.bytes_received > 100_000 && record.bytes_sent > 300, "{record:?}");
        assert_eq!((record.operation.as_deref(), record.status), (None, None));
    }
    Ok(())
}
