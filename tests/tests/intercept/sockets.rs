//! Calls that WebSockets carry are metered as those over HTTP are, one by one,
//! with the clients that applications use.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Protocol, Record};
use weir_emulator::{Emulator, Ended, Listener, Told};
use weir_tests::clients::Clients;
use weir_tests::world::{PROVIDER, World};

const SCRIPT: &str = "sockets.py";

fn world() -> Result<World> {
    let names = ["api.openai.com", "generativelanguage.googleapis.com"];
    let listener = Listener::https(SocketAddr::new(PROVIDER, 443));
    World::naming(&names, Emulator::builder().listener(listener))
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    InOrder,
    /// By a reset, which destroys what the client has not read yet.
    Reset,
}

/// Runs a case through weir and directly, and compares what was heard. Returns
/// the records of its calls with what was told, in order, and the connection's.
fn check(case: &str, calls: usize, end: End) -> Result<(Vec<(Record, Told)>, Record)> {
    let clients = Clients::python("sockets")?;
    let world = world()?;
    let command = clients.command(SCRIPT, &[case]);
    let ended = world.weir().run(&command)?.succeeded()?;
    ended.all_are(calls + 1, Decision::Intercept, Reason::CatalogueHost)?;
    let told = world.emulator.wait_ledger(|told| told.len() == calls + 1)?;

    let heard = world.run_direct(&command)?;
    let through = ended.text();
    let is_same = match end {
        End::InOrder => through == heard,
        End::Reset => through.starts_with(&heard) || heard.starts_with(&through),
    };
    ensure!(
        !heard.is_empty() && is_same,
        "{case}: what was heard differs from direct: {through} is not {heard}"
    );

    let (sockets, connections): (Vec<_>, Vec<_>) = ended
        .records()
        .iter()
        .cloned()
        .partition(|record| record.protocol == Protocol::WebSocket);
    let told = told.into_iter().filter(|told| told.stream);
    let [connection] = &connections[..] else {
        anyhow::bail!("one record of the connection was expected: {connections:?}");
    };
    ensure!(
        connection.operation.as_deref() == Some("session")
            && connection.status == Some(101)
            && connection.tokens_provenance == Provenance::Unknown
            && connection.problems.is_empty(),
        "{connection:?}"
    );
    let calls: Vec<_> = sockets.into_iter().zip(told).collect();
    Ok((calls, connection.clone()))
}

/// As many calls, each with exactly the tokens it was told.
fn check_exact(case: &str, calls: usize, operation: &str) -> Result<()> {
    let (seen, connection) = check(case, calls, End::InOrder)?;
    ensure!(seen.len() == calls, "{case}: {} calls", seen.len());
    ensure!(
        connection.outcome == OutcomeKind::Complete,
        "{case}: {connection:?}"
    );
    for (record, told) in seen {
        let counted = [record.input_tokens, record.output_tokens];
        let expected = [told.input_tokens, told.output_tokens].map(|count| Some(count.into()));
        ensure!(
            counted == expected && record.tokens_provenance == Provenance::Measured,
            "{case}: {record:?} is not {told:?}"
        );
        let model = record.request_model.as_deref().unwrap_or_default();
        ensure!(
            told.model.is_some_and(|told| told.ends_with(model)) && !model.is_empty(),
            "{case}: {record:?}"
        );
        ensure!(
            record.operation.as_deref() == Some(operation)
                && record.outcome == OutcomeKind::Complete
                && record.error.is_none()
                && record.time_to_first_chunk_ms.is_some(),
            "{case}: {record:?}"
        );
    }
    Ok(())
}

#[test]
fn responses_over_a_websocket_are_metered_each() -> Result<()> {
    check_exact("responses", 3, "chat")
}

#[test]
fn compressed_responses_are_metered_each() -> Result<()> {
    check_exact("responses-deflated", 3, "chat")
}

#[test]
fn a_realtime_session_of_the_openai_sdk_is_metered() -> Result<()> {
    check_exact("realtime", 2, "chat")
}

#[test]
fn a_live_session_of_the_gemini_sdk_is_metered() -> Result<()> {
    check_exact("gemini", 2, "generate_content")
}

#[test]
fn a_response_that_a_reset_cuts_is_estimated_once() -> Result<()> {
    let (seen, connection) = check("responses-cut", 1, End::Reset)?;
    let [(record, told)] = &seen[..] else {
        anyhow::bail!("one call was expected: {seen:?}");
    };
    ensure!(told.ended == Ended::Fault, "{told:?}");
    ensure!(
        record.tokens_provenance == Provenance::Estimated
            && record.output_tokens.is_some_and(|count| count > 0)
            && record.outcome == OutcomeKind::UpstreamGone
            && connection.outcome == OutcomeKind::UpstreamGone,
        "{record:?} {connection:?}"
    );
    Ok(())
}
