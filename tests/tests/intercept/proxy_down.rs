//! The proxy dies: traffic is left in the state that was chosen.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use weir_tests::run::{CommandOutcome, Weir};
use weir_tests::server::{Server, echo};
use weir_tests::world::{World, provider4};

/// Connects at every line of its input and says what came of it.
const CONNECT: &str = r#"
import errno, socket, sys
print("ready", flush=True)
for _ in sys.stdin:
    with socket.socket() as server:
        try:
            server.connect((sys.argv[1], 443))
            server.sendall(b"hello")
            print(server.recv(5).decode(), server.getpeername()[0], flush=True)
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)
"#;

fn without_proxy(world: &World, weir: Weir<'_>) -> Result<(CommandOutcome, Server)> {
    let address = SocketAddr::new(provider4(2), 443);
    let server = Server::start(&world.provider, address, echo)?;
    let provider = address.ip().to_string();
    let mut running = weir.start(&["python3", "-c", CONNECT, &provider])?;
    running.stdout.wait_for("ready")?;
    running.kill_proxy(world)?;
    let input = running.input.as_mut().context("on a pipe")?;
    for _ in 0..2 {
        writeln!(input)?;
    }
    Ok((running.finish_unreported()?.succeeded()?, server))
}

#[test]
fn closed_means_that_connections_fail_at_once() -> Result<()> {
    let world = World::new()?;
    let (outcome, server) = without_proxy(&world, world.weir())?;
    assert_eq!(outcome.text(), "ready\nECONNREFUSED\nECONNREFUSED\n");
    assert_eq!(server.accepted(), 0);
    ensure!(outcome.stderr.contains("the report is lost"), "{outcome:?}");
    Ok(())
}

#[test]
fn open_means_that_connections_go_direct() -> Result<()> {
    let world = World::new()?;
    let weir = world.weir().configured("capture: {on_proxy_down: open}");
    let (outcome, server) = without_proxy(&world, weir)?;
    assert_eq!(
        outcome.text(),
        "ready\nhello 203.0.113.9\nhello 203.0.113.9\n"
    );
    assert_eq!(server.accepted(), 2);
    ensure!(outcome.stderr.contains("now go direct"), "{outcome:?}");
    Ok(())
}
