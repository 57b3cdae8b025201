//! Calls that do not end well: one record each, with what was seen.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use weir::llm::tokens::Method;
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{CostProvenance, OutcomeKind, Record};
use weir_emulator::{Ended as End, tokens};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Answer, Batch, Http, Transfer};
use weir_tests::run::Ended;
use weir_tests::world::World;

#[test]
fn a_client_killed_in_the_middle_of_a_stream_leaves_one_record() -> Result<()> {
    for surface in Surface::ALL {
        for http in Http::ALL {
            killed(surface, http).with_context(|| format!("{surface:?} {http:?}"))?;
        }
    }
    Ok(())
}

fn killed(surface: Surface, http: Http) -> Result<()> {
    let world = World::new()?;
    // Minutes of stream, were nobody to leave.
    let call = Call::new(surface, Mode::Streamed, http, "killed")
        .header("x-emulator-tokens", "5000")
        .header("x-emulator-gap-ms", "20");
    let mut running = world.weir().start(&call.transfer().words())?;
    let text = match surface {
        Surface::Chat => "\"content\":\"",
        Surface::Responses => "response.output_text.delta",
        Surface::Messages => "text_delta",
    };
    for _ in 0..5 {
        running.stdout.wait_for(text)?;
    }
    kill(Pid::from_raw(running.process("curl")?.pid), Signal::SIGKILL)?;
    let told = world.emulator.wait_ledger(|told| !told.is_empty())?;
    let [told] = &told[..] else {
        anyhow::bail!("one exchange was expected: {told:?}");
    };
    ensure!(
        told.ended == End::ClientGone,
        "upstream did not see it: {told:?}"
    );

    let ended = running.finish()?;
    let record = ended.only()?;
    ensure!(record.outcome == OutcomeKind::ClientGone, "{record:?}");
    ensure!(
        record.decision == Decision::Intercept && record.status == Some(200),
        "{record:?}"
    );
    ensure!(record.response_id == told.response_id, "{record:?}");
    ensure!(
        record.tokens_provenance == Provenance::Estimated,
        "{record:?}"
    );
    let (input, output) = (record.input_tokens, record.output_tokens);
    ensure!(
        output.is_some_and(|count| (1..500).contains(&count)),
        "{record:?}"
    );
    match surface {
        // It is told at the beginning.
        Surface::Messages => ensure!(input == Some(told.input_tokens.into()), "{record:?}"),
        Surface::Chat | Surface::Responses => {
            ensure!(input.is_some_and(|count| count > 0), "{record:?}");
        }
    }
    Ok(())
}

/// The command ends and leaves a process in the middle of a stream; weir is not
/// to wait for it.
const LEAVE: &str = r#""$@" & while read -r line; do echo "$line"; done"#;

#[test]
fn a_stream_that_weir_ends_leaves_one_record() -> Result<()> {
    for http in Http::ALL {
        let world = World::new()?;
        let call = Call::new(Surface::Messages, Mode::Streamed, http, "drained")
            .header("x-emulator-tokens", "5000")
            .header("x-emulator-gap-ms", "20");
        let mut command: Vec<String> = ["sh", "-c", LEAVE, "-"].map(str::to_owned).into();
        command.extend(call.transfer().words());
        let weir = world.weir().option("--linger").option("0s");
        let mut running = weir.start(&command)?;
        for _ in 0..5 {
            running.stdout.wait_for("text_delta")?;
        }
        // The end of its input ends the shell, and with it the command.
        let ended = running.finish()?;
        let record = ended.only().with_context(|| format!("{http:?}"))?;
        ensure!(record.outcome == OutcomeKind::Aborted, "{record:?}");
        ensure!(record.error.as_deref() == Some("aborted"), "{record:?}");
        ensure!(record.input_tokens > Some(0), "{record:?}");
        ensure!(
            record.tokens_provenance == Provenance::Estimated,
            "{record:?}"
        );
    }
    Ok(())
}

/// Both versions of HTTP with a fault, through weir and direct.
struct Failed {
    fault: &'static str,
    world: World,
    calls: Vec<Call>,
    through: Vec<Answer>,
    direct: Vec<Answer>,
    ended: Ended,
}

impl Failed {
    fn with(fault: &'static str, modes: &[Mode]) -> Result<Self> {
        let world = World::new()?;
        let mut calls = Vec::new();
        for surface in Surface::ALL {
            for http in Http::ALL {
                for mode in modes {
                    let nonce = format!("{fault} {}", calls.len());
                    let call = Call::new(surface, *mode, http, &nonce)
                        .asking_for_usage()
                        .header("x-emulator-tokens", "24")
                        .header("x-emulator-fault", fault);
                    calls.push(call);
                }
            }
        }
        let transfers: Vec<Transfer> = calls.iter().map(Call::transfer).collect();
        let batch = Batch::new(&world, "through", &transfers)?;
        let (through, ended) = batch.through(world.weir())?;
        world
            .emulator
            .wait_ledger(|told| told.len() == calls.len())?;
        let transfers: Vec<Transfer> = transfers
            .into_iter()
            .map(|transfer| transfer.trusting(&world.ca()))
            .collect();
        let direct = Batch::new(&world, "direct", &transfers)?.direct(&world)?;
        ended.all_are(calls.len(), Decision::Intercept, Reason::CatalogueHost)?;
        Ok(Self {
            fault,
            world,
            calls,
            through,
            direct,
            ended,
        })
    }

    /// Each call with its record and its two answers, which `check` is given
    /// after it was made sure that the client could not tell them apart.
    fn each(&self, check: impl Fn(&Call, &Record, &Answer) -> Result<()>) -> Result<()> {
        let answers = self.through.iter().zip(&self.direct);
        for ((call, record), (through, direct)) in
            self.calls.iter().zip(self.ended.records()).zip(answers)
        {
            ensure!(
                (through.exit, through.status) == (direct.exit, direct.status),
                "exit {} is not {}: {call:?}: {through:?} is not {direct:?}",
                through.exit,
                direct.exit
            );
            // A reset destroys what is on its way, here more and there less.
            let is_cut = self.fault == "reset-mid-stream"
                && (through.body.starts_with(&direct.body)
                    || direct.body.starts_with(&through.body));
            ensure!(
                through.body == direct.body || is_cut,
                "{call:?}: {} is not {}",
                through.text(),
                direct.text()
            );
            check(call, record, through).with_context(|| format!("{call:?}: {record:?}"))?;
        }
        Ok(())
    }
}

#[test]
fn an_upstream_that_resets_in_the_middle_is_a_client_error_and_one_record() -> Result<()> {
    Failed::with("reset-mid-stream", &Mode::ALL)?.each(|call, record, answer| {
        ensure!(answer.exit != 0, "the client saw no error: {answer:?}");
        ensure!(record.outcome == OutcomeKind::UpstreamGone, "outcome");
        ensure!(record.error.is_some(), "error");
        // On HTTP/2 the reset may overtake the head.
        let status = Some(answer.status).filter(|status| *status != 0);
        ensure!(record.status == status, "status: {answer:?}");
        // And it destroys some of what weir has seen.
        if call.mode == Mode::Streamed && status.is_some() {
            let got = counted(call, answer);
            ensure!(
                record.output_tokens >= Some(got).filter(|got| *got > 0),
                "output: {got}"
            );
            ensure!(record.output_tokens <= Some(24), "output");
            // Messages state a count before there is text.
            ensure!(
                call.surface == Surface::Messages || record.tokens_method == method(call, record),
                "method"
            );
        }
        Ok(())
    })
}

/// The tokenizer's own count of the text that an answer has, whole or cut.
fn counted(call: &Call, answer: &Answer) -> u64 {
    let body = answer.text();
    let documents = match call.mode {
        Mode::Plain => vec![&*body],
        Mode::Streamed => body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect(),
    };
    let texts = documents.into_iter().filter_map(|document| {
        let document: Value = serde_json::from_str(document).ok()?;
        let text = match (call.surface, call.mode) {
            (Surface::Chat, Mode::Plain) => &document["choices"][0]["message"]["content"],
            (Surface::Chat, Mode::Streamed) => &document["choices"][0]["delta"]["content"],
            (Surface::Responses, Mode::Plain) => &document["output"][0]["content"][0]["text"],
            (Surface::Responses, Mode::Streamed) => &document["delta"],
            (Surface::Messages, Mode::Plain) => &document["content"][0]["text"],
            (Surface::Messages, Mode::Streamed) => &document["delta"]["text"],
        };
        Some(text.as_str()?.to_owned())
    });
    tokens::count(&texts.collect::<String>()).into()
}

/// How what was estimated of a call is: OpenAI publishes how its models count.
fn method(call: &Call, record: &Record) -> Option<Method> {
    let is_estimated = record.output_tokens.is_some() || record.input_tokens.is_some();
    is_estimated.then_some(match call.surface {
        Surface::Chat | Surface::Responses => Method::O200kBase,
        Surface::Messages => Method::Approximate,
    })
}

#[test]
fn an_upstream_that_ends_too_early_is_a_client_error_and_one_record() -> Result<()> {
    Failed::with("close-early", &Mode::ALL)?.each(|call, record, answer| {
        ensure!(record.status == Some(200), "status");
        if call.http == Http::H1 {
            // On HTTP/2 the stream ends in good order, with half of its events.
            ensure!(answer.exit != 0, "the client saw no error: {answer:?}");
            ensure!(record.outcome == OutcomeKind::UpstreamGone, "outcome");
        }
        if call.mode == Mode::Streamed {
            // All that weir has seen has reached the client.
            let got = counted(call, answer);
            ensure!(
                got > 0 && record.output_tokens == Some(got),
                "output: {got}"
            );
            ensure!(
                record.tokens_provenance == Provenance::Estimated,
                "provenance"
            );
            ensure!(record.tokens_method == method(call, record), "method");
        }
        Ok(())
    })
}

#[test]
fn an_answer_without_usage_is_estimated_and_says_so() -> Result<()> {
    let failed = Failed::with("no-usage", &Mode::ALL)?;
    let told = failed.world.emulator.ledger();
    failed.each(|call, record, answer| {
        ensure!(answer.exit == 0, "{answer:?}");
        ensure!(
            record.outcome == OutcomeKind::Complete && record.error.is_none(),
            "outcome"
        );
        ensure!(
            record.tokens_provenance == Provenance::Estimated,
            "provenance"
        );
        let told = told
            .iter()
            .find(|told| told.response_id == record.response_id);
        let told = told.context("the emulator knows of no such response")?;
        ensure!(
            record.input_tokens == Some(told.input_tokens.into()),
            "input: {told:?}"
        );
        ensure!(
            record.output_tokens == Some(counted(call, answer)),
            "output"
        );
        ensure!(
            record.output_tokens == Some(told.output_tokens.into()),
            "output: {told:?}"
        );
        ensure!(record.tokens_method == method(call, record), "method");
        Ok(())
    })
}

#[test]
fn an_error_event_in_a_stream_is_the_records_error() -> Result<()> {
    Failed::with("error-event", &[Mode::Streamed])?.each(|call, record, answer| {
        ensure!(
            answer.exit == 0 && record.outcome == OutcomeKind::Complete,
            "outcome"
        );
        ensure!(
            record.status == Some(200) && record.stream == Some(true),
            "stream"
        );
        let error = match call.surface {
            Surface::Chat | Surface::Responses => "server_error",
            Surface::Messages => "overloaded_error",
        };
        ensure!(record.error.as_deref() == Some(error), "error");
        // What came before it was generated, and is likely to be charged for.
        ensure!(
            record.tokens_provenance == Provenance::Estimated,
            "provenance"
        );
        ensure!(
            record.output_tokens.is_some_and(|count| count < 24),
            "output"
        );
        Ok(())
    })
}

#[test]
fn a_refusal_by_rate_is_passed_on_whole_and_costs_nothing() -> Result<()> {
    let failed = Failed::with("429", &[Mode::Streamed])?;
    failed.each(|call, record, answer| {
        ensure!(
            answer.status == 429 && answer.field("retry-after") == Some("1"),
            "{answer:?}"
        );
        nothing_spent(record)?;
        ensure!(record.status == Some(429), "status");
        let error = match call.surface {
            Surface::Chat | Surface::Responses => "rate_limit_exceeded",
            Surface::Messages => "rate_limit_error",
        };
        ensure!(record.error.as_deref() == Some(error), "error");
        Ok(())
    })?;
    let told = failed.world.emulator.ledger();
    ensure!(told.iter().all(|told| told.status == Some(429)), "{told:?}");
    Ok(())
}

#[test]
fn a_page_by_whatever_stands_before_the_provider_costs_nothing() -> Result<()> {
    Failed::with("500-html", &Mode::ALL)?.each(|_, record, answer| {
        ensure!(
            answer.status == 500 && answer.text().starts_with("<html>"),
            "{answer:?}"
        );
        ensure!(record.status == Some(500), "status");
        nothing_spent(record)
    })
}

/// Nothing is known to have been spent, and nothing is guessed.
fn nothing_spent(record: &Record) -> Result<()> {
    let counts = [
        record.input_tokens,
        record.output_tokens,
        record.cache_read_tokens,
        record.cache_write_tokens,
        record.reasoning_tokens,
    ];
    ensure!(counts == [None; 5] && record.cost_usd.is_none(), "spent");
    ensure!(
        record.tokens_provenance == Provenance::Unknown,
        "provenance"
    );
    ensure!(
        record.cost_provenance == CostProvenance::Unpriced,
        "cost provenance"
    );
    ensure!(record.outcome == OutcomeKind::Complete, "outcome");
    Ok(())
}
