//! Mistral's SDK.

use anyhow::{Result, ensure};
use weir_tests::clients::Clients;

use crate::application::Application;

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let names = &["api.mistral.ai"];
    let application = Application::new(Clients::python("mistral")?, "calls.py", names);
    let seen = application.check(&[
        ("chat", "chat"),
        ("chat stream", "chat"),
        ("chat tool", "chat"),
        ("chat tool's result", "chat"),
        ("chat stream tool", "chat"),
        ("embeddings", "embeddings"),
        ("chat at once", "chat"),
        ("chat stream at once", "chat"),
    ])?;
    // Mistral states the usage of a stream unasked, and refuses what it does not know.
    let changed = seen.iter().filter(|seen| !seen.record.rules.is_empty());
    ensure!(changed.count() == 0, "requests were changed: {seen:#?}");
    Ok(())
}
