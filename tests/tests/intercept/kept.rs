//! Connections to providers serve one call after another, though the application
//! makes one of its own for each.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::OutcomeKind;
use weir_tests::caller::Caller;
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http, Transfer};
use weir_tests::metrics::Metrics;
use weir_tests::output::eventually;
use weir_tests::server::Server;
use weir_tests::world::{APPLICATION, World, provider4};

#[test]
fn calls_that_connect_each_time_share_a_connection_upstream() -> Result<()> {
    for http in Http::ALL {
        for mode in Mode::ALL {
            shared(http, mode).with_context(|| format!("{http:?} {mode:?}"))?;
        }
    }
    Ok(())
}

fn shared(http: Http, mode: Mode) -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, mode, http, "shared").asking_for_usage();
    let mut caller = Caller::start(&world, world.weir(), &call.transfer().words())?;
    for _ in 0..4 {
        ensure!(caller.call()? == 0, "a call failed");
        caller.wait_for_kept(1)?;
    }
    let connections = caller.connections()?;
    ensure!(
        connections == (1.0, 3.0),
        "made and used again: {connections:?}"
    );
    let ended = caller.finish()?.succeeded()?;
    ended.all_are(4, Decision::Intercept, Reason::CatalogueHost)?;
    let told = world.emulator.wait_ledger(|told| told.len() == 4)?;
    for (record, told) in ended.records().iter().zip(&told) {
        ensure!(record.outcome == OutcomeKind::Complete, "{record:?}");
        ensure!(
            record.output_tokens == Some(told.output_tokens.into()),
            "{record:?}"
        );
    }
    Ok(())
}

#[test]
fn a_connection_ends_with_the_applications_if_so_configured() -> Result<()> {
    let world = World::new()?;
    for (http, yaml) in [
        (Http::H1, "upstream: {reuse: off}"),
        (Http::H2, "upstream: {reuse: off}"),
    ] {
        let call = Call::new(Surface::Chat, Mode::Plain, http, "apart");
        let mut caller = Caller::start(
            &world,
            world.weir().configured(yaml),
            &call.transfer().words(),
        )?;
        for _ in 0..2 {
            ensure!(caller.call()? == 0, "a call failed");
        }
        let connections = caller.connections()?;
        ensure!(connections == (2.0, 0.0), "{http:?}: {connections:?}");
        caller.finish()?.succeeded()?;
    }
    Ok(())
}

#[test]
fn a_spare_connection_is_made_ahead_of_the_next_call() -> Result<()> {
    for http in Http::ALL {
        let world = World::new()?;
        let weir = world.weir().configured("upstream: {spare: 1}");
        let call = Call::new(Surface::Chat, Mode::Plain, http, "ahead");
        let mut caller = Caller::start(&world, weir, &call.transfer().words())?;
        // The one that served the call waits beside the one that was made ahead.
        for calls in 1..=3_u8 {
            ensure!(caller.call()? == 0, "a call failed");
            caller.wait_for_kept(2)?;
            let connections = caller.connections()?;
            ensure!(
                connections == (1.0, f64::from(calls - 1)),
                "{connections:?}"
            );
        }
        ensure!(caller.connections_from("ahead")? == 1.0, "{http:?}");
        caller.finish()?.succeeded()?;
    }
    Ok(())
}

#[test]
fn connections_share_one_upstream_if_so_configured() -> Result<()> {
    for (yaml, shared) in [("upstream: {multiplex: on}", 1.0), ("upstream: {}", 0.0)] {
        let world = World::new()?;
        let body = world.directory().join("body");
        nix::unistd::mkfifo(&body, nix::sys::stat::Mode::S_IRWXU)?;
        let url = "https://api.openai.com/v1/chat/completions";
        // A call that lasts as long as its body, and one that is made meanwhile.
        let long = Transfer::of(url, Http::H2)
            .set("request", "POST")
            .header("Authorization", "Bearer sk-test-0123456789")
            .header("Content-Type", "application/json")
            .set("upload-file", &body.display().to_string());
        let chat = Call::new(Surface::Chat, Mode::Plain, Http::H2, "meanwhile").transfer();
        let long = Batch::new(&world, "long", &[long])?;
        let meanwhile = Batch::new(&world, "meanwhile", &[chat])?;
        let script = format!(
            "{} & read go; {}; wait",
            long.command().join(" "),
            meanwhile.command().join(" ")
        );
        let weir = world.weir().configured(yaml);
        let mut running = weir.start(&["sh", "-c", &script])?;
        let mut writer = std::fs::OpenOptions::new().write(true).open(&body)?;
        let connections = |source| -> Option<f64> {
            let metrics = Metrics::of(&world).ok()?;
            Some(metrics.sum("weir_upstream_connections_total", &[("source", source)]))
        };
        eventually("the long call has a connection", || {
            connections("new") == Some(1.0)
        })?;
        let input = running.input.as_mut().context("the input is open")?;
        writeln!(input)?;
        let answer = meanwhile.answers(&running.stdout.line()?)?;
        ensure!(answer[0].status == 200, "{answer:?}");
        let counts = (connections("new"), connections("shared"));
        ensure!(
            counts == (Some(2.0 - shared), Some(shared)),
            "{yaml}: {counts:?}"
        );
        write!(
            writer,
            r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"hi"}}]}}"#
        )?;
        drop(writer);
        let ended = running.finish()?.succeeded()?;
        ensure!(ended.text().contains(" 200 2"), "{ended:?}");
        ended.all_are(2, Decision::Intercept, Reason::CatalogueHost)?;
        for record in ended.records() {
            ensure!(record.outcome == OutcomeKind::Complete, "{record:?}");
            ensure!(record.output_tokens.is_some(), "{record:?}");
        }
    }
    Ok(())
}

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server of these tests does with a request that is not the first of its
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Answers,
    /// Reads it, and ends the connection.
    Leaves,
}

/// A server without TLS, whose connections a test can end.
struct Host {
    server: Server,
    /// Ends the oldest connection with a reset.
    end: Sender<()>,
    /// Requests that were read.
    read: Arc<AtomicUsize>,
}

impl Host {
    fn start(world: &World, then: Then) -> Result<Self> {
        let (end, ends) = channel();
        let ends = Arc::new(Mutex::new(ends));
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let server = Server::start(
            &world.provider,
            SocketAddr::new(provider4(2), 80),
            move |stream| serve(stream, then, &ends, &count),
        )?;
        Ok(Self { server, end, read })
    }

    fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }
}

fn serve(
    stream: TcpStream,
    then: Then,
    ends: &Mutex<Receiver<()>>,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    // Only one connection waits for it at a time: the test goes step by step.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut requests = 0;
    let mut request = String::new();
    loop {
        match reader.read_line(&mut request) {
            Ok(0) => return Ok(()),
            Ok(_) if is_whole(&request) => {}
            Ok(_) => continue,
            Err(_nothing_yet) => {
                let is_to_end = || ends.lock().is_ok_and(|ends| ends.try_recv().is_ok());
                if request.is_empty() && is_to_end() {
                    let linger = nix::libc::linger {
                        l_onoff: 1,
                        l_linger: 0,
                    };
                    setsockopt(&stream, sockopt::Linger, &linger)?;
                    return Ok(());
                }
                continue;
            }
        }
        request.clear();
        requests += 1;
        count.fetch_add(1, Ordering::Relaxed);
        if requests > 1 && then == Then::Leaves {
            return Ok(());
        }
        (&stream).write_all(RESPONSE)?;
    }
}

/// Whether a request has ended, which has no body unless that is in chunks.
fn is_whole(request: &str) -> bool {
    let has_chunks = request.contains("Transfer-Encoding: chunked\r\n");
    request.ends_with(if has_chunks {
        "\r\n0\r\n\r\n"
    } else {
        "\r\n\r\n"
    })
}

/// To that server, without TLS.
fn transfer() -> Transfer {
    Transfer::at("http://api.openai.com/v1/models", provider4(2), Http::H1)
}

#[test]
fn a_call_on_a_connection_that_the_server_has_ended_meanwhile_is_sent_again() -> Result<()> {
    let world = World::new()?;
    let host = Host::start(&world, Then::Answers)?;
    let mut caller = Caller::start(&world, world.weir(), &transfer().words())?;
    ensure!(caller.call()? == 0, "the first call failed");
    caller.wait_for_kept(1)?;
    // The end of the connection does not get through, so nobody knows of it.
    let route = format!("blackhole {APPLICATION}/32");
    world.provider.ip(&format!("route add {route}\n"))?;
    host.end.send(())?;
    eventually("the server has ended the connection", || is_gone(&world))?;
    world.provider.ip(&format!("route del {route}\n"))?;
    ensure!(caller.call()? == 0, "the second call failed");
    let connections = caller.connections()?;
    ensure!(connections == (2.0, 1.0), "{connections:?}");
    let ended = caller.finish()?.succeeded()?;
    ensure!(ended.records().len() == 2, "{:?}", ended.records());
    for record in ended.records() {
        ensure!(record.outcome == OutcomeKind::Complete, "{record:?}");
    }
    ensure!((host.server.accepted(), host.read()) == (2, 2));
    Ok(())
}

#[test]
fn a_call_whose_server_leaves_while_its_body_is_held_is_sent_elsewhere() -> Result<()> {
    let world = World::new()?;
    let host = Host::start(&world, Then::Answers)?;
    let body = world.directory().join("body");
    nix::unistd::mkfifo(&body, nix::sys::stat::Mode::S_IRWXU)?;
    // A chat, which is held to see whether it asks for usage.
    let url = "http://api.openai.com/v1/chat/completions";
    let transfer = Transfer::at(url, provider4(2), Http::H1)
        .set("request", "POST")
        .header("Expect", "")
        .header("Content-Type", "application/json")
        .set("upload-file", &body.display().to_string());
    let mut caller = Caller::start(&world, world.weir(), &transfer.words())?;
    let chat = [r#"{"model":"gpt-4o","#, r#""messages":[]}"#];
    caller.begin()?;
    std::fs::write(&body, chat.concat())?;
    ensure!(caller.end()? == 0, "the first call failed");
    caller.wait_for_kept(1)?;

    caller.begin()?;
    let mut writer = std::fs::OpenOptions::new().write(true).open(&body)?;
    writer.write_all(chat[0].as_bytes())?;
    caller.wait_for_kept(0)?;
    ensure!(host.read() == 1, "the body was not held");
    host.end.send(())?;
    eventually("the call has another connection", || {
        caller.connections().is_ok_and(|of| of == (2.0, 1.0))
    })?;
    writer.write_all(chat[1].as_bytes())?;
    drop(writer);
    ensure!(caller.end()? == 0, "the second call failed");
    let ended = caller.finish()?.succeeded()?;
    ensure!(ended.records().len() == 2, "{:?}", ended.records());
    for record in ended.records() {
        ensure!(record.outcome == OutcomeKind::Complete, "{record:?}");
        ensure!(record.bytes_sent == 32, "{record:?}");
    }
    ensure!((host.server.accepted(), host.read()) == (2, 2));
    Ok(())
}

/// Whether the provider's namespace has no established connection at port 80.
fn is_gone(world: &World) -> bool {
    let table = world
        .provider
        .inside(|| std::fs::read_to_string("/proc/thread-self/net/tcp"));
    let Ok(Ok(table)) = table else { return false };
    // local_address, rem_address, st: columns 1 to 3.
    !table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().unwrap_or_default();
        let state = columns.nth(1).unwrap_or_default();
        local.ends_with(":0050") && state == "01"
    })
}

#[test]
fn a_call_that_the_server_has_read_is_never_sent_again() -> Result<()> {
    let world = World::new()?;
    let host = Host::start(&world, Then::Leaves)?;
    let mut caller = Caller::start(&world, world.weir(), &transfer().words())?;
    ensure!(caller.call()? == 0, "the first call failed");
    caller.wait_for_kept(1)?;
    // 52: an empty reply, as it would be without weir.
    ensure!(
        caller.call()? == 52,
        "the second call did not fail as direct"
    );
    let ended = caller.finish()?;
    let [first, second] = ended.records() else {
        anyhow::bail!("two records were expected: {:?}", ended.records());
    };
    ensure!(first.outcome == OutcomeKind::Complete, "{first:?}");
    ensure!(second.outcome == OutcomeKind::UpstreamGone, "{second:?}");
    ensure!((host.server.accepted(), host.read()) == (1, 2));
    Ok(())
}

#[test]
fn a_connection_that_its_server_ends_is_not_used_again() -> Result<()> {
    let world = World::new()?;
    let host = Host::start(&world, Then::Answers)?;
    let mut caller = Caller::start(&world, world.weir(), &transfer().words())?;
    ensure!(caller.call()? == 0, "the first call failed");
    caller.wait_for_kept(1)?;
    host.end.send(())?;
    caller.wait_for_kept(0)?;
    ensure!(caller.call()? == 0, "the second call failed");
    let connections = caller.connections()?;
    ensure!(connections == (2.0, 0.0), "{connections:?}");
    caller.finish()?.succeeded()?;
    Ok(())
}
