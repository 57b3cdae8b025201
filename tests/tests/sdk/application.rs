//! A script that uses an SDK, run through weir and direct.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Protocol, Record};
use weir_emulator::{Builder, Emulator, Listener, Told, UsageTold};
use weir_tests::clients::Clients;
use weir_tests::world::{PROVIDER, World};

/// A script of a set of clients.
pub(crate) struct Application<'a> {
    pub(crate) clients: Clients,
    pub(crate) script: &'a str,
    /// The names that are the emulator's.
    pub(crate) names: &'a [&'a str],
    /// Lines of `weir.yaml`.
    pub(crate) configuration: &'a str,
    /// Where the emulator listens.
    pub(crate) listener: fn(SocketAddr) -> Listener,
    pub(crate) port: u16,
    /// WebSockets that it opens, each a record of its own beside its calls.
    pub(crate) sockets: usize,
}

/// What a script prints of a call: a JSON object in a line of its own.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    /// What was called, in the script's own words.
    pub(crate) call: String,
    /// The identifier of the answer, where the SDK has one.
    pub(crate) id: Option<String>,
    /// All tokens of the prompt, and all that were generated, where the SDK says so.
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    /// What the SDK made of the answer.
    pub(crate) answer: Value,
}

/// One call, as all three saw it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) said: Said,
    pub(crate) told: Told,
    pub(crate) record: Record,
}

impl<'a> Application<'a> {
    /// `script` of `clients`, which calls `names` over HTTPS.
    pub(crate) fn new(clients: Clients, script: &'a str, names: &'a [&'a str]) -> Self {
        Self {
            clients,
            script,
            names,
            configuration: "",
            listener: Listener::https,
            port: 443,
            sockets: 0,
        }
    }

    /// Runs it, and holds every call to be metered as it was told. `expected` are
    /// its calls in order, each with the operation that weir is to record.
    pub(crate) fn check(&self, expected: &[(&str, &str)]) -> Result<Vec<Seen>> {
        let seen = self.run()?;
        let calls: Vec<_> = seen
            .iter()
            .map(|seen| {
                let operation = seen.record.operation.as_deref().unwrap_or_default();
                (seen.said.call.as_str(), operation)
            })
            .collect();
        ensure!(
            calls == expected,
            "{calls:?} is not {expected:?}: {seen:#?}"
        );
        for seen in &seen {
            seen.check().with_context(|| format!("{seen:#?}"))?;
        }
        Ok(seen)
    }

    /// Runs it through weir, and direct in a world that has seen nothing yet.
    /// Returns its calls in the order in which it printed them.
    pub(crate) fn run(&self) -> Result<Vec<Seen>> {
        let command = self.clients.command(self.script, &[]);
        let world = self.world()?;
        let weir = world.weir().configured(self.configuration);
        let mut running = weir.start(&command)?;
        // Each call has time of its own: on a busy machine all of them take long.
        while running.stdout.wait_for("\n").is_ok() {}
        let ended = running.finish()?.succeeded()?;
        let text = ended.text();
        let said: Vec<Said> = text
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("printed: {line}")))
            .collect::<Result<_>>()?;
        let exchanges = said.len() + self.sockets;
        ended.all_are(exchanges, Decision::Intercept, Reason::CatalogueHost)?;
        let told = world.emulator.wait_ledger(|told| told.len() == exchanges)?;

        let direct = self.world()?.run_direct(&command)?;
        ensure!(
            text == direct,
            "what was said differs from direct: {text}\nis not\n{direct}"
        );
        let is_socket = |record: &Record| record.operation.as_deref() == Some("session");
        let (sockets, records): (Vec<_>, Vec<_>) =
            ended.report.exchanges.into_iter().partition(is_socket);
        check_sockets(sockets, self.sockets)?;
        let told = told.into_iter().filter(|told| told.status != Some(101));
        matched(said, told.collect(), records)
    }

    fn world(&self) -> Result<World> {
        let address = SocketAddr::new(PROVIDER, self.port);
        let emulator: Builder = Emulator::builder().listener((self.listener)(address));
        World::naming(self.names, emulator)
    }
}

/// What carried calls has no tokens itself.
fn check_sockets(sockets: Vec<Record>, expected: usize) -> Result<()> {
    ensure!(sockets.len() == expected, "{sockets:#?}");
    // Some clients do not wait for the answer when they say that they close.
    let ends = [OutcomeKind::Complete, OutcomeKind::ClientGone];
    for socket in sockets {
        ensure!(
            socket.status == Some(101)
                && ends.contains(&socket.outcome)
                && socket.tokens_provenance == Provenance::Unknown
                && socket.problems.is_empty(),
            "{socket:#?}"
        );
    }
    Ok(())
}

/// Puts together what belongs together: by the identifiers of answers, and in the
/// order in which they were asked for where there are none.
fn matched(said: Vec<Said>, mut told: Vec<Told>, mut records: Vec<Record>) -> Result<Vec<Seen>> {
    let mut said: Vec<(usize, Said)> = said.into_iter().enumerate().collect();
    said.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
    told.sort_by_key(|told| (told.response_id.clone(), told.number));
    records.sort_by_key(|record| (record.response_id.clone(), record.id.clone()));
    let mut seen: Vec<(usize, Seen)> = said
        .into_iter()
        .zip(told)
        .zip(records)
        .map(|(((place, said), told), record)| (place, Seen { said, told, record }))
        .collect();
    seen.sort_by_key(|(place, _)| *place);
    Ok(seen.into_iter().map(|(_, seen)| seen).collect())
}

impl Seen {
    /// The same call, answered, and the same numbers.
    fn check(&self) -> Result<()> {
        let Self { said, told, record } = self;
        // What a socket carries has no status.
        let is_carried = record.protocol == Protocol::WebSocket && record.status.is_none();
        ensure!(
            (record.status == Some(200) || is_carried)
                && record.outcome == OutcomeKind::Complete
                && record.error.is_none()
                && record.problems.is_empty(),
            "the call was not recorded as one that succeeded"
        );
        ensure!(
            said.id == told.response_id && record.response_id == told.response_id,
            "the answers are not the same"
        );
        ensure!(
            said.answer != Value::Null && said.answer != "" && said.answer != json!([]),
            "the SDK has no answer"
        );
        let model = record
            .response_model
            .as_ref()
            .or(record.request_model.as_ref());
        ensure!(model == told.model.as_ref(), "the models are not the same");
        ensure!(record.stream == Some(told.stream), "streamed or not");

        let is_told = told.usage_told == UsageTold::Complete;
        let provenance = if is_told {
            Provenance::Measured
        } else {
            Provenance::Unknown
        };
        ensure!(record.tokens_provenance == provenance, "not {provenance:?}");
        let counts = [
            (record.input_tokens, told.input_tokens),
            (record.output_tokens, told.output_tokens),
            (record.cache_read_tokens, told.cache_read_tokens),
            (record.cache_write_tokens, told.cache_write_tokens),
            (record.reasoning_tokens, told.reasoning_tokens),
        ];
        for (recorded, told) in counts {
            let told = u64::from(told);
            // What a surface has no figure for is not recorded as zero.
            let is_same = match recorded {
                Some(count) => is_told && count == told,
                None => !is_told || told == 0,
            };
            ensure!(is_same, "{recorded:?} was recorded, {told} was told");
        }
        let counts = [
            (said.input_tokens, told.input_tokens),
            (said.output_tokens, told.output_tokens),
        ];
        for (said, told) in counts {
            let told = u64::from(told);
            ensure!(
                said.is_none_or(|count| count == told),
                "the SDK says {said:?}, {told} was told"
            );
        }
        Ok(())
    }
}
