//! The Agent2Agent protocol with its own SDK on both sides, in each binding that is
//! carried by HTTP and JSON: of each call that the client made, weir has one record
//! of the same method, task, state and outcome.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir::llm::observation::RpcOutcome;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Record};
use weir_emulator::{Emulator, Listener};
use weir_tests::clients::Clients;
use weir_tests::service::Service;
use weir_tests::world::{World, provider4};

const HOST: &str = "agent.example.org";
const CONFIGURATION: &str = "models:\n  hosts:\n    - {host: agent.example.org, provider: gauges}";

/// Before each call of the client's, in what it prints.
const CALLED: &str = "called ";

/// How a client and an agent talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    JsonRpc,
    Rest,
    /// JSON-RPC of version 0.3.
    Legacy,
}

impl Binding {
    fn argument(self) -> &'static str {
        match self {
            Self::JsonRpc => "jsonrpc",
            Self::Rest => "rest",
            Self::Legacy => "legacy",
        }
    }

    /// What the binding calls a method; none of the card, which is a document.
    fn method(self, named: &str) -> Result<Option<&'static str>> {
        let names = match named {
            "SendMessage" => ["SendMessage", "message:send", "message/send"],
            "SendStreamingMessage" => ["SendStreamingMessage", "message:stream", "message/stream"],
            "GetTask" => ["GetTask", "tasks:get", "tasks/get"],
            "CancelTask" => ["CancelTask", "tasks:cancel", "tasks/cancel"],
            "SubscribeToTask" => ["SubscribeToTask", "tasks:subscribe", "tasks/resubscribe"],
            "card" => return Ok(None),
            _ => anyhow::bail!("{named} is not expected"),
        };
        let [jsonrpc, rest, legacy] = names;
        Ok(Some(match self {
            Self::JsonRpc => jsonrpc,
            Self::Rest => rest,
            Self::Legacy => legacy,
        }))
    }

    /// What the binding calls a state.
    fn state(self, named: &str) -> String {
        match self {
            Self::JsonRpc | Self::Rest => named.to_owned(),
            Self::Legacy => {
                let state = named.trim_start_matches("TASK_STATE_");
                state.to_ascii_lowercase().replace('_', "-")
            }
        }
    }
}

/// What the client says of a call.
#[derive(Debug, Deserialize)]
struct Called {
    method: String,
    stream: bool,
    task: Option<String>,
    state: Option<String>,
    outcome: String,
}

/// The same in the terms of a record.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    method: Option<String>,
    stream: bool,
    /// Not of a call that failed: that of the task asked for, or none.
    task: Option<String>,
    state: Option<String>,
    outcome: Option<&'static str>,
}

impl Call {
    fn said(called: &Called, binding: Binding) -> Result<Self> {
        let method = binding.method(&called.method)?.map(str::to_owned);
        let outcome = match called.outcome.as_str() {
            "ok" => "ok",
            "error" => "error",
            outcome => anyhow::bail!("{outcome} is not expected"),
        };
        Ok(Self {
            stream: called.stream,
            task: called.task.clone(),
            state: called.state.as_deref().map(|state| binding.state(state)),
            outcome: method.is_some().then_some(outcome),
            method,
        })
    }

    fn recorded(record: &Record) -> Self {
        let rpc = record.rpc.clone().unwrap_or_default();
        let outcome = rpc.outcome.map(|outcome| match outcome {
            RpcOutcome::Ok => "ok",
            RpcOutcome::ToolError => "tool_error",
            RpcOutcome::Error => "error",
            RpcOutcome::InputRequired => "input_required",
        });
        let has_failed = outcome == Some("error");
        Self {
            method: rpc.method,
            stream: record.stream == Some(true),
            task: record.response_id.clone().filter(|_| !has_failed),
            state: record.finish_reason.clone(),
            outcome,
        }
    }
}

/// Runs the client through weir and direct, and compares what it got; then each of
/// its calls with what was recorded.
fn check(binding: Binding) -> Result<()> {
    let clients = Clients::python("a2a")?;
    // The emulator is there for its CA.
    let elsewhere = Listener::https(SocketAddr::new(provider4(1), 443));
    let world = World::naming(&[HOST], Emulator::builder().listener(elsewhere))?;
    let mut server = Service::start(&world, &[HOST], &clients.command("server.py", &[]))?;
    let command = clients.command("client.py", &[binding.argument()]);
    let ended = world
        .weir()
        .configured(CONFIGURATION)
        .run(&command)?
        .succeeded()
        .with_context(|| server.complaints())?;
    let text = ended.text();
    let direct = world.run_direct(&command)?;
    // Tasks have a new name every time.
    let got = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with(CALLED));
        lines.map(str::to_owned).collect()
    };
    ensure!(
        got(&text) == got(&direct) && !got(&text).is_empty(),
        "what the client got differs from direct: {text}\nis not\n{direct}"
    );
    for record in ended.records() {
        ensure!(
            (record.decision, record.reason) == (Decision::Intercept, Reason::CatalogueHost)
                && record.provider.as_deref() == Some("gauges")
                && record.operation.as_deref() == Some("invoke_agent")
                && record.outcome == OutcomeKind::Complete
                && record.problems.is_empty(),
            "{record:#?}"
        );
    }
    let mut said = text
        .lines()
        .filter_map(|line| line.strip_prefix(CALLED))
        .map(|line| Call::said(&serde_json::from_str(line)?, binding))
        .collect::<Result<Vec<_>>>()?;
    let mut recorded: Vec<_> = ended.records().iter().map(Call::recorded).collect();
    said.sort();
    recorded.sort();
    ensure!(
        said == recorded && said.len() == 16,
        "{said:#?} were called, {recorded:#?} recorded"
    );
    Ok(())
}

#[test]
fn calls_of_an_agent_over_json_rpc_are_recorded_as_they_came_out() -> Result<()> {
    check(Binding::JsonRpc)
}

#[test]
fn calls_of_an_agent_over_rest_are_recorded_as_they_came_out() -> Result<()> {
    check(Binding::Rest)
}

#[test]
fn calls_of_an_agent_of_the_version_before_are_recorded_as_they_came_out() -> Result<()> {
    check(Binding::Legacy)
}
