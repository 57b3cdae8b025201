//! OpenAI's SDKs.

use anyhow::{Result, ensure};
use weir_tests::clients::Clients;

use crate::application::Application;

const NAMES: &[&str] = &["api.openai.com"];

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::python("openai")?, "calls.py", NAMES);
    let seen = application.check(&[
        ("chat", "chat"),
        ("chat stream", "chat"),
        ("chat stream with usage", "chat"),
        ("chat stream by events", "chat"),
        ("chat tool", "chat"),
        ("chat tool's result", "chat"),
        ("chat stream tool", "chat"),
        ("responses", "chat"),
        ("responses stream", "chat"),
        ("responses tool", "chat"),
        ("embeddings", "embeddings"),
        ("chat at once", "chat"),
        ("chat stream at once", "chat"),
        ("responses at once", "chat"),
        ("responses stream at once", "chat"),
    ])?;
    let unasked = seen.iter().filter(|seen| seen.said.input_tokens.is_none());
    ensure!(unasked.count() == 4, "weir asked for usage: {seen:#?}");
    Ok(())
}

#[test]
fn calls_of_the_node_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::node("node")?, "openai.js", NAMES);
    let seen = application.check(&[
        ("chat", "chat"),
        ("chat stream", "chat"),
        ("chat stream with usage", "chat"),
        ("chat tool", "chat"),
        ("chat tool's result", "chat"),
        ("chat stream tool", "chat"),
        ("responses", "chat"),
        ("responses stream", "chat"),
        ("responses tool", "chat"),
        ("embeddings", "embeddings"),
    ])?;
    let unasked = seen.iter().filter(|seen| seen.said.input_tokens.is_none());
    ensure!(unasked.count() == 2, "weir asked for usage: {seen:#?}");
    Ok(())
}

#[test]
fn calls_of_the_python_sdk_over_websockets_are_metered_as_it_counts_them() -> Result<()> {
    let clients = Clients::python("sockets")?;
    let application = Application {
        sockets: 4,
        ..Application::new(clients, "openai_sdk.py", NAMES)
    };
    application.check(&[
        ("response", "chat"),
        ("response tool", "chat"),
        ("response at once", "chat"),
        ("response at once", "chat"),
        ("realtime", "chat"),
        ("realtime", "chat"),
    ])?;
    Ok(())
}

#[test]
fn calls_of_the_node_sdk_over_websockets_are_metered_as_it_counts_them() -> Result<()> {
    let clients = Clients::node("node")?;
    let application = Application {
        sockets: 2,
        ..Application::new(clients, "openai_sockets.js", NAMES)
    };
    application.check(&[
        ("response", "chat"),
        ("response", "chat"),
        ("realtime", "chat"),
    ])?;
    Ok(())
}
