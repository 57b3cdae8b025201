//! Many connections at once: each reaches the origin it was made for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir_tests::output::eventually;
use weir_tests::server::Server;
use weir_tests::world::{ADDRESSES, World, provider4};

/// Connections, in all.
const CONNECTIONS: usize = 2_000;

/// Each of its threads connects in turn to the addresses in its arguments, with
/// a payload that no other connection has, and checks who answers.
const CLIENTS: &str = r#"
import socket, sys, threading
count, addresses = int(sys.argv[1]), sys.argv[2:]
failures, threads = [], 8

def client(thread):
    for number in range(thread, count, threads):
        address = addresses[number // threads % len(addresses)]
        payload = f"connection {number} of thread {thread}".encode()
        try:
            with socket.create_connection((address, 443), 30) as server:
                server.sendall(payload)
                server.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: server.recv(4096), b""))
            if answer != address.encode() + b" " + payload:
                failures.append((address, payload, answer))
        except OSError as error:
            failures.append((address, payload, error))

running = [threading.Thread(target=client, args=[it]) for it in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print(len(failures), "failures:", failures[:5], flush=True)
sys.stdin.read()
"#;

#[test]
fn each_of_many_connections_reaches_its_own_origin_and_nothing_stays() -> Result<()> {
    let world = World::new()?;
    let addresses: Vec<SocketAddr> = (2..ADDRESSES)
        .map(|number| SocketAddr::new(provider4(number), 443))
        .collect();
    let servers = addresses.iter().map(|address| {
        let name = address.ip().to_string();
        Server::start(&world.provider, *address, move |mut stream| {
            let mut payload = Vec::new();
            stream.read_to_end(&mut payload)?;
            stream.write_all(&[name.as_bytes(), b" ", &payload].concat())?;
            stream.shutdown(Shutdown::Write)
        })
    });
    let servers = servers.collect::<Result<Vec<_>>>()?;
    let mut command = vec![
        "python3".to_owned(),
        "-c".to_owned(),
        CLIENTS.to_owned(),
        CONNECTIONS.to_string(),
    ];
    command.extend(addresses.iter().map(|address| address.ip().to_string()));
    let mut running = world.weir().start(&command)?;
    assert_eq!(running.stdout.line()?, "0 failures: []\n");
    // While the programs are still there.
    eventually("no handshake is left in the kernel's map", || {
        handshakes().is_ok_and(|left| left == 0)
    })?;
    let ended = running.finish()?.succeeded()?;
    ended.all_are(CONNECTIONS, Decision::Splice, Reason::NotTlsOrHttp)?;

    let mut by_origin = BTreeMap::<String, usize>::new();
    for record in ended.records() {
        *by_origin
            .entry(record.host.clone().unwrap_or_default())
            .or_default() += 1;
    }
    for (server, address) in servers.iter().zip(&addresses) {
        let recorded = by_origin.get(&address.to_string());
        assert_eq!(
            recorded,
            Some(&server.accepted()),
            "{address}: {by_origin:?}"
        );
    }
    eventually(
        "no connection is left in the application's namespace",
        || {
            let table = world
                .application
                .inside(|| fs::read_to_string("/proc/thread-self/net/tcp"));
            table.is_ok_and(|table| table.is_ok_and(|table| open_connections(&table) == 0))
        },
    )
}

/// Handshakes that the kernel remembers, in the maps of all runs there are:
/// those of others come and go within microseconds.
fn handshakes() -> Result<usize> {
    let dump = Command::new("bpftool")
        .args(["map", "dump", "name", weir_common::map::HANDSHAKE])
        .output()
        .context("install bpftool: the kernel is asked by someone other than weir")?;
    ensure!(dump.status.success(), "{dump:?}");
    let dump = String::from_utf8(dump.stdout)?;
    // With BTF a list of elements, and as many keys.
    Ok(dump.matches("\"key\"").count())
}

/// Lines of `/proc/net/tcp` whose state is not TIME_WAIT, which is the memory
/// of a connection and not one.
fn open_connections(table: &str) -> usize {
    const TIME_WAIT: &str = "06";
    table
        .lines()
        .skip(1)
        .filter(|line| line.split_whitespace().nth(3) != Some(TIME_WAIT))
        .count()
}
