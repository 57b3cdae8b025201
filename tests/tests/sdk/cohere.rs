//! Cohere's SDK.

use anyhow::Result;
use weir_tests::clients::Clients;

use crate::application::Application;

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let names = &["api.cohere.com"];
    let application = Application::new(Clients::python("cohere")?, "calls.py", names);
    application.check(&[
        ("chat", "chat"),
        ("chat stream", "chat"),
        ("chat tool", "chat"),
        ("chat tool's result", "chat"),
        ("chat stream tool", "chat"),
        ("embed", "embeddings"),
        ("rerank", "retrieval"),
        ("chat at once", "chat"),
        ("chat stream at once", "chat"),
    ])?;
    Ok(())
}
