//! Captured payloads: those that were asked for, and of these not everything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::Value;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::collector::{logs, spans};
use weir_tests::curl::{Answer, Batch, Http, Transfer};
use weir_tests::world::World;

use super::exported::{ENDPOINT, collector};

/// In every prompt, with words around it that stay.
const PROMPT: &str = "before sk-proj-canary0123456789 and jane.doe@example.com after";
const COOKIE: &str = "canary-of-the-cookie";

fn transfers() -> Vec<Transfer> {
    [
        Call::new(Surface::Chat, Mode::Plain, Http::H1, PROMPT),
        Call::new(Surface::Chat, Mode::Streamed, Http::H2, PROMPT).asking_for_usage(),
        Call::new(Surface::Messages, Mode::Streamed, Http::H2, PROMPT),
    ]
    .map(|call| {
        let call = call
            .header("cookie", COOKIE)
            .header("x-emulator-encoding", "gzip")
            .header("accept-encoding", "gzip");
        call.transfer().flag("compressed")
    })
    .into()
}

/// Of what OpenAI was asked: both calls, with what they said and without secrets.
fn check(lines: &[Value], answers: &[Answer]) -> Result<()> {
    ensure!(lines.len() == 2, "{lines:?}");
    for (line, answer) in lines.iter().zip(answers) {
        let text = line.to_string();
        for secret in ["canary", "jane", COOKIE, "test-0123456789", "authorization"] {
            ensure!(!text.contains(secret), "{secret} is in {text}");
        }
        let prompt = line.pointer("/request/body/messages/0/content");
        let prompt = prompt.and_then(Value::as_str).context("no prompt")?;
        ensure!(
            prompt.contains("before [redacted:key] and [redacted:email] after"),
            "{prompt}"
        );
        ensure!(
            line["host"] == "api.openai.com" && line["status"] == 200,
            "{text}"
        );
        let said = [
            "/response/body/choices/0/message/content",
            "/response/body/choices[0].delta.content",
        ];
        let said = said.iter().find_map(|at| line.pointer(at));
        let said = said.and_then(Value::as_str).context("no completion")?;
        let first: String = said.split(' ').next().unwrap_or_default().into();
        ensure!(
            said.len() > 40 && answer.text().contains(&first),
            "{said} is not in {}",
            answer.text()
        );
    }
    Ok(())
}

const RULES: &str = "  capture:\n    rules: [{host: '*.openai.com', operation: chat, sample: 1}]\n";

#[test]
fn what_a_rule_chooses_is_in_the_file_without_secrets() -> Result<()> {
    let world = World::new()?;
    let file = world.directory().join("said.jsonl");
    let yaml = format!("telemetry:\n{RULES}    to: {}\n", file.display());
    let batch = Batch::new(&world, "captured", &transfers())?;
    let (answers, ended) = batch.through(world.weir().configured(&yaml))?;
    let text = fs::read_to_string(&file)?;
    let mut lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    lines.sort_by_key(|line| line["exchange_id"].to_string());
    check(&lines, &answers)?;
    for (line, record) in lines.iter().zip(ended.records()) {
        ensure!(
            line["exchange_id"] == record.id.as_str(),
            "{line} of {record:?}"
        );
    }
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o077 == 0, "others may read it: {mode:o}");
    // What the application got is what it gets without weir.
    let direct: Vec<_> = transfers()
        .into_iter()
        .map(|transfer| transfer.trusting(&world.ca()))
        .collect();
    let direct = Batch::new(&world, "direct", &direct)?.direct(&world)?;
    for (through, direct) in answers.iter().zip(&direct) {
        ensure!(through.body == direct.body, "{through:?} is not {direct:?}");
    }
    Ok(())
}

#[test]
fn payloads_go_to_a_collector_beside_their_spans() -> Result<()> {
    let world = World::new()?;
    let listening = collector(&world)?;
    let batch = Batch::new(&world, "captured", &transfers())?;
    let weir = world
        .weir()
        .configured(&format!("telemetry:\n{RULES}"))
        .variable(ENDPOINT.0, ENDPOINT.1);
    let (answers, _) = batch.through(weir)?;
    let received = listening.received()?;
    let mut lines = Vec::new();
    for log in logs(&received) {
        ensure!(
            spans(&received)
                .iter()
                .any(|span| (&span.trace_id, &span.span_id) == (&log.trace_id, &log.span_id)),
            "no span of {log:?}"
        );
        let body = log.body.as_ref().and_then(|body| body.value.as_ref());
        let Some(Any::StringValue(text)) = body else {
            bail!("no text: {log:?}");
        };
        lines.push(serde_json::from_str::<Value>(text)?);
    }
    lines.sort_by_key(|line| line["exchange_id"].to_string());
    check(&lines, &answers)
}

#[test]
fn payloads_that_have_nowhere_to_go_are_a_mistake() -> Result<()> {
    let world = World::new()?;
    let weir = world.weir().configured(&format!("telemetry:\n{RULES}"));
    let outcome = weir.start(&["true"])?.finish_unreported()?;
    ensure!(
        outcome.status.code() == Some(125)
            && outcome.stderr.contains("payloads have nowhere to go"),
        "{outcome:?}"
    );
    Ok(())
}
