//! The Model Context Protocol with its own SDK on both sides, in each of its
//! transports: of each call that the client made, weir has one record of the same
//! method, tool and outcome.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir::llm::observation::RpcOutcome;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Record};
use weir_emulator::{Emulator, Listener};
use weir_tests::clients::Clients;
use weir_tests::run::Ended;
use weir_tests::service::Service;
use weir_tests::world::{World, provider4};

const HOST: &str = "mcp.example.org";
const CONFIGURATION: &str = "models:\n  hosts:\n    - {host: mcp.example.org, provider: rivers}";

/// Before each message of the client's, in what it prints.
const CALLED: &str = "called ";

/// With this code the SDK's server answers a call that was taken back.
const CANCELLED: &str = "-32800";

/// How a client and the server talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Requests that stand for themselves, of the revision 2026-07-28.
    Modern,
    /// A session with an address of one, of the revisions before.
    Session,
    /// Calls and events apart, of the first revision.
    Sse,
    /// The same, where nothing names the session.
    Nameless,
}

impl Transport {
    fn argument(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Session => "session",
            Self::Sse => "sse",
            Self::Nameless => "nameless/sse",
        }
    }
}

/// What the client says of a message it sent: a notification has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Called {
    method: String,
    tool: Option<String>,
    outcome: Option<String>,
}

impl Called {
    /// The same of a record; none of a stream, and of what is not a call.
    fn of(record: &Record) -> Option<Self> {
        let rpc = record.rpc.as_ref()?;
        Some(Self {
            method: rpc.method.clone()?,
            tool: rpc.tool.clone(),
            outcome: rpc.outcome.map(|outcome| {
                let outcome = match outcome {
                    RpcOutcome::Ok => "ok",
                    RpcOutcome::ToolError => "tool_error",
                    RpcOutcome::Error => "error",
                    RpcOutcome::InputRequired => "input_required",
                };
                outcome.to_owned()
            }),
        })
    }
}

/// What a run of the client came to.
#[derive(Debug)]
struct Run {
    ended: Ended,
    called: Vec<Called>,
}

impl Run {
    /// The records of calls of this tool.
    fn of_tool(&self, tool: &str) -> Vec<&Record> {
        let is_of_tool = |record: &&Record| {
            let rpc = record.rpc.as_ref();
            rpc.is_some_and(|rpc| rpc.tool.as_deref() == Some(tool))
        };
        self.ended.records().iter().filter(is_of_tool).collect()
    }

    /// The only record of a call of this tool.
    fn only(&self, tool: &str) -> Result<&Record> {
        match self.of_tool(tool)[..] {
            [only] => Ok(only),
            _ => anyhow::bail!("one call of {tool} was expected: {self:#?}"),
        }
    }

    /// Of each call one record, and of each record one call.
    fn check_calls(&self) -> Result<()> {
        let mut called = self.called.clone();
        let mut recorded: Vec<_> = self.ended.records().iter().filter_map(Called::of).collect();
        called.sort();
        recorded.sort();
        ensure!(
            called == recorded && !called.is_empty(),
            "{called:#?} were called, {recorded:#?} recorded"
        );
        Ok(())
    }
}

/// Runs a case through weir and direct, and compares what the client got.
fn run(transport: Transport, case: &str, scheme: &str) -> Result<Run> {
    let clients = Clients::python("mcp")?;
    // The emulator is there for its CA.
    let elsewhere = Listener::https(SocketAddr::new(provider4(1), 443));
    let world = World::naming(&[HOST], Emulator::builder().listener(elsewhere))?;
    let mut server = Service::start(&world, &[HOST], &clients.command("server.py", &[]))?;
    let base = format!("{scheme}://{HOST}");
    let command = clients.command("client.py", &[transport.argument(), case, &base]);
    let ended = world
        .weir()
        .configured(CONFIGURATION)
        .run(&command)?
        .succeeded()
        .with_context(|| server.complaints())?;
    let text = ended.text();
    let direct = world.run_direct(&command)?;
    // Which messages the SDK sends besides depends on its timing: calls at once
    // ask for the list of tools once or several times.
    let got = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with(CALLED));
        lines.map(str::to_owned).collect()
    };
    ensure!(
        got(&text) == got(&direct) && !got(&text).is_empty(),
        "what the client got differs from direct: {text}\nis not\n{direct}"
    );
    let called = text
        .lines()
        .filter_map(|line| line.strip_prefix(CALLED))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    // A client that gives up may have made a connection that it no longer needs.
    let is_unused = |record: &&Record| {
        let unused = [Reason::NotTlsOrHttp, Reason::ClosedBeforeRequest];
        record.bytes_sent == 0 && unused.contains(&record.reason)
    };
    for record in ended.records().iter().filter(|record| !is_unused(record)) {
        ensure!(
            (record.decision, record.reason) == (Decision::Intercept, Reason::CatalogueHost)
                && record.provider.as_deref() == Some("rivers")
                && record.rpc.is_some()
                && record.problems.is_empty(),
            "{record:#?}"
        );
    }
    Ok(Run { ended, called })
}

/// Every kind of call, each recorded as the client saw it come out.
fn check_every(transport: Transport, scheme: &str) -> Result<()> {
    let run = run(transport, "every", scheme)?;
    run.check_calls()?;
    for record in run
        .ended
        .records()
        .iter()
        .filter(|it| Called::of(it).is_some())
    {
        ensure!(record.outcome == OutcomeKind::Complete, "{record:#?}");
    }
    // It takes 400 ms until its answer, and is acknowledged at once.
    let fill = run.only("fill")?;
    let lasted = fill.duration_ms.duration();
    ensure!(lasted >= Duration::from_millis(400), "{fill:#?}");
    Ok(())
}

#[test]
fn calls_that_stand_for_themselves_are_metered() -> Result<()> {
    check_every(Transport::Modern, "https")
}

#[test]
fn calls_of_a_session_are_metered() -> Result<()> {
    check_every(Transport::Session, "https")
}

#[test]
fn calls_whose_answers_come_by_another_connection_are_metered() -> Result<()> {
    check_every(Transport::Sse, "https")
}

#[test]
fn calls_of_a_stream_that_names_no_session_are_metered() -> Result<()> {
    check_every(Transport::Nameless, "https")
}

#[test]
fn calls_without_tls_are_metered() -> Result<()> {
    check_every(Transport::Sse, "http")
}

/// Several calls at once, each recorded with its own answer.
fn check_many(transport: Transport) -> Result<()> {
    let run = run(transport, "many", "https")?;
    run.check_calls()?;
    ensure!(run.of_tool("measure").len() == 12, "{run:#?}");
    Ok(())
}

#[test]
fn calls_side_by_side_that_stand_for_themselves_are_not_mixed_up() -> Result<()> {
    check_many(Transport::Modern)
}

#[test]
fn calls_side_by_side_of_a_session_are_not_mixed_up() -> Result<()> {
    check_many(Transport::Session)
}

#[test]
fn calls_side_by_side_whose_answers_share_a_stream_are_not_mixed_up() -> Result<()> {
    check_many(Transport::Sse)
}

#[test]
fn an_answer_that_is_fetched_by_another_request_is_counted_once() -> Result<()> {
    let run = run(Transport::Session, "detour", "https")?;
    run.check_calls()?;
    let detour = run.only("detour")?;
    // The server lets go of the call, and answers 100 ms later.
    let lasted = detour.duration_ms.duration();
    ensure!(lasted >= Duration::from_millis(100), "{detour:#?}");
    ensure!(detour.outcome == OutcomeKind::Complete, "{detour:#?}");
    Ok(())
}

#[test]
fn a_call_that_the_client_gives_up_is_recorded_as_that() -> Result<()> {
    for transport in [Transport::Modern, Transport::Session, Transport::Sse] {
        let run = run(transport, "given-up", "https")?;
        let wait = run.only("wait")?;
        // The server may be quicker to say that it was cancelled than the client to leave.
        let is_cancelled = wait.error.as_deref() == Some(CANCELLED);
        ensure!(
            wait.outcome == OutcomeKind::ClientGone || is_cancelled,
            "{transport:?}: {wait:#?}"
        );
    }
    Ok(())
}

#[test]
fn a_call_without_an_answer_is_recorded_when_its_client_leaves() -> Result<()> {
    let run = run(Transport::Sse, "left", "https")?;
    run.check_calls()?;
    let wait = run.only("wait")?;
    ensure!(wait.outcome == OutcomeKind::ClientGone, "{wait:#?}");
    Ok(())
}
