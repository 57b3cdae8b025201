//! nginx, as a reverse proxy is set up: upstream connections kept, verified and
//! resumed, bodies not collected first.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{Means, Peer, first_line};
use crate::ground::{FAR, Ground, NEAR};
use crate::load::API;
use crate::path::listen;
use crate::upstream::PORT;

pub(super) fn version(means: &Means<'_>) -> Result<String> {
    let said = first_line(means.debian("nginx").arg("-v"))?;
    Ok(said.trim_start_matches("nginx version: ").to_owned())
}

pub(super) fn start(ground: &Ground, means: &Means<'_>) -> Result<Peer> {
    let prefix = ground.pod.path("nginx");
    fs::create_dir_all(&prefix)?;
    let config = prefix.join("nginx.conf");
    fs::write(&config, configuration(means))?;
    let mut command: Command = means.debian("nginx");
    command.arg("-p").arg(&prefix).arg("-c").arg(&config);
    command.args(["-e", "stderr"]);
    Peer::start(ground, &command, false)
}

fn configuration(means: &Means<'_>) -> String {
    let modules = means
        .unpacked
        .filter(|root| root.join("usr/sbin/nginx").is_file());
    let modules = modules.map_or("/".into(), |root| root.display().to_string() + "/");
    let (chain, key, ca) = (
        means.authority.chain().display().to_string(),
        means.authority.key().display().to_string(),
        means.authority.ca().display().to_string(),
    );
    let pool = |name: &str, address| {
        format!(
            "upstream {name} {{ server {address}:{PORT}; keepalive 128; \
             keepalive_requests 1000000000; keepalive_time 24h; }}"
        )
    };
    let server = |listen: &str, pool: &str| {
        format!(
            "server {{ listen {listen} backlog=4096; ssl_certificate {chain}; \
             ssl_certificate_key {key}; location / {{ proxy_pass https://{pool}; }} }}"
        )
    };
    format!(
        "load_module {modules}usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
pid nginx.pid;
worker_processes {workers};
error_log stderr crit;
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_max_body_size 0;
    ssl_protocols TLSv1.3;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $host;
    proxy_ssl_server_name on;
    proxy_ssl_name {API};
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {ca};
    proxy_ssl_protocols TLSv1.3;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_read_timeout 1h;
    {near}
    {far}
    {of_near}
    {of_near_h2}
    {of_far}
}}
stream {{
    server {{ listen {opaque} backlog=4096; proxy_pass {NEAR}:{PORT}; }}
}}
",
        workers = means.workers,
        files = means.files,
        near = pool("near", NEAR),
        far = pool("far", FAR),
        of_near = server(&format!("{} ssl", listen::NEAR), "near"),
        of_near_h2 = server(&format!("{} ssl http2", listen::NEAR_H2), "near"),
        of_far = server(&format!("{} ssl", listen::FAR), "far"),
        opaque = listen::OPAQUE,
    )
}
