//! A start that is cut short leaves as little as one that was refused.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use weir_tests::exec::{Exec, Running};

/// A proxy that never gets ready: it reads its roots from a pipe that nobody
/// writes.
fn starting() -> Result<(Running, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    mkfifo(&directory.path().join("roots.pem"), Mode::S_IRUSR)?;
    let config = directory.path().join("weir.yaml");
    fs::write(&config, "tls:\n  upstream_roots: [roots.pem]\n")?;
    let running = Exec::new()?
        .options(&["--config", &config.to_string_lossy()])
        .start(&["echo", "ran"])?;
    running.process("weir-proxy")?;
    Ok((running, directory))
}

#[test]
fn a_signal_ends_it_as_it_would_end_any_program() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (running, _directory) = starting()?;
        running.signal(signal)?;
        let run = running.finish()?;
        assert_eq!(run.signal(), Some(signal as i32));
        assert_eq!(run.stdout, b"", "the command ran");
    }
    Ok(())
}

/// The proxy does not notice here that its supervisor is gone, so that this is
/// also the test of a proxy that hangs.
#[test]
fn a_kill_is_cleaned_up_after() -> Result<()> {
    let (running, _directory) = starting()?;
    running.signal(Signal::SIGKILL)?;
    let run = running.finish()?;
    assert_eq!(run.signal(), Some(9));
    assert_eq!(run.stdout, b"", "the command ran");
    Ok(())
}

#[test]
fn a_proxy_that_dies_is_said() -> Result<()> {
    let (running, _directory) = starting()?;
    let proxy = running.process("weir-proxy")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(proxy.pid), Signal::SIGKILL)?;
    let run = running.finish()?;
    assert_eq!(run.code(), 125);
    assert_eq!(
        run.said(),
        ["the proxy was ended by SIGKILL before it was ready"]
    );
    Ok(())
}
