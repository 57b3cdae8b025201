//! Triton's inference protocol over REST with its own client: tensors pass unchanged
//! behind their document, coded or not, and the models they are for are recorded.
//! Over gRPC it is among the others that gRPC carries.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Record};
use weir_emulator::{Emulator, Listener};
use weir_tests::clients::Clients;
use weir_tests::service::Service;
use weir_tests::world::{World, provider4};

const HOST: &str = "triton.example.org";
const CONFIGURATION: &str = "models:\n  hosts:\n    - {host: triton.example.org, provider: triton}";

/// A line of the client's.
#[derive(Debug, Deserialize)]
struct Said {
    call: String,
    /// `OK`, or else.
    status: String,
    model: Option<String>,
    id: Option<String>,
}

impl Said {
    fn is_recorded_by(&self, record: &Record) -> bool {
        if self.call == "live" {
            return record.operation.as_deref() == Some("other") && record.error.is_none();
        }
        let has_failed = self.status != "OK";
        let asked = if has_failed {
            Some("none")
        } else {
            self.model.as_deref()
        };
        record.operation.as_deref() == Some("infer")
            && record.request_model.as_deref() == asked
            && record.response_model == self.model
            && record.response_id == self.id
            && record.stream == Some(false)
            && record.status == Some(if has_failed { 400 } else { 200 })
            && record.error.as_deref() == has_failed.then_some("error")
            && record.tokens_provenance == Provenance::Unknown
            && record.cost_usd.is_none()
    }
}

/// Runs the client through weir and direct, and compares what it got.
fn check(scheme: &str) -> Result<()> {
    let clients = Clients::python("grpc")?;
    // The emulator is there for its CA.
    let elsewhere = Listener::https(SocketAddr::new(provider4(1), 443));
    let world = World::naming(&[HOST], Emulator::builder().listener(elsewhere))?;
    let serve = clients.command("triton_rest_server.py", &[]);
    let mut server = Service::start(&world, &[HOST], &serve)?;
    let command = clients.command("triton_rest.py", &[scheme, HOST]);
    let ended = world
        .weir()
        .configured(CONFIGURATION)
        .run(&command)?
        .succeeded()
        .with_context(|| server.complaints())?;
    let text = ended.text();
    let direct = world.run_direct(&command)?;
    ensure!(
        text == direct && !text.is_empty(),
        "what the client got differs from direct: {text}\nis not\n{direct}"
    );
    let said: Vec<Said> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("printed: {line}")))
        .collect::<Result<_>>()?;
    ensure!(said.len() == 9, "{said:?}");
    ended.all_are(said.len(), Decision::Intercept, Reason::CatalogueHost)?;
    // A call begins when the one before has ended.
    for (said, record) in said.iter().zip(ended.records()) {
        ensure!(
            said.is_recorded_by(record)
                && record.outcome == OutcomeKind::Complete
                && record.problems.is_empty(),
            "{said:?}: {record:#?}"
        );
    }
    Ok(())
}

#[test]
fn tensors_of_the_client_pass_behind_their_document() -> Result<()> {
    check("https")
}

#[test]
fn tensors_of_the_client_pass_without_tls() -> Result<()> {
    check("http")
}
