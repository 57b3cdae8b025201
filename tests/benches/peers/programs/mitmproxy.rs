//! mitmproxy, as a reverse proxy that passes bodies on as they come.

use std::process::Command;

use anyhow::{Context, Result};
use weir_tests::clients::Clients;

use super::{Means, Peer, first_line};
use crate::ground::{FAR, Ground, NEAR};
use crate::path::listen;
use crate::upstream::PORT;

/// The set of clients that holds it.
const SET: &str = "mitmproxy";

pub(super) fn version() -> Result<String> {
    let program = Clients::python(SET)?.program("mitmdump");
    let said = first_line(Command::new(program).arg("--version"))?;
    // Mitmproxy: 11.0.2
    let number = said.split_whitespace().last();
    Ok(format!("mitmproxy {}", number.context("no number")?))
}

pub(super) fn start(ground: &Ground, means: &Means<'_>) -> Result<Peer> {
    let set = Clients::python(SET)?;
    let mut command = Command::new(set.program("mitmdump"));
    for (provider, listen) in [
        (NEAR, listen::NEAR),
        (NEAR, listen::NEAR_H2),
        (FAR, listen::FAR),
    ] {
        let mode = format!("reverse:https://{provider}:{PORT}@{listen}");
        command.args(["--mode", &mode]);
    }
    let certificate = means.authority.chain_and_key().display().to_string();
    let ca = means.authority.ca().display().to_string();
    command.args(["--quiet", "--certs", &certificate, "--scripts"]);
    command.arg(set.script("stream.py"));
    for option in [
        format!("confdir={}", ground.pod.path("mitmproxy").display()),
        format!("ssl_verify_upstream_trusted_ca={ca}"),
        "keep_host_header=true".to_owned(),
        "tls_version_client_min=TLS1_3".to_owned(),
        "tls_version_server_min=TLS1_3".to_owned(),
    ] {
        command.args(["--set", &option]);
    }
    Peer::start(ground, &command, false)
}
