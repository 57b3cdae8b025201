//! Programs that do not accept weir's certificates: let through once that is
//! known of them, unless told otherwise, and always accounted for.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::Record;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::run::{Ended, Weir};
use weir_tests::world::World;

/// curl's exit code for a call that was answered, and for a certificate that it
/// does not accept.
const ANSWERED: u8 = 0;
const REFUSED: u8 = 60;

fn reasons(records: &[Record]) -> Vec<(Decision, Reason)> {
    let both = |record: &Record| (record.decision, record.reason);
    records.iter().map(both).collect()
}

/// Calls of one that has roots of its own, one connection each.
fn untrusting(world: &World, http: Http, count: usize) -> Vec<Transfer> {
    let call = Call::new(Surface::Chat, Mode::Plain, http, "untrusting");
    let transfer = call.transfer().trusting(&world.ca());
    vec![transfer.header("connection", "close"); count]
}

/// Makes three such calls; how they end, and what is recorded.
fn check(
    world: &World,
    weir: Weir<'_>,
    http: Http,
    exits: [u8; 3],
    recorded: [(Decision, Reason); 3],
) -> Result<()> {
    let name = format!("{http:?}-{}", exits[2]);
    let batch = Batch::new(world, &name, &untrusting(world, http, 3))?;
    let (answers, ended) = batch.through(weir)?;
    let got: Vec<u8> = answers.iter().map(|answer| answer.exit).collect();
    ensure!(got == exits, "{http:?}: {answers:?}");
    ensure!(reasons(ended.records()) == recorded, "{http:?}: {ended:?}");
    Ok(())
}

const FAILED: (Decision, Reason) = (Decision::Refuse, Reason::ClientRefusedCertificate);
const PASSED: (Decision, Reason) = (Decision::Splice, Reason::ClientRefusedCertificate);

#[test]
fn a_program_that_has_refused_twice_is_let_through_and_counted() -> Result<()> {
    let world = World::new()?;
    for http in Http::ALL {
        let exits = [REFUSED, REFUSED, ANSWERED];
        check(&world, world.weir(), http, exits, [FAILED, FAILED, PASSED])?;
    }
    Ok(())
}

#[test]
fn it_is_not_let_through_where_calls_shall_fail_or_must_be_inspected() -> Result<()> {
    let world = World::new()?;
    let failing = || world.weir().tls("on_refusal", "fail");
    let required = || {
        let yaml = "models: {must_inspect: [\"api.openai.*\"]}";
        world.weir().configured(yaml)
    };
    check(&world, failing(), Http::H1, [REFUSED; 3], [FAILED; 3])?;
    check(&world, required(), Http::H2, [REFUSED; 3], [FAILED; 3])?;
    ensure!(world.emulator.ledger().is_empty());
    Ok(())
}

/// Runs connections of one program, each with a script of its input.
fn connections(weir: Weir<'_>, options: &str, inputs: &[&str]) -> Result<Ended> {
    let provider = Http::H1.provider();
    let client = format!(
        "openssl s_client -quiet {options} -connect {provider}:443 -servername api.openai.com"
    );
    let lines: Vec<String> = inputs
        .iter()
        .map(|input| format!("{input} | {client} >/dev/null 2>&1"))
        .collect();
    weir.run(&["sh", "-c", &lines.join("\n")])
}

/// It shakes hands and leaves.
const NOTHING: &str = "printf ''";
const REQUEST: &str = "printf 'GET /v1/models HTTP/1.1\\r\\nHost: api.openai.com\\r\\n\
    Authorization: Bearer test-0123456789\\r\\nConnection: close\\r\\n\\r\\n'";

#[test]
fn a_program_that_leaves_without_an_alert_is_noticed_too() -> Result<()> {
    let world = World::new()?;
    // As TLS stacks that verify after the handshake do, such as Node's.
    let ended = connections(world.weir(), "-no_ign_eof", &[NOTHING; 4])?;
    let closed = (Decision::Refuse, Reason::ClosedBeforeRequest);
    let expected = [closed, closed, closed, PASSED];
    ensure!(reasons(ended.records()) == expected, "{ended:?}");
    Ok(())
}

#[test]
fn connections_made_ahead_by_a_program_that_trusts_weir_are_not_held_against_it() -> Result<()> {
    let world = World::new()?;
    let inputs = [REQUEST, NOTHING, NOTHING, NOTHING, NOTHING, REQUEST];
    let ended = connections(world.weir(), "-no_ign_eof", &inputs)?;
    ended.all_are(2, Decision::Intercept, Reason::CatalogueHost)
}

#[test]
fn what_must_be_inspected_and_cannot_be_is_refused() -> Result<()> {
    let world = World::new()?;
    let weir = world
        .weir()
        .configured("models: {must_inspect: [\"*.openai.com\"]}");
    // Nothing in it that weir relays.
    let ended = connections(weir, "-alpn smtp", &[NOTHING])?;
    ended.all_are(1, Decision::Refuse, Reason::AlpnNotHttp)?;
    ensure!(world.emulator.ledger().is_empty());
    Ok(())
}
