//! HTTP/3 would go past the proxy: datagrams towards captured ports.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::world::{PROVIDER, PROVIDER6, World};

/// Sends a datagram from a connected and from an unconnected socket, and says
/// what came of each, for each address in its arguments.
const DATAGRAMS: &str = r#"
import errno, socket, sys
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for send in [
        lambda it: it.connect((address, 443)),
        lambda it: it.sendto(b"unconnected", (address, 443)),
        lambda it: it.sendto(b"elsewhere", (address, 8443)),
    ]:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            try:
                send(sender)
                print("sent")
            except OSError as error:
                print(errno.errorcode[error.errno])
"#;

fn outcomes(world: &World, yaml: &str) -> Result<Vec<String>> {
    let (four, six) = (PROVIDER.to_string(), PROVIDER6.to_string());
    let mapped = format!("::ffff:{four}");
    let command = ["python3", "-c", DATAGRAMS, &four, &six, &mapped];
    let ended = world.weir().configured(yaml).run(&command)?.succeeded()?;
    Ok(ended.text().lines().map(str::to_owned).collect())
}

#[test]
fn datagrams_to_a_captured_port_are_refused_so_that_clients_use_tcp() -> Result<()> {
    let world = World::new()?;
    let each = ["EPERM", "EPERM", "sent"];
    let outcomes = outcomes(&world, "")?;
    assert_eq!(outcomes, [each, each, each].concat());
    Ok(())
}

#[test]
fn datagrams_pass_where_the_configuration_allows_them() -> Result<()> {
    let world = World::new()?;
    let server = world
        .provider
        .inside(|| UdpSocket::bind(SocketAddr::new(PROVIDER, 443)))??;
    server.set_read_timeout(Some(Duration::from_secs(10)))?;
    let outcomes = outcomes(&world, "capture: {quic: allow}")?;
    assert_eq!(outcomes, ["sent"; 9]);
    let mut datagram = [0; 64];
    // Of both families of socket, and from the application itself.
    for _ in 0..2 {
        let (length, from) = server.recv_from(&mut datagram)?;
        ensure!(&datagram[..length] == b"unconnected", "{datagram:?}");
        assert_eq!(from.ip().to_string(), "203.0.113.1");
    }
    Ok(())
}
