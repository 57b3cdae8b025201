//! Programs that do not accept weir's certificates: let through once that is
//! known of them, unless told otherwise, and always accounted for.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::Record;
use weir_tests::caller::Caller;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::Http;
use weir_tests::metrics::Metrics;
use weir_tests::run::{Ended, Weir};
use weir_tests::world::World;

/// curl's exit code for a call that was answered, and for a certificate that it
/// does not accept.
const ANSWERED: i32 = 0;
const REFUSED: i32 = 60;

fn reasons(records: &[Record]) -> Vec<(Decision, Reason)> {
    let both = |record: &Record| (record.decision, record.reason);
    records.iter().map(both).collect()
}

/// Makes so many calls with this command, each once the one before is in the log:
/// a call that comes at the same time can be too early to profit from what is learnt.
fn calls(
    world: &World,
    weir: Weir<'_>,
    command: &[String],
    recorded: &[(Decision, Reason)],
) -> Result<Vec<i32>> {
    let weir = weir.option("--log-format=json");
    let mut caller = Caller::start(world, weir, command)?;
    let mut exits = Vec::new();
    for (_, reason) in recorded {
        exits.push(caller.call()?);
        let logged = format!("\"reason\":\"{}\"", reason.as_str());
        caller.running.stderr.wait_for(&logged)?;
    }
    // Metrics say the same, and of no connection anything else.
    let metrics = Metrics::of(world)?;
    for kind in recorded {
        let (decision, reason) = kind;
        let labels = [("decision", decision.as_str()), ("reason", reason.as_str())];
        let alike = recorded.iter().filter(|it| *it == kind).count();
        let alike = f64::from(u32::try_from(alike)?);
        ensure!(
            metrics.sum("weir_connections_total", &labels) == alike,
            "{metrics:?}"
        );
    }
    let all = f64::from(u32::try_from(recorded.len())?);
    ensure!(
        metrics.sum("weir_connections_total", &[]) == all,
        "{metrics:?}"
    );
    let ended = caller.finish()?;
    ensure!(reasons(ended.records()) == recorded, "{ended:?}");
    Ok(exits)
}

/// Makes three calls by a client that has roots of its own; how they end, and what
/// is recorded.
fn check(
    world: &World,
    weir: Weir<'_>,
    http: Http,
    exits: [i32; 3],
    recorded: [(Decision, Reason); 3],
) -> Result<()> {
    let call = Call::new(Surface::Chat, Mode::Plain, http, "untrusting");
    let command = call.transfer().trusting(&world.ca()).words();
    let got = calls(world, weir, &command, &recorded)?;
    ensure!(got == exits, "{http:?}: {got:?}");
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
    let lines: Vec<String> = inputs
        .iter()
        .map(|input| connection(options, input))
        .collect();
    weir.run(&["sh", "-c", &lines.join("\n")])
}

/// A line of the shell that connects, with this script of its input.
fn connection(options: &str, input: &str) -> String {
    let provider = Http::H1.provider();
    format!(
        "{input} | openssl s_client -quiet {options} -connect {provider}:443 \
         -servername api.openai.com >/dev/null 2>&1"
    )
}

/// It shakes hands and leaves.
const NOTHING: &str = "printf ''";
const REQUEST: &str = "printf 'GET /v1/models HTTP/1.1\\r\\nHost: api.openai.com\\r\\n\
    Authorization: Bearer test-0123456789\\r\\nConnection: close\\r\\n\\r\\n'";

#[test]
fn a_program_that_leaves_without_an_alert_is_noticed_too() -> Result<()> {
    let world = World::new()?;
    // As TLS stacks that verify after the handshake do, such as Node's.
    let command = ["sh", "-c", &connection("-no_ign_eof", NOTHING)].map(str::to_owned);
    let closed = (Decision::Refuse, Reason::ClosedBeforeRequest);
    let expected = [closed, closed, closed, PASSED];
    calls(&world, world.weir(), &command, &expected)?;
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
