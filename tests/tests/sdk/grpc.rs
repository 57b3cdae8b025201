//! gRPC with the clients that applications use, over HTTP/2 with its trailers:
//! xAI's SDK, of which the client, the server and weir count the same tokens, and
//! Triton's, whose tensors pass unchanged.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{CostProvenance, OutcomeKind, Protocol, Record};
use weir_emulator::{Emulator, Listener};
use weir_tests::clients::Clients;
use weir_tests::service::Service;
use weir_tests::world::{World, provider4};

const XAI: &str = "api.x.ai";
const TRITON: &str = "triton.example.org";
const CONFIGURATION: &str = "models:\n  hosts:\n    - {host: triton.example.org, provider: triton}";

/// What was used of a call to xAI, as the SDK and the server say it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Used {
    id: String,
    prompt: u64,
    completion: u64,
    reasoning: u64,
    cached: u64,
    /// Units of 1e-10 USD.
    ticks: i64,
}

/// A line of a script.
#[derive(Debug, Deserialize)]
struct Said {
    call: String,
    /// By the name of `grpc-status`.
    status: String,
    #[serde(flatten)]
    rest: Value,
}

/// What a script said, with the record of each call, and what the server told.
struct Run {
    calls: Vec<(Said, Record)>,
    told: Vec<Used>,
}

/// Runs a script through weir and direct, and compares what the client got.
fn run(script: &str, arguments: &[&str]) -> Result<Run> {
    let clients = Clients::python("grpc")?;
    // The emulator is there for its CA.
    let elsewhere = Listener::https(SocketAddr::new(provider4(1), 443));
    let world = World::naming(&[XAI, TRITON], Emulator::builder().listener(elsewhere))?;
    let serve = || Service::start(&world, &[XAI, TRITON], &clients.command("server.py", &[]));
    let command = clients.command(script, arguments);
    let mut server = serve()?;
    let ended = world
        .weir()
        .configured(CONFIGURATION)
        .run(&command)?
        .succeeded()
        .with_context(|| server.complaints())?;
    let told = server.said();
    drop(server);
    let text = ended.text();
    // It counts from one again.
    let _server = serve()?;
    let direct = world.run_direct(&command)?;
    ensure!(
        text == direct && !text.is_empty(),
        "what the client got differs from direct: {text}\nis not\n{direct}"
    );
    let said: Vec<Said> = lines(text.lines())?;
    ended.all_are(said.len(), Decision::Intercept, Reason::CatalogueHost)?;
    for record in ended.records() {
        ensure!(
            record.protocol == Protocol::H2 && record.problems.is_empty(),
            "{record:#?}"
        );
    }
    // A call begins when the one before has ended.
    Ok(Run {
        calls: said.into_iter().zip(ended.report.exchanges).collect(),
        told: lines(told.iter().map(String::as_str))?,
    })
}

fn lines<'a, T: Deserialize<'a>>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<T>> {
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("printed: {line}")))
        .collect()
}

/// The tokens and the cost of a record are what was said was used.
fn check_used(record: &Record, used: &Used) -> Result<()> {
    let expected = [
        Some(used.prompt),
        // Reasoning stands beside the completion at xAI, and within it here.
        Some(used.completion + used.reasoning),
        Some(used.cached),
        Some(used.reasoning),
    ];
    let recorded = [
        record.input_tokens,
        record.output_tokens,
        record.cache_read_tokens,
        record.reasoning_tokens,
    ];
    ensure!(
        recorded == expected && record.tokens_provenance == Provenance::Measured,
        "{record:#?} is not {used:?}"
    );
    ensure!(
        record.cost_usd == Some(Decimal::new(used.ticks, 10))
            && record.cost_provenance == CostProvenance::Stated,
        "{record:#?} did not cost {used:?}"
    );
    Ok(())
}

#[test]
fn chats_of_the_xai_sdk_are_metered_to_the_token() -> Result<()> {
    let run = run("xai.py", &[])?;
    let mut told = run.told.iter();
    let mut calls = Vec::new();
    for (said, record) in &run.calls {
        calls.push(said.call.as_str());
        if said.status != "OK" {
            continue;
        }
        let used = Used::deserialize(&said.rest)?;
        ensure!(Some(&used) == told.next(), "{used:?} is not {:?}", run.told);
        check_used(record, &used)?;
        ensure!(
            record.operation.as_deref() == Some("chat")
                && record.request_model.as_deref() == Some("grok-4")
                && record.response_model.as_deref() == Some("grok-4-0709")
                && record.response_id.as_ref() == Some(&used.id)
                && record.finish_reason.as_deref() == Some("REASON_STOP")
                && record.stream == Some(said.call == "stream")
                && record.outcome == OutcomeKind::Complete
                && record.error.is_none(),
            "{record:#?}"
        );
    }
    ensure!(told.next().is_none(), "more was told: {:?}", run.told);
    let expected = [
        "sample",
        "sample_batch",
        "stream",
        "exhausted",
        "broken",
        "late",
        "cancelled",
        "unknown",
    ];
    ensure!(calls == expected, "{calls:?}");
    Ok(())
}

#[test]
fn what_other_services_of_xai_state_is_counted_once() -> Result<()> {
    let run = run("xai_apart.py", &[])?;
    let mut told = run.told.iter();
    let mut calls = Vec::new();
    for (said, record) in &run.calls {
        calls.push(said.call.as_str());
        let operation = match said.call.as_str() {
            "started" => "generate_content",
            "pending" | "deferred" | "deferred again" | "stored" => "fetch_response",
            "compacted" => "chat",
            _ => "text_completion",
        };
        ensure!(
            record.operation.as_deref() == Some(operation)
                && record.outcome == OutcomeKind::Complete
                && record.error.is_none(),
            "{record:#?}"
        );
        if matches!(
            said.call.as_str(),
            "deferred" | "compacted" | "text" | "text stream"
        ) {
            let used = Used::deserialize(&said.rest)?;
            ensure!(Some(&used) == told.next(), "{used:?} is not {:?}", run.told);
            check_used(record, &used)?;
            ensure!(record.response_id.as_ref() == Some(&used.id), "{record:#?}");
        } else {
            ensure!(
                record.tokens_provenance == Provenance::Unknown && record.cost_usd.is_none(),
                "{record:#?}"
            );
        }
    }
    ensure!(told.next().is_none(), "more was told: {:?}", run.told);
    let expected = [
        "started",
        "pending",
        "deferred",
        "deferred again",
        "stored",
        "compacted",
        "text",
        "text stream",
    ];
    ensure!(calls == expected, "{calls:?}");
    Ok(())
}

#[test]
fn calls_to_xai_that_fail_are_recorded_by_their_status() -> Result<()> {
    for (said, record) in run("xai.py", &[])?.calls {
        let seen = (record.outcome, record.error.as_deref());
        let is_right = match said.call.as_str() {
            "sample" | "sample_batch" | "stream" => continue,
            "exhausted" | "unknown" => {
                seen == (OutcomeKind::Complete, Some(said.status.as_str()))
                    && record.tokens_provenance == Provenance::Unknown
            }
            // What was generated before the error was generated.
            "broken" => {
                seen == (OutcomeKind::Complete, Some("UNAVAILABLE"))
                    && record.output_tokens.is_some_and(|count| count > 0)
                    && record.tokens_provenance == Provenance::Estimated
            }
            // Either side may notice first that time is up.
            "late" => {
                let is_told = seen == (OutcomeKind::Complete, Some("DEADLINE_EXCEEDED"));
                is_told || record.outcome == OutcomeKind::ClientGone
            }
            "cancelled" => {
                record.outcome == OutcomeKind::ClientGone
                    && record.tokens_provenance == Provenance::Estimated
                    && record.request_model.as_deref() == Some("endless")
            }
            call => bail!("{call} is not expected"),
        };
        ensure!(is_right, "{said:?}: {record:#?}");
    }
    Ok(())
}

#[test]
fn tensors_of_the_triton_client_pass_and_their_models_are_recorded() -> Result<()> {
    let run = run("triton.py", &[TRITON])?;
    for (said, record) in &run.calls {
        let id = said.rest.get("id").and_then(Value::as_str);
        let is_right = match said.call.as_str() {
            "live" => record.operation.as_deref() == Some("other") && record.error.is_none(),
            "infer" if said.status == "OK" => {
                record.operation.as_deref() == Some("infer")
                    && record.request_model.as_deref() == Some("gauge")
                    && record.response_model.as_deref() == Some("gauge")
                    && record.response_id.as_deref() == id
                    && record.stream == Some(false)
                    && record.error.is_none()
            }
            "infer" => {
                record.request_model.as_deref() == Some("none")
                    && record.error.as_deref() == Some(said.status.as_str())
            }
            "stream" => {
                let has_failed = said.rest.get("error").is_some();
                record.operation.as_deref() == Some("infer")
                    && record.stream == Some(true)
                    && record.error.is_some() == has_failed
            }
            _ => false,
        };
        ensure!(
            is_right
                && record.outcome == OutcomeKind::Complete
                && record.tokens_provenance == Provenance::Unknown
                && record.cost_usd.is_none(),
            "{said:?}: {record:#?}"
        );
    }
    let count = |call: &str| {
        run.calls
            .iter()
            .filter(|(said, _)| said.call == call)
            .count()
    };
    ensure!(
        (count("infer"), count("stream")) == (4, 2),
        "calls are missing"
    );
    Ok(())
}
