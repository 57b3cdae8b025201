//! Records say what the provider said, and what it costs.

use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;
use serde_json::json;
use weir::llm::usage::{Provenance, Usage};
use weir::meter::prices::PriceTable;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{CostProvenance, OutcomeKind, Protocol, Record};
use weir_emulator::{Ended as End, Told, UsageTold};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::world::World;

#[test]
fn every_api_in_every_form_is_metered_as_the_provider_told_it() -> Result<()> {
    let world = World::new()?;
    let mut calls = Vec::new();
    for coding in ["identity", "gzip", "br", "zstd"] {
        for surface in Surface::ALL {
            for mode in Mode::ALL {
                for http in Http::ALL {
                    let call = Call::new(surface, mode, http, &format!("{}", calls.len()))
                        .asking_for_usage()
                        .header("Accept-Encoding", coding)
                        .header("x-emulator-encoding", coding)
                        .header("x-emulator-tokens", "24");
                    calls.push(call);
                }
            }
        }
    }
    let transfers: Vec<Transfer> = calls.iter().map(Call::transfer).collect();
    let through = Batch::new(&world, "through", &transfers)?;
    let (answers, ended) = through.through(world.weir())?;
    let ended = ended.succeeded()?;
    ended.all_are(calls.len(), Decision::Intercept, Reason::CatalogueHost)?;
    let told = world
        .emulator
        .wait_ledger(|told| told.len() == calls.len())?;
    for (call, record) in calls.iter().zip(ended.records()) {
        check(call, record, &told).with_context(|| format!("{call:?}: {record:?}"))?;
    }

    let transfers: Vec<Transfer> = transfers
        .into_iter()
        .map(|transfer| transfer.trusting(&world.ca()))
        .collect();
    let direct = Batch::new(&world, "direct", &transfers)?.direct(&world)?;
    for ((call, through), direct) in calls.iter().zip(&answers).zip(&direct) {
        ensure!(
            (through.status, &through.version) == (direct.status, &direct.version),
            "{call:?}: {through:?} is not {direct:?}"
        );
        ensure!(
            !direct.body.is_empty() && through.body == direct.body,
            "{call:?}: the body differs from direct: {} is not {}",
            through.text(),
            direct.text()
        );
    }
    Ok(())
}

fn check(call: &Call, record: &Record, told: &[Told]) -> Result<()> {
    let told = told
        .iter()
        .find(|told| told.response_id == record.response_id)
        .context("not in the ledger")?;
    ensure!(
        told.ended == End::Complete && told.api == call.surface.in_ledger(),
        "{told:?}"
    );

    ensure!(record.host.as_deref() == Some(call.surface.host()), "host");
    let provider = match call.surface {
        Surface::Chat | Surface::Responses => "openai",
        Surface::Messages => "anthropic",
    };
    ensure!(record.provider.as_deref() == Some(provider), "provider");
    ensure!(record.operation.as_deref() == Some("chat"), "operation");
    ensure!(
        record.request_model.as_deref() == Some(call.surface.model()),
        "model"
    );
    ensure!(record.response_model == told.model, "model");
    ensure!(record.stream == Some(call.mode == Mode::Streamed), "stream");
    ensure!(
        record.time_to_first_chunk_ms.is_some() == (call.mode == Mode::Streamed),
        "first"
    );
    ensure!(
        record.status == Some(200) && record.error.is_none(),
        "status"
    );
    ensure!(record.finish_reason.is_some(), "finish reason");
    let protocol = match call.http {
        Http::H1 => Protocol::H1,
        Http::H2 => Protocol::H2,
    };
    ensure!(
        record.protocol == protocol && record.outcome == OutcomeKind::Complete,
        "form"
    );
    ensure!(
        record.problems.is_empty() && record.rules.is_empty(),
        "as it is"
    );
    let exe = record.process.as_ref().and_then(|it| it.exe.as_deref());
    ensure!(exe.is_some_and(|exe| exe.ends_with("/curl")), "process");
    check_usage(record, told)
}

/// Tokens as told, and their price.
fn check_usage(record: &Record, told: &Told) -> Result<()> {
    let counted = [
        record.input_tokens,
        record.output_tokens,
        record.cache_read_tokens,
        record.cache_write_tokens,
        record.reasoning_tokens,
    ];
    let expected = [
        told.input_tokens,
        told.output_tokens,
        told.cache_read_tokens,
        told.cache_write_tokens,
        told.reasoning_tokens,
    ];
    ensure!(
        counted.map(Option::unwrap_or_default) == expected.map(u64::from),
        "{counted:?} is not {told:?}"
    );
    ensure!(
        record.input_tokens.is_some() && record.output_tokens.is_some(),
        "unknown"
    );
    ensure!(
        record.tokens_provenance == Provenance::Measured,
        "provenance"
    );

    let usage = Usage {
        input: Some(told.input_tokens.into()),
        output: Some(told.output_tokens.into()),
        cache_read: Some(told.cache_read_tokens.into()),
        cache_write: Some(told.cache_write_tokens.into()),
        cache_write_5m: Some(told.cache_write_tokens.into()),
        ..Usage::default()
    };
    let provider = record.provider.as_deref().unwrap_or_default();
    let model = told.model.as_deref();
    let cost = PriceTable::builtin().cost(provider, model, model, None, &usage);
    ensure!(
        record.cost_usd == cost.usd,
        "{:?} is not {cost:?}",
        record.cost_usd
    );
    ensure!(record.cost_usd > Some(Decimal::ZERO), "no cost");
    ensure!(
        record.cost_provenance == CostProvenance::Priced,
        "cost provenance"
    );
    Ok(())
}

#[test]
fn cached_and_reasoning_tokens_are_counted_as_parts() -> Result<()> {
    let world = World::new()?;
    let long = "The weir below the mill was built of oak and stone. ".repeat(200);
    let cached = Call::new(Surface::Messages, Mode::Streamed, Http::H2, "cached").member(
        "system",
        json!([{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]),
    );
    let reasoning = Call::new(Surface::Responses, Mode::Plain, Http::H1, "reasoning")
        .member("reasoning", json!({"effort": "high"}));
    let automatic = Call::new(Surface::Chat, Mode::Plain, Http::H1, "automatic")
        .member("messages", json!([{"role": "user", "content": long}]));
    // The second of two finds what the first has left.
    let calls = [&cached, &cached, &automatic, &automatic, &reasoning];
    let batch = Batch::new(&world, "calls", &calls.map(Call::transfer))?;
    let (_, ended) = batch.through(world.weir())?;
    ended.all_are(calls.len(), Decision::Intercept, Reason::CatalogueHost)?;
    let told = world
        .emulator
        .wait_ledger(|told| told.len() == calls.len())?;
    for (record, told) in ended.records().iter().zip(&told) {
        check_usage(record, told).with_context(|| format!("{record:?}"))?;
    }
    let parts = ended.records().iter().map(|record| {
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        (
            some(record.cache_write_tokens),
            some(record.cache_read_tokens),
            some(record.reasoning_tokens),
        )
    });
    let expected = [
        (true, false, false),
        (false, true, false),
        (false, false, false),
        (false, true, false),
        (false, false, true),
    ];
    assert!(parts.eq(expected), "{:?}", ended.records());
    Ok(())
}

#[test]
fn usage_that_the_application_did_not_ask_for_is_metered_and_not_shown() -> Result<()> {
    let world = World::new()?;
    // The provider would encode, if it were still asked to.
    let call = |http: Http, nonce: &str| {
        Call::new(Surface::Chat, Mode::Streamed, http, nonce)
            .header("x-emulator-encoding", "auto")
            .header("x-emulator-tokens", "24")
    };
    let calls = Http::ALL.map(|http| call(http, "unasked"));
    let transfers = calls.map(|call| call.transfer().flag("compressed"));
    let batch = Batch::new(&world, "through", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    ended.all_are(2, Decision::Intercept, Reason::CatalogueHost)?;
    let told = world.emulator.wait_ledger(|told| told.len() == 2)?;
    for (record, told) in ended.records().iter().zip(&told) {
        check_usage(record, told).with_context(|| format!("{record:?}"))?;
        assert_eq!(record.rules, ["stream_usage"]);
    }
    let transfers = transfers.map(|transfer| transfer.trusting(&world.ca()));
    let direct = Batch::new(&world, "direct", &transfers)?.direct(&world)?;
    for (through, direct) in answers.iter().zip(&direct) {
        assert_eq!(through.text(), direct.text());
        ensure!(!direct.text().contains("\"usage\""), "{direct:?}");
        ensure!(direct.field("content-encoding").is_some(), "{direct:?}");
    }
    Ok(())
}

#[test]
fn a_configuration_can_leave_bodies_unread() -> Result<()> {
    let world = World::new()?;
    let calls: Vec<Call> = Http::ALL
        .into_iter()
        .map(|http| Call::new(Surface::Chat, Mode::Streamed, http, "unread"))
        .collect();
    let transfers: Vec<Transfer> = calls.iter().map(Call::transfer).collect();
    let weir = world.weir().configured("models: {bodies: leave}");
    let (answers, ended) = Batch::new(&world, "through", &transfers)?.through(weir)?;
    let ended = ended.succeeded()?;
    ended.all_are(calls.len(), Decision::Intercept, Reason::BodiesNotRead)?;
    for (record, answer) in ended.records().iter().zip(&answers) {
        ensure!(record.operation.as_deref() == Some("chat"), "{record:?}");
        ensure!(
            record.tokens_provenance == Provenance::Unknown && record.response_model.is_none(),
            "{record:?}"
        );
        ensure!(record.rules.is_empty(), "{record:?}");
        ensure!(
            answer.status == 200 && !answer.body.is_empty(),
            "{answer:?}"
        );
    }
    // Nobody would read the usage, so nobody asks for it.
    let told = world
        .emulator
        .wait_ledger(|told| told.len() == calls.len())?;
    ensure!(
        told.iter().all(|told| told.usage_told == UsageTold::No),
        "{told:?}"
    );
    Ok(())
}
