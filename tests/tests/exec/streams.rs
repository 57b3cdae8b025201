//! Input, output, descriptors and the rest of what a process inherits.

use std::io::Write;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use weir_tests::exec::Exec;

#[test]
fn bytes_pass_through_unchanged_in_both_directions() -> Result<()> {
    let bytes: Vec<u8> = (0..1_000_003_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let mut running = Exec::new()?.start(&["cat"])?;
    let mut input = running.input.take().context("piped")?;
    let sent = bytes.clone();
    let writer = thread::spawn(move || input.write_all(&sent));
    let run = running.finish()?;
    writer.join().expect("no panic")?;
    assert_eq!(run.code(), 0);
    assert!(run.stdout == bytes, "{} bytes came back", run.stdout.len());
    Ok(())
}

#[test]
fn the_reader_of_a_pipeline_sees_its_end_while_weir_waits_for_others() -> Result<()> {
    let script = "echo first
        sleep 1000 >/dev/null 2>&1 </dev/null &
        until grep -q sleep /proc/$!/comm; do :; done";
    let mut running = Exec::new()?.start(&["sh", "-c", script])?;
    assert_eq!(running.stdout.everything()?, b"first\n");
    let left = running.process("sleep")?;
    running
        .stderr
        .wait_for("1 process it started still runs (sleep)")?;
    kill(left.pid)?;
    running.finish()?;
    Ok(())
}

/// What a process can see of itself that weir could have changed.
const SELF_PORTRAIT: &str = "
    echo fds $(ls /proc/self/fd)
    grep -E '^(SigBlk|SigIgn|SigCgt|Groups|NoNewPrivs|CapEff|CapBnd|CapAmb)' /proc/self/status
    echo session $(cut -d ' ' -f 6 /proc/self/stat)
    echo group $(cut -d ' ' -f 5 /proc/self/stat)
    pwd; umask; nice
    grep -vE 'weir-exec' /proc/self/limits
";

#[test]
fn the_command_inherits_what_it_would_without_weir() -> Result<()> {
    // One shell runs both, so that both have the same parent, session and group.
    let mut direct = Command::new("env");
    direct
        .args(["--default-signal", "sh", "-c", SELF_PORTRAIT])
        .current_dir("/usr");
    let direct = String::from_utf8(direct.output()?.stdout)?;

    let run = Exec::within(&["env", "--chdir=/usr"])?.run(&["sh", "-c", SELF_PORTRAIT])?;
    assert_eq!(run.code(), 0);
    let portrait = run.text()?;
    for (with, without) in portrait.lines().zip(direct.lines()) {
        assert_eq!(with, without);
    }
    assert_eq!(portrait.lines().count(), direct.lines().count());
    Ok(())
}

#[test]
fn what_was_ignored_stays_ignored() -> Result<()> {
    let look = ["grep", "SigIgn", "/proc/self/status"];
    let direct = Command::new("env")
        .args(["--default-signal", "nohup"])
        .args(look)
        .output()?;
    let run = Exec::within(&["nohup"])?.run(&look)?;
    assert_eq!(run.text()?, String::from_utf8(direct.stdout)?);
    // SIGHUP is 1, the lowest bit.
    assert!(run.text()?.ends_with("1\n"), "{run:?}");
    Ok(())
}

fn kill(pid: i32) -> Result<()> {
    use nix::sys::signal::{Signal, kill};
    Ok(kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?)
}
