//! Google's SDK, with Gemini.

use anyhow::{Result, ensure};
use weir_tests::clients::Clients;

use crate::application::Application;

const NAMES: &[&str] = &["generativelanguage.googleapis.com"];

#[test]
fn calls_of_the_python_sdk_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::python("google")?, "calls.py", NAMES);
    let seen = application.check(&[
        ("generate", "generate_content"),
        ("generate stream", "generate_content"),
        ("generate thoughts", "generate_content"),
        ("generate stream thoughts", "generate_content"),
        ("generate function", "generate_content"),
        ("generate function's result", "generate_content"),
        ("generate stream function", "generate_content"),
        ("embed", "embeddings"),
        ("count tokens", "count_tokens"),
        ("generate at once", "generate_content"),
        ("generate stream at once", "generate_content"),
    ])?;
    let thought = seen.iter().filter(|seen| seen.told.reasoning_tokens > 0);
    ensure!(thought.count() == 2, "no thoughts: {seen:#?}");
    Ok(())
}

#[test]
fn a_stream_that_is_one_growing_array_is_metered() -> Result<()> {
    let application = Application::new(Clients::python("google")?, "by_hand.py", NAMES);
    application.check(&[("generate stream", "generate_content")])?;
    Ok(())
}
