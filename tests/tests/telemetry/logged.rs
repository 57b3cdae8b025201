//! The exchange log.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use weir::meter::record::Record;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http};
use weir_tests::world::World;

fn calls() -> Vec<Call> {
    let call = |surface, mode, http| {
        Call::new(surface, mode, http, "canary-of-the-prompt")
            .header("cookie", "canary-of-the-cookie")
    };
    vec![
        call(Surface::Chat, Mode::Plain, Http::H1),
        call(Surface::Messages, Mode::Streamed, Http::H2),
        call(Surface::Responses, Mode::Plain, Http::H2).header("x-emulator-fault", "429"),
    ]
}

/// The lines are the records of the report, each once, and hold no content.
fn check(lines: &[&str], records: &[Record]) -> Result<()> {
    let mut logged: Vec<Record> = lines
        .iter()
        .map(|line| serde_json::from_str(line).with_context(|| (*line).to_owned()))
        .collect::<Result<_>>()?;
    logged.sort_by(|one, other| one.id.cmp(&other.id));
    ensure!(logged == records, "{logged:?} is not {records:?}");
    for line in lines {
        ensure!(
            !line.contains("canary") && !line.contains("test-0123456789"),
            "{line}"
        );
        ensure!(line.contains("\"trace_id\""), "{line}");
    }
    Ok(())
}

#[test]
fn every_exchange_is_a_line_on_standard_error_or_in_a_file() -> Result<()> {
    let world = World::new()?;
    let transfers: Vec<_> = calls().iter().map(Call::transfer).collect();

    let batch = Batch::new(&world, "stderr", &transfers)?;
    let (_, ended) = batch.through(world.weir().option("--log-format=json"))?;
    let lines: Vec<_> = ended
        .outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    check(&lines, ended.records()).context("on standard error")?;

    let file = world.directory().join("calls.jsonl");
    let batch = Batch::new(&world, "file", &transfers)?;
    let yaml = format!("telemetry:\n  exchange_log: {}\n", file.display());
    let (_, ended) = batch.through(world.weir().configured(&yaml))?;
    let text = fs::read_to_string(&file)?;
    check(&text.lines().collect::<Vec<_>>(), ended.records()).context("in the file")?;
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o077 == 0, "others may read it: {mode:o}");
    Ok(())
}

#[test]
fn the_commands_output_is_not_weirs() -> Result<()> {
    let world = World::new()?;
    let weir = world
        .weir()
        .configured("telemetry:\n  exchange_log: stdout\n");
    let outcome = weir.start(&["true"])?.finish_unreported()?;
    ensure!(
        outcome.status.code() == Some(125)
            && outcome
                .stderr
                .contains("telemetry.exchange_log: standard output is the command's"),
        "{outcome:?}"
    );
    Ok(())
}
