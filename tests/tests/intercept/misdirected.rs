//! A request for another host than the one whose certificate was verified.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::OutcomeKind;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http};
use weir_tests::world::{OTHER_HOST, World};

#[test]
fn a_request_for_another_host_than_was_verified_is_misdirected() -> Result<()> {
    let world = World::new()?;
    let others = [
        "api.anthropic.com",
        OTHER_HOST,
        "api.openai.com:8443",
        "127.0.0.1:15020",
    ];
    let mut transfers = Vec::new();
    for http in Http::ALL {
        for other in others {
            let call = Call::new(Surface::Chat, Mode::Plain, http, other);
            // curl makes this :authority on HTTP/2.
            transfers.push(call.header("Host", other).transfer());
        }
    }
    let batch = Batch::new(&world, "misdirected", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    for answer in &answers {
        ensure!(answer.exit == 0 && answer.status == 421, "{answer:?}");
        ensure!(
            answer.field("x-weir-reason") == Some("authority_mismatch"),
            "{answer:?}"
        );
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        ensure!(body["error"]["code"] == "authority_mismatch", "{body}");
    }
    ended.all_are(transfers.len(), Decision::Refuse, Reason::AuthorityMismatch)?;
    for record in ended.records() {
        ensure!(
            record.host.as_deref() == Some("api.openai.com"),
            "{record:?}"
        );
        ensure!(
            record.outcome == OutcomeKind::Refused && record.error.is_some(),
            "{record:?}"
        );
        ensure!(
            record.status == Some(421),
            "weir answered in upstream's place: {record:?}"
        );
    }
    ensure!(
        world.emulator.ledger().is_empty(),
        "{:?}",
        world.emulator.ledger()
    );
    Ok(())
}
