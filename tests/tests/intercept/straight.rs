//! Connections to weir's own ports.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::metrics::{Metrics, get};
use weir_tests::run::{ADMIN, proxy_port};
use weir_tests::world::{APPLICATION, PROVIDER6, World};

/// Connects to the port in the first line of its input, in both families, and
/// says how reading ended.
const CONNECT: &str = r#"
import socket, sys
port = int(input())
for family, address in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
    peer = socket.socket(family)
    peer.connect((address, port))
    try:
        peer.send(b"GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")
        print("read", peer.recv(1), flush=True)
    except ConnectionResetError:
        print("reset", flush=True)
sys.stdin.read()
"#;

#[test]
fn a_connection_straight_to_the_proxy_is_reset_and_counted() -> Result<()> {
    let world = World::new()?;
    let mut running = world.weir().start(&["python3", "-c", CONNECT])?;
    // The command runs, so the proxy listens.
    running.process("python3")?;
    let port = proxy_port(&world)?;

    // Of another process in the namespace, and so not captured.
    for address in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(address.parse()?, port);
        let ended = world.application.inside(|| -> std::io::Result<usize> {
            let mut stream = TcpStream::connect(address)?;
            stream.read(&mut [0])
        })?;
        let error = ended.err().context("the connection was served")?;
        ensure!(
            error.kind() == ErrorKind::ConnectionReset,
            "{address}: {error}"
        );
    }
    // Of the command itself.
    let input = running.input.as_mut().context("on a pipe")?;
    writeln!(input, "{port}")?;
    running.stdout.wait_for("reset")?;
    running.stdout.wait_for("reset")?;

    let metrics = Metrics::of(&world)?;
    let refused = metrics.value(
        "weir_connections_total",
        &[("decision", "refuse"), ("reason", "no_origin")],
    );
    ensure!(refused == Some(4.0), "{refused:?}");
    running.finish()?.succeeded()?;
    ensure!(world.emulator.ledger().is_empty());
    Ok(())
}

#[test]
fn health_and_metrics_are_served_beside_the_application() -> Result<()> {
    let world = World::new()?;
    let mut transfers = Vec::new();
    for surface in Surface::ALL {
        for mode in Mode::ALL {
            let nonce = format!("{surface:?} {mode:?}");
            transfers.push(Call::new(surface, mode, Http::H2, &nonce).transfer());
        }
    }
    let batch = Batch::new(&world, "calls", &transfers)?;
    let mut command: Vec<String> = ["sh", "-c", r#""$@" && echo done && read -r line"#, "-"]
        .map(str::to_owned)
        .to_vec();
    command.extend(batch.command());
    let mut running = world.weir().start(&command)?;
    running.stdout.wait_for("done")?;

    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = get(&world, ADMIN, path, ADMIN)?;
        ensure!(
            answer.status == 200 && answer.body == expected,
            "{path}: {answer:?}"
        );
    }
    let told = world
        .emulator
        .wait_ledger(|told| told.len() == transfers.len())?;
    let metrics = Metrics::of(&world)?;
    for (provider, api) in [("openai", "gpt"), ("anthropic", "claude")] {
        let told = || {
            told.iter()
                .filter(|told| told.model.as_deref().is_some_and(|it| it.starts_with(api)))
        };
        let tokens = |kind| {
            metrics.sum(
                "weir_tokens_total",
                &[
                    ("provider", provider),
                    ("type", kind),
                    ("provenance", "measured"),
                ],
            )
        };
        let input: u32 = told().map(|told| told.input_tokens).sum();
        let output: u32 = told().map(|told| told.output_tokens).sum();
        ensure!(
            tokens("input") == f64::from(input),
            "{provider}: {metrics:?}"
        );
        ensure!(
            tokens("output") == f64::from(output),
            "{provider}: {metrics:?}"
        );
        ensure!(metrics.sum("weir_cost_usd_total", &[("provider", provider)]) > 0.0);
    }
    let intercepted = [("decision", "intercept"), ("reason", "catalogue_host")];
    // Two hosts, and a connection to each that all calls share.
    ensure!(metrics.value("weir_connections_total", &intercepted) == Some(2.0));
    ensure!(
        metrics.sum("weir_exchanges_total", &[]) == 6.0,
        "{metrics:?}"
    );
    for name in [
        "gen_ai_client_token_usage_count",
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "weir_overhead_seconds_count",
        "weir_build_info",
    ] {
        ensure!(metrics.sum(name, &[]) > 0.0, "{name}: {metrics:?}");
    }

    let ended = running.finish()?;
    let cost: f64 = ended
        .records()
        .iter()
        .filter_map(|record| record.cost_usd?.to_string().parse::<f64>().ok())
        .sum();
    let counted = metrics.sum("weir_cost_usd_total", &[]);
    ensure!((counted - cost).abs() < 1e-9, "{counted} is not {cost}");
    Ok(())
}

#[test]
fn the_admin_port_cannot_be_reached_through_the_proxy() -> Result<()> {
    let world = World::new()?;
    // The admin port's name in a request that the proxy reads, or splices, goes
    // where the application connected to, or nowhere.
    let transfers = [
        Transfer::of("https://api.openai.com/metrics", Http::H1).header("Host", ADMIN),
        Transfer::of("http://api.openai.com/metrics", Http::H1).header("Host", ADMIN),
        // To another address: curl would go on using the connection, as spliced.
        Transfer::at("http://api.openai.com/metrics", PROVIDER6, Http::H1)
            .set("request-target", &format!("http://{ADMIN}/metrics")),
        // Loopback is not captured.
        Transfer::at(
            &format!("http://{ADMIN}/healthz"),
            IpAddr::from([127, 0, 0, 1]),
            Http::H1,
        ),
    ];
    let batch = Batch::new(&world, "admin", &transfers)?;
    let (answers, ended) = batch.through(world.weir())?;
    let by_emulator = answers
        .iter()
        .map(|it| it.field("x-weir-emulator").is_some());
    ensure!(by_emulator.eq([false, true, false, false]), "{answers:?}");
    let statuses = [0, 2, 3].map(|number: usize| answers[number].status);
    ensure!(statuses == [421, 421, 200], "{answers:?}");
    let seen: Vec<_> = ended
        .records()
        .iter()
        .map(|record| (record.decision, record.reason))
        .collect();
    assert_eq!(
        seen,
        [
            (Decision::Refuse, Reason::AuthorityMismatch),
            (Decision::Splice, Reason::NotInCatalogue),
            (Decision::Refuse, Reason::AuthorityMismatch),
        ]
    );
    Ok(())
}

/// The application's own address is not somewhere else: what listens there is
/// reached without the proxy, be it the admin port.
#[test]
fn the_applications_own_address_is_left_alone() -> Result<()> {
    let world = World::new()?;
    let admin = SocketAddr::new(APPLICATION.into(), 80);
    let url = format!("http://{admin}/metrics");
    let batch = Batch::new(
        &world,
        "admin",
        &[Transfer::at(&url, APPLICATION.into(), Http::H1)],
    )?;
    let (answers, ended) = batch.through(world.weir().option(&format!("--admin={admin}")))?;
    assert_eq!(answers[0].status, 200);
    ensure!(ended.records().is_empty(), "{ended:?}");
    assert_eq!(ended.report.totals["flows"]["local_address"], 1);
    Ok(())
}
