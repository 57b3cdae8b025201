//! HAProxy, likewise: upstream connections shared, verified and resumed.

use std::fs;

use anyhow::Result;

use super::{Means, Peer, first_line};
use crate::ground::{FAR, Ground, NEAR};
use crate::load::API;
use crate::path::listen;
use crate::upstream::PORT;

pub(super) fn version(means: &Means<'_>) -> Result<String> {
    let said = first_line(means.debian("haproxy").arg("-v"))?;
    // HAProxy version 2.6.12-1+deb12u4 2025/10/01 - https://haproxy.org/
    let words: Vec<&str> = said.split(' ').collect();
    let number = words.get(2).copied().unwrap_or("of some version");
    Ok(format!("HAProxy {number}"))
}

pub(super) fn start(ground: &Ground, means: &Means<'_>) -> Result<Peer> {
    let config = ground.pod.path("haproxy.cfg");
    fs::write(&config, configuration(means))?;
    let mut command = means.debian("haproxy");
    command.arg("-db").arg("-f").arg(&config);
    Peer::start(ground, &command, false)
}

fn configuration(means: &Means<'_>) -> String {
    let ca = means.authority.ca();
    let chain_and_key = means.authority.chain_and_key();
    let pair = |name: &str, listen, alpn: &str, upstream, upstream_alpn: &str| {
        format!(
            "frontend {name}
    bind {listen} ssl crt {crt} alpn {alpn} ssl-min-ver TLSv1.3
    default_backend {name}
backend {name}
    server up {upstream}:{PORT} ssl verify required ca-file {ca} sni str({API}) \
verifyhost {API} alpn {upstream_alpn} ssl-min-ver TLSv1.3
",
            crt = chain_and_key.display(),
            ca = ca.display(),
        )
    };
    format!(
        "global
    nbthread {workers}
    maxconn {connections}
defaults
    mode http
    timeout connect 30s
    timeout client 1h
    timeout server 1h
    http-reuse always
{near}{h2}{far}
listen opaque
    mode tcp
    bind {opaque}
    server up {NEAR}:{PORT}
",
        workers = means.workers,
        // Two files each, and some for itself.
        connections = means.files / 2 - 50,
        near = pair("near", listen::NEAR, "http/1.1", NEAR, "http/1.1"),
        h2 = pair("h2", listen::NEAR_H2, "h2", NEAR, "h2"),
        far = pair("far", listen::FAR, "http/1.1", FAR, "http/1.1"),
        opaque = listen::OPAQUE,
    )
}
