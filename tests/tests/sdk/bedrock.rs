//! AWS' SDK, whose requests are signed: the emulator refuses what is not, byte for
//! byte, what was signed.

use anyhow::{Result, ensure};
use weir::llm::usage::Provenance;
use weir::meter::record::OutcomeKind;
use weir_emulator::Ended;
use weir_tests::clients::Clients;

use crate::application::{Application, Seen};

const NAMES: &[&str] = &[
    "bedrock-runtime.us-east-1.amazonaws.com",
    "bedrock-runtime.eu-central-1.amazonaws.com",
];

#[test]
fn calls_of_boto3_are_metered_as_it_counts_them() -> Result<()> {
    let application = Application::new(Clients::python("bedrock")?, "calls.py", NAMES);
    let seen = application.check(&[
        ("converse", "chat"),
        ("converse stream", "chat"),
        ("converse by ARN", "chat"),
        ("converse flex", "chat"),
        ("converse cached first", "chat"),
        ("converse cached last", "chat"),
        ("converse tool", "chat"),
        ("converse tool's result", "chat"),
        ("converse stream tool", "chat"),
        ("count", "count_tokens"),
        ("invoke claude", "chat"),
        ("invoke claude stream", "chat"),
        ("invoke nova", "chat"),
        ("invoke nova stream", "chat"),
        ("invoke llama", "chat"),
        ("invoke llama stream", "chat"),
        ("embed", "embeddings"),
        ("at once", "chat"),
        ("at once", "chat"),
        ("at once", "chat"),
        ("at once", "chat"),
        ("converse with a key", "chat"),
    ])?;
    let of = |call: &str| seen.iter().find(|seen| seen.said.call == call);
    ensure!(
        of("converse cached first").is_some_and(|seen| seen.told.cache_write_tokens > 0)
            && of("converse cached last").is_some_and(|seen| seen.told.cache_read_tokens > 0)
            && of("invoke claude stream").is_some_and(|seen| {
                seen.told.cache_write_tokens > 0 && seen.told.reasoning_tokens > 0
            }),
        "{seen:#?}"
    );
    for seen in &seen {
        let provider = seen.record.provider.as_deref();
        ensure!(provider == Some("aws.bedrock"), "{seen:#?}");
    }
    let tier = of("converse flex").and_then(|seen| seen.record.service_tier.as_deref());
    ensure!(tier == Some("flex"), "{tier:?}");
    Ok(())
}

#[test]
fn attempts_and_exceptions_are_recorded_each() -> Result<()> {
    let application = Application::new(Clients::python("bedrock")?, "failures.py", NAMES);
    let mut seen = application.run()?;
    seen.sort_by_key(|seen| seen.told.number);
    let [first, second, third, converse, invoke] = &seen[..] else {
        anyhow::bail!("five attempts were expected: {seen:#?}");
    };
    for refused in [first, second] {
        ensure!(
            refused.said.answer == 429
                && refused.record.status == Some(429)
                && refused.record.error.as_deref() == Some("ThrottlingException")
                && refused.record.input_tokens.is_none(),
            "{refused:#?}"
        );
    }
    ensure!(
        third.said.answer == 200
            && third.record.status == Some(200)
            && third.record.tokens_provenance == Provenance::Measured
            && third.record.output_tokens == Some(third.told.output_tokens.into()),
        "{third:#?}"
    );
    for broken in [converse, invoke] {
        check_broken(broken)?;
    }
    Ok(())
}

/// The application got the exception, and what came before it was counted as far
/// as that can be.
fn check_broken(seen: &Seen) -> Result<()> {
    let Seen { said, told, record } = seen;
    let heard = said.answer.as_array().and_then(|heard| heard.last());
    ensure!(
        heard.is_some_and(|last| last == "throttlingException")
            && told.ended == Ended::Fault
            && record.response_id == told.response_id
            && record.status == Some(200)
            && record.error.as_deref() == Some("throttlingException")
            && record.outcome == OutcomeKind::Complete
            && record.tokens_provenance == Provenance::Estimated
            && record.output_tokens.is_some_and(|count| count > 0),
        "{seen:#?}"
    );
    Ok(())
}
