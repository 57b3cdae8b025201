//! Envoy, likewise: the release that the package index of Python carries.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_tests::clients::Clients;

use super::{Means, Peer, first_line};
use crate::ground::{FAR, Ground, NEAR};
use crate::load::API;
use crate::path::listen;
use crate::upstream::PORT;

/// The set of clients that holds it.
const SET: &str = "envoy";

pub(super) fn version() -> Result<String> {
    let said = first_line(Command::new(Clients::python(SET)?.program("envoy")).arg("--version"))?;
    // envoy  version: 81d7…/1.40.0/Clean/RELEASE/BoringSSL
    let version = said
        .rsplit_once("version: ")
        .map_or("", |(_, version)| version);
    let number = version
        .split('/')
        .nth(1)
        .context("no number in its version")?;
    Ok(format!("Envoy {number}"))
}

pub(super) fn start(ground: &Ground, means: &Means<'_>) -> Result<Peer> {
    let config = ground.pod.path("envoy.json");
    fs::write(&config, configuration(means).to_string())?;
    // It asks the kernel to end it with the thread that started it, and that one is
    // gone at once here. A shell stays.
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'kill $!' TERM; \"$@\" & wait $!; wait $!", "sh"]);
    command.arg(Clients::python(SET)?.program("envoy"));
    command.arg("--config-path").arg(&config);
    command.args(["--concurrency", &means.workers.to_string()]);
    command.args(["--log-level", "error", "--use-dynamic-base-id"]);
    Peer::start(ground, &command, true)
}

fn configuration(means: &Means<'_>) -> Value {
    let near =
        |name: &str, port, cluster: &str, alpn: &str| listener(means, name, port, cluster, alpn);
    json!({
        "static_resources": {
            "listeners": [
                near("near", listen::NEAR.port(), "near", "http/1.1"),
                near("far", listen::FAR.port(), "far", "http/1.1"),
                near("h2", listen::NEAR_H2.port(), "near-h2", "h2"),
                opaque(),
            ],
            "clusters": [
                cluster(means, "near", &NEAR.to_string(), Some("http/1.1")),
                cluster(means, "far", &FAR.to_string(), Some("http/1.1")),
                cluster(means, "near-h2", &NEAR.to_string(), Some("h2")),
                cluster(means, "opaque", &NEAR.to_string(), None),
            ],
        },
    })
}

fn address(address: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

fn listener(means: &Means<'_>, name: &str, port: u16, cluster: &str, alpn: &str) -> Value {
    let certificate = json!({
        "certificate_chain": { "filename": means.authority.chain() },
        "private_key": { "filename": means.authority.key() },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "generate_request_id": false,
        "stream_idle_timeout": "0s",
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{
                "match": { "prefix": "/" },
                "route": { "cluster": cluster, "timeout": "0s", "idle_timeout": "0s" },
            }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        }],
    });
    json!({
        "name": name,
        "address": address("127.0.0.1", port),
        "tcp_backlog_size": 4096,
        "filter_chains": [{
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {
                        "alpn_protocols": [alpn],
                        "tls_certificates": [certificate],
                        "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                    },
                },
            },
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }],
        }],
    })
}

fn opaque() -> Value {
    json!({
        "name": "opaque",
        "address": address("127.0.0.1", listen::OPAQUE.port()),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "opaque",
                "cluster": "opaque",
            },
        }] }],
    })
}

fn cluster(means: &Means<'_>, name: &str, to: &str, alpn: Option<&str>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "circuit_breakers": { "thresholds": [{
            "max_connections": 20_000,
            "max_pending_requests": 20_000,
            "max_requests": 20_000,
        }] },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(to, PORT) } }] }],
        },
    });
    let Some(alpn) = alpn else {
        return cluster;
    };
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": API,
            "common_tls_context": {
                "alpn_protocols": [alpn],
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                "validation_context": {
                    "trusted_ca": { "filename": means.authority.ca() },
                    "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": API } }],
                },
            },
        },
    });
    let protocol = match alpn {
        "h2" => json!({ "http2_protocol_options": {} }),
        _ => json!({ "http_protocol_options": {} }),
    };
    let options = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
        },
    });
    if let Value::Object(cluster) = &mut cluster {
        cluster.insert("transport_socket".to_owned(), tls);
        cluster.insert("typed_extension_protocol_options".to_owned(), options);
    }
    cluster
}
