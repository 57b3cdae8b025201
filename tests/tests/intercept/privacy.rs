//! No prompt, completion, key or cookie leaves the stream it is in.

use anyhow::{Result, ensure};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::world::World;

/// In the prompt; the emulator does not repeat it.
const PROMPT: &str = "canary-of-the-prompt";
const KEY: &str = "canary-of-the-key";
/// In every key of the calls.
const AUTHORIZATION: &str = "test-0123456789";
const COOKIE: &str = "canary-of-the-cookie";

#[test]
fn nothing_an_application_sends_is_logged_reported_or_shown() -> Result<()> {
    let world = World::new()?;
    let mut transfers: Vec<Transfer> = Vec::new();
    // Failures are where logs get talkative.
    for fault in ["", "429", "500-html", "error-event", "reset-mid-stream"] {
        for surface in Surface::ALL {
            for (mode, http) in [(Mode::Plain, Http::H1), (Mode::Streamed, Http::H2)] {
                let call = Call::new(surface, mode, http, &format!("{PROMPT} {fault}"))
                    .header("x-emulator-fault", fault)
                    .header("x-secret-key", KEY)
                    .header("cookie", COOKIE);
                transfers.push(call.transfer());
            }
        }
    }
    let misdirected = Call::new(Surface::Chat, Mode::Plain, Http::H1, PROMPT)
        .header("cookie", COOKIE)
        .header("host", "another.example");
    transfers.push(misdirected.transfer());

    let batch = Batch::new(&world, "private", &transfers)?;
    let weir = world.weir().option("--live").variable("WEIR_LOG", "trace");
    let (answers, ended) = batch.through(weir)?;
    ensure!(answers.len() == transfers.len() && ended.records().len() == transfers.len());
    ensure!(ended.outcome.stderr.contains("openai"), "nothing was shown");

    let completion = answers
        .iter()
        .find(|answer| answer.status == 200)
        .and_then(|answer| {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
            let text = answer.pointer("/choices/0/message/content")?.as_str()?;
            Some(text.chars().take(24).collect::<String>())
        });
    let completion = completion.unwrap_or_default();
    ensure!(
        completion.len() >= 24,
        "no completion was seen: {completion:?}"
    );
    let records = serde_json::to_string(ended.records())?;
    for (what, said) in [
        ("standard error", &ended.outcome.stderr),
        ("a record", &records),
    ] {
        for secret in [PROMPT, KEY, COOKIE, AUTHORIZATION, &completion] {
            ensure!(!said.contains(secret), "{secret:?} is in {what}: {said}");
        }
    }
    Ok(())
}
