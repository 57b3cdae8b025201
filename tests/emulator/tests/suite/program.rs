//! The emulator as a program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_emulator::{Api, Ended, Told};

use crate::client::{Surface, bare};

#[tokio::test]
async fn the_program_announces_itself_serves_and_leaves_its_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let mut program = Command::new(env!("CARGO_BIN_EXE_weir-emulator"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--plain",
            "[::1]:0",
            "--tokens",
            "7",
        ])
        .arg("--ca-out")
        .arg(path("ca.pem"))
        .arg("--ledger")
        .arg(path("ledger.jsonl"))
        .arg("--ready-file")
        .arg(path("ready"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut ready = String::new();
    let stdout = program.stdout.take().expect("piped");
    BufReader::new(stdout)
        .read_line(&mut ready)
        .expect("a line");
    let addresses = ready
        .trim()
        .strip_prefix("weir-emulator ready on ")
        .expect("the line");
    let (_https, plain) = addresses.split_once(' ').expect("two addresses");

    let body = Surface::Chat.ask("Hello", false).to_string();
    let mut socket = tokio::net::TcpStream::connect(plain)
        .await
        .expect("connected");
    let request = bare("POST", Surface::Chat.path(), &[], &body);
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await.expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200 OK"));

    let pid = Pid::from_raw(i32::try_from(program.id()).expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("the program runs");
    assert!(program.wait().expect("the program ends").success());

    let read = |name: &str| std::fs::read_to_string(path(name)).expect("the file was written");
    assert_eq!(read("ready"), ready);
    assert!(read("ca.pem").starts_with("-----BEGIN CERTIFICATE-----"));
    let ledger = read("ledger.jsonl");
    let told: Vec<Told> = ledger
        .lines()
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].api, Api::Chat);
    assert_eq!(told[0].ended, Ended::Complete);
    assert_eq!(told[0].output_tokens, 7);
}

#[test]
fn a_wrong_command_line_fails_with_the_remedy() {
    for (arguments, remedy) in [
        (
            &["--listen", "api.openai.com"][..],
            "invalid socket address",
        ),
        (&[], "--listen"),
        (
            &["--listen", "127.0.0.1:0", "--fault", "wrong"],
            "reset-mid-stream",
        ),
        (
            &["--listen", "127.0.0.1:0", "--encoding", "wrong"],
            "gzip, br",
        ),
        (&["--listen", "192.0.2.1:1"], "cannot listen on 192.0.2.1:1"),
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_weir-emulator"))
            .args(arguments)
            .output();
        let output = program.expect("the program runs");
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(said.contains(remedy), "{arguments:?}: {said}");
    }
}
