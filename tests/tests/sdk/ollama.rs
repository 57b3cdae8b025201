//! Ollama's SDK, with a server of one's own.

use anyhow::Result;
use weir_emulator::Listener;
use weir_tests::clients::Clients;

use crate::application::Application;

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application {
        configuration: "capture: {ports: [443, 80, 11434]}\n\
                        models: {hosts: [{host: ollama.internal, provider: ollama}]}",
        listener: Listener::plain,
        port: 11434,
        ..Application::new(Clients::python("ollama")?, "calls.py", &["ollama.internal"])
    };
    application.check(&[
        ("chat", "chat"),
        ("chat stream", "chat"),
        ("chat tool", "chat"),
        ("chat tool's result", "chat"),
        ("chat stream tool", "chat"),
        ("generate", "text_completion"),
        ("generate stream", "text_completion"),
        ("embed", "embeddings"),
        ("async chat", "chat"),
        ("async chat stream", "chat"),
    ])?;
    Ok(())
}
