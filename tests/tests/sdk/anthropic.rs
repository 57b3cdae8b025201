//! Anthropic's SDKs.

use anyhow::{Result, ensure};
use weir_tests::clients::Clients;

use crate::application::Application;

const NAMES: &[&str] = &["api.anthropic.com"];

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::python("anthropic")?, "calls.py", NAMES);
    let seen = application.check(&[
        ("messages", "chat"),
        ("messages stream", "chat"),
        ("messages cached first", "chat"),
        ("messages cached last", "chat"),
        ("messages stream thinking", "chat"),
        ("messages tool", "chat"),
        ("messages tool's result", "chat"),
        ("messages stream tool", "chat"),
        ("messages at once", "chat"),
        ("messages stream at once", "chat"),
    ])?;
    let of = |call: &str| seen.iter().find(|seen| seen.said.call == call);
    ensure!(
        of("messages cached first").is_some_and(|seen| seen.told.cache_write_tokens > 0)
            && of("messages cached last").is_some_and(|seen| seen.told.cache_read_tokens > 0)
            && of("messages stream thinking").is_some_and(|seen| seen.told.reasoning_tokens > 0),
        "{seen:#?}"
    );
    Ok(())
}

#[test]
fn calls_of_the_node_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::node("node")?, "anthropic.js", NAMES);
    application.check(&[
        ("messages", "chat"),
        ("messages stream", "chat"),
        ("messages tool", "chat"),
        ("messages tool's result", "chat"),
        ("messages stream tool", "chat"),
        ("messages at once", "chat"),
        ("messages stream at once", "chat"),
    ])?;
    Ok(())
}
