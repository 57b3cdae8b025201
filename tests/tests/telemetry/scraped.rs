//! Metrics as Prometheus reads them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::Http;
use weir_tests::metrics;
use weir_tests::run::ADMIN;
use weir_tests::world::World;

/// Those of the conventions, as the mapping to Prometheus names them.
const CONVENTIONAL: [&str; 3] = [
    "gen_ai_client_token_usage",
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_operation_time_to_first_chunk_seconds",
];

#[test]
fn promtool_has_nothing_to_say_against_them() -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, Mode::Streamed, Http::H1, "scraped").asking_for_usage();
    let mut words = vec!["sh", "-c", "\"$@\" >/dev/null && echo done && cat", "sh"];
    let curl = call.transfer().words();
    words.extend(curl.iter().map(String::as_str));
    let mut running = world.weir().start(&words)?;
    running.stdout.wait_for("done")?;
    let text = metrics::get(&world, ADMIN, "/metrics", ADMIN)?.body;
    running.finish()?.succeeded()?;
    for name in CONVENTIONAL {
        for suffix in ["_bucket", "_sum", "_count"] {
            ensure!(
                text.contains(&format!("{name}{suffix}{{")),
                "{name}: {text}"
            );
        }
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("install prometheus: its promtool judges the metrics")?;
    let mut input = promtool.stdin.take().context("a pipe was asked for")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let said = promtool.wait_with_output()?;
    ensure!(
        said.status.success() && said.stderr.is_empty(),
        "{said:?} of {text}"
    );
    Ok(())
}
