//! weir ends as the command did.

use anyhow::Result;
use weir_tests::exec::Exec;

#[test]
fn the_status_is_the_commands() -> Result<()> {
    for (command, status) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "exit 255"], 255),
    ] {
        let run = Exec::new()?.run(command)?;
        assert_eq!(run.code(), status, "{command:?}: {run:?}");
        assert_eq!(run.text()?, "", "{command:?}");
    }
    Ok(())
}

#[test]
fn a_command_that_cannot_be_run_is_told_apart() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let not_executable = file.path().to_string_lossy();
    for (command, status, reason) in [
        ("no-such-command", 127, "No such file or directory"),
        ("/nonexistent/command", 127, "No such file or directory"),
        (not_executable.as_ref(), 126, "Permission denied"),
        ("/", 126, "Permission denied"),
    ] {
        let run = Exec::new()?.run(&[command])?;
        assert_eq!(run.code(), status, "{command}: {run:?}");
        let said = run.said();
        let [.., last] = said.as_slice() else {
            panic!("{command}: nothing was said: {run:?}");
        };
        let expected = format!("cannot run {command}: {reason}");
        assert!(last.starts_with(&expected), "{last}");
    }
    Ok(())
}

#[test]
fn death_by_a_signal_is_passed_on_without_a_core_dump() -> Result<()> {
    use std::os::unix::process::ExitStatusExt;
    // The last is a real-time signal, which has no name.
    for signal in [1, 2, 6, 9, 11, 15, 40] {
        let run = Exec::new()?.run(&["sh", "-c", &format!("kill -{signal} $$")])?;
        assert_eq!(run.signal(), Some(signal), "{run:?}");
        assert!(!run.status.core_dumped(), "{run:?}");
    }
    Ok(())
}
