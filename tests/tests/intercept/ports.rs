//! What else is spoken on the captured ports.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use anyhow::{Result, ensure};
use weir::llm::usage::Provenance;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::{OutcomeKind, Protocol};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::run::Ended;
use weir_tests::server::Server;
use weir_tests::world::{OTHER_HOST, PROVIDER, World, provider4};

/// Runs a Python program whose arguments are an address and a port.
fn python(world: &World, program: &str, server: SocketAddr) -> Result<Ended> {
    let (address, port) = (server.ip().to_string(), server.port().to_string());
    world
        .weir()
        .run(&["python3", "-c", program, &address, &port])?
        .succeeded()
}

#[test]
fn a_server_that_speaks_first_is_heard() -> Result<()> {
    let world = World::new()?;
    let address = SocketAddr::new(provider4(2), 443);
    let _server = Server::start(&world.provider, address, |mut stream| {
        stream.write_all(b"220 speak\r\n")?;
        let mut request = [0; 6];
        stream.read_exact(&mut request)?;
        stream.write_all(&request)
    })?;
    let ended = python(
        &world,
        r#"
import socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
assert server.recv(100) == b"220 speak\r\n"
server.sendall(b"QUIT\r\n")
assert server.recv(100) == b"QUIT\r\n"
assert server.recv(100) == b""
"#,
        address,
    )?;
    ended.all_are(1, Decision::Splice, Reason::ServerFirst)?;
    let record = ended.only()?;
    assert_eq!(
        (record.bytes_sent, record.bytes_received),
        (6, 17),
        "{record:?}"
    );
    assert_eq!(
        (record.protocol, record.outcome),
        (Protocol::Tcp, OutcomeKind::Complete)
    );
    Ok(())
}

#[test]
fn cleartext_http_to_a_model_host_is_metered_and_to_another_is_spliced() -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Messages, Mode::Streamed, Http::H1, "cleartext").cleartext();
    let other = format!("http://{OTHER_HOST}/emulator/download?bytes=5000");
    let call = Batch::new(&world, "call", &[call.transfer()])?;
    let other = Batch::new(&world, "other", &[Transfer::of(&other, Http::H1)])?;
    let (answers, ended) = call.through(world.weir())?;
    ensure!(answers[0].status == 200, "{answers:?}");
    ended.all_are(1, Decision::Intercept, Reason::CatalogueHost)?;
    let told = world.emulator.wait_ledger(|told| told.len() == 1)?;
    let record = ended.only()?;
    assert_eq!(record.input_tokens, Some(told[0].input_tokens.into()));
    assert_eq!(record.output_tokens, Some(told[0].output_tokens.into()));
    assert_eq!(record.tokens_provenance, Provenance::Measured);
    assert_eq!(record.protocol, Protocol::H1);

    let (answers, ended) = other.through(world.weir())?;
    ensure!(answers[0].body.len() == 5000, "{answers:?}");
    ended.all_are(1, Decision::Splice, Reason::NotInCatalogue)?;
    assert_eq!(ended.only()?.host.as_deref(), Some(OTHER_HOST));
    Ok(())
}

#[test]
fn cleartext_http2_is_spliced() -> Result<()> {
    let world = World::new()?;
    let url = "http://api.openai.com/emulator/download?bytes=5000";
    let transfer = Transfer::at(url, PROVIDER, Http::H2).flag("http2-prior-knowledge");
    let batch = Batch::new(&world, "cleartext", &[transfer])?;
    let (answers, ended) = batch.through(world.weir())?;
    ensure!(
        answers[0].version == "2" && answers[0].body.len() == 5000,
        "{answers:?}"
    );
    ended.all_are(1, Decision::Splice, Reason::CleartextH2)
}

#[test]
fn a_client_hello_in_many_segments_is_understood() -> Result<()> {
    let world = World::new()?;
    let ended = python(
        &world,
        r#"
import os, socket, ssl, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="api.openai.com")
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        for byte in outgoing.read():
            server.send(bytes([byte]))
        incoming.write(server.recv(16384))
request = "GET /emulator/download?bytes=3 HTTP/1.1\r\nHost: api.openai.com\r\nConnection: close\r\n\r\n"
tls.write(request.encode())
server.sendall(outgoing.read())
answer = b""
while not answer.endswith(b"\r\n\r\n" + answer[-3:]) or b"200 OK" not in answer:
    try:
        answer += tls.read(16384)
    except ssl.SSLWantReadError:
        received = server.recv(16384)
        assert received, answer
        incoming.write(received)
"#,
        SocketAddr::new(PROVIDER, 443),
    )?;
    ended.all_are(1, Decision::Intercept, Reason::CatalogueHost)?;
    assert_eq!(ended.only()?.status, Some(200));
    Ok(())
}

#[test]
fn each_half_of_a_spliced_connection_closes_by_itself() -> Result<()> {
    let world = World::new()?;
    // The client's half first: only then the server answers.
    let address = SocketAddr::new(provider4(2), 443);
    let _server = Server::start(&world.provider, address, |mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request)?;
        stream.write_all(format!("{} bytes", request.len()).as_bytes())
    })?;
    let ended = python(
        &world,
        r#"
import socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
server.sendall(b"-" * 70000)
server.shutdown(socket.SHUT_WR)
assert server.recv(100) == b"70000 bytes"
assert server.recv(100) == b""
"#,
        address,
    )?;
    ended.all_are(1, Decision::Splice, Reason::NotTlsOrHttp)?;
    let record = ended.only()?;
    assert_eq!((record.bytes_sent, record.bytes_received), (70_000, 11));
    assert_eq!(record.outcome, OutcomeKind::Complete);

    // The server's half first: only then the client sends the rest.
    let address = SocketAddr::new(provider4(3), 443);
    let (sender, received) = std::sync::mpsc::channel();
    let _server = Server::start(&world.provider, address, move |mut stream| {
        let mut request = [0; 5];
        stream.read_exact(&mut request)?;
        stream.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        sender.send(rest.len()).map_err(std::io::Error::other)
    })?;
    let ended = python(
        &world,
        r#"
import socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
server.sendall(b"first")
assert server.recv(100) == b""
server.sendall(b"-" * 70000)
server.close()
"#,
        address,
    )?;
    assert_eq!(received.recv()?, 70_000);
    let record = ended.only()?;
    assert_eq!((record.bytes_sent, record.bytes_received), (70_005, 0));
    assert_eq!(record.outcome, OutcomeKind::Complete);
    Ok(())
}
