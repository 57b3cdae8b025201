//! Both families, both socket types, and the addresses that are left alone.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use anyhow::Result;
use weir::meter::reason::{Decision, Reason};
use weir_tests::server::{Server, echo};
use weir_tests::world::{World, provider4, provider6};

/// Connects to each address in its arguments, with a socket of the family
/// before the equals sign, and says who answered.
const PEERS: &str = r#"
import socket, sys
for argument in sys.argv[1:]:
    family, address = argument.split("=")
    family = socket.AF_INET6 if family == "6" else socket.AF_INET
    info = socket.getaddrinfo(address, 443, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.connect(info[0][4])
        server.sendall(b"hello")
        assert server.recv(5) == b"hello"
        print(*server.getpeername()[:2])
"#;

fn peers(world: &World, arguments: &[&str]) -> Result<(Vec<String>, weir_tests::run::Ended)> {
    let mut command = vec!["python3", "-c", PEERS];
    command.extend(arguments);
    let ended = world.weir().run(&command)?.succeeded()?;
    let lines = ended.text().lines().map(str::to_owned).collect();
    Ok((lines, ended))
}

#[test]
fn both_families_are_intercepted_and_show_the_real_peer() -> Result<()> {
    let world = World::new()?;
    let _servers = [provider4(2), provider6(2)]
        .map(|address| Server::start(&world.provider, SocketAddr::new(address, 443), echo));
    let (lines, ended) = peers(
        &world,
        &["4=203.0.113.9", "6=2001:db8::9", "6=::ffff:203.0.113.9"],
    )?;
    assert_eq!(
        lines,
        [
            "203.0.113.9 443",
            "2001:db8::9 443",
            "::ffff:203.0.113.9 443"
        ]
    );
    ended.all_are(3, Decision::Splice, Reason::NotTlsOrHttp)?;
    let hosts: Vec<_> = ended
        .records()
        .iter()
        .filter_map(|record| record.host.as_deref())
        .collect();
    assert_eq!(
        hosts,
        ["203.0.113.9:443", "[2001:db8::9]:443", "203.0.113.9:443"]
    );
    Ok(())
}

#[test]
fn loopback_and_link_local_are_left_alone() -> Result<()> {
    let world = World::new()?;
    world
        .application
        .ip("addr add 169.254.1.1/16 dev app\naddr add fe80::1/64 dev app nodad\n")?;
    world
        .provider
        .ip("addr add 169.254.169.254/16 dev provider\naddr add fe80::7/64 dev provider nodad\n")?;
    let scope = world
        .provider
        .inside(|| nix::net::if_::if_nametoindex("provider"))??;
    let loopback4: IpAddr = "127.0.0.1".parse()?;
    let loopback6: IpAddr = "::1".parse()?;
    let metadata: IpAddr = "169.254.169.254".parse()?;
    let local = SocketAddrV6::new("fe80::7".parse()?, 443, 0, scope);
    let _servers = [
        Server::start(&world.application, SocketAddr::new(loopback4, 443), echo)?,
        Server::start(&world.application, SocketAddr::new(loopback6, 443), echo)?,
        Server::start(&world.provider, SocketAddr::new(metadata, 443), echo)?,
        Server::start(&world.provider, local.into(), echo)?,
    ];
    let (lines, ended) = peers(
        &world,
        &["4=127.0.0.1", "6=::1", "4=169.254.169.254", "6=fe80::7%app"],
    )?;
    assert_eq!(
        lines,
        [
            "127.0.0.1 443",
            "::1 443",
            "169.254.169.254 443",
            "fe80::7 443"
        ]
    );
    assert_eq!(
        ended.records(),
        [],
        "nothing of it may have been redirected"
    );
    Ok(())
}
