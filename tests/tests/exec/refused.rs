//! weir that cannot start says why in one line, ends with 125, and has not run
//! the command nor left anything.

use std::fs;
use std::net::TcpListener;

use anyhow::Result;
use weir_tests::exec::{Exec, Finished};

fn refused(run: &Finished) -> &str {
    assert_eq!(run.code(), 125, "{run:?}");
    assert_eq!(run.stdout, b"", "the command ran");
    let said = run.stderr.strip_prefix("weir: ").expect("weir's own line");
    let line = said.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains('\n'), "more than one line: {said}");
    line
}

#[test]
fn a_configuration_that_is_not_understood() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let name = file.path().to_string_lossy().into_owned();
    for (text, message) in [
        (
            "capture:\n  prots: [443]\n",
            "2:3: capture.prots: unknown key, expected one of ports, quic, on_proxy_down",
        ),
        (
            "tls:\n  upstream_roots: []\n",
            "2:19: tls.upstream_roots: no root is given, expected `system` or the name of a PEM file",
        ),
    ] {
        fs::write(file.path(), text)?;
        let run = Exec::new()?
            .options(&["--config", &name])
            .run(&["echo", "ran"])?;
        assert_eq!(refused(&run), format!("{name}:{message}"));
    }
    let run = Exec::new()?
        .options(&["--config", "/nonexistent/weir.yaml"])
        .run(&["echo", "ran"])?;
    assert_eq!(
        refused(&run),
        "cannot read the configuration /nonexistent/weir.yaml: No such file or directory (os error 2): name a readable file with --config"
    );
    Ok(())
}

#[test]
fn a_file_that_the_configuration_names_and_is_not_there() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    for key in [
        "tls:\n  upstream_roots: [/nonexistent/x]\n",
        "prices:\n  file: /nonexistent/x\n",
    ] {
        fs::write(file.path(), key)?;
        let run = Exec::new()?
            .options(&["--config", &file.path().to_string_lossy()])
            .run(&["echo", "ran"])?;
        let line = refused(&run);
        assert!(line.contains("/nonexistent/x"), "{line}");
        assert_eq!(line.matches("No such file").count(), 1, "{line}");
    }
    Ok(())
}

#[test]
fn an_address_in_use() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let run = Exec::new()?
        .options(&["--admin", &address])
        .run(&["echo", "ran"])?;
    let line = refused(&run);
    assert!(
        line.contains(&address) && line.contains("--admin"),
        "{line}"
    );
    Ok(())
}

#[test]
fn a_missing_capability() -> Result<()> {
    for (without, message) in [
        ("-bpf,-sys_admin", "missing CAP_BPF: run `sudo weir exec …`"),
        (
            "-net_admin",
            "missing CAP_NET_ADMIN: run `sudo weir exec …`",
        ),
        (
            "-perfmon,-sys_admin,-setuid",
            "missing CAP_PERFMON, CAP_SETUID: run `sudo weir exec …`",
        ),
    ] {
        let run = Exec::within(&["setpriv", &format!("--bounding-set={without}")])?
            .run(&["echo", "ran"])?;
        assert_eq!(refused(&run), message);
    }
    Ok(())
}

/// Where no cgroup2 is mounted weir opens the hierarchy itself; without the right
/// to do so there is none.
#[test]
fn no_cgroup2() -> Result<()> {
    let hidden = "umount --all --types cgroup2 && exec setpriv --bounding-set=-sys_admin \"$@\"";
    let unshared = ["unshare", "--mount", "--propagation", "private"];
    let wrapper = [&unshared[..], &["sh", "-c", hidden, "sh"]].concat();
    let run = Exec::within(&wrapper)?.run(&["echo", "ran"])?;
    let line = refused(&run);
    assert!(
        line.starts_with("no cgroup2 mount shows the cgroup"),
        "{line}"
    );
    assert!(
        line.ends_with("run in the cgroup and mount namespace of the machine"),
        "{line}"
    );
    Ok(())
}

#[test]
fn a_user_namespace() -> Result<()> {
    let run = Exec::within(&["unshare", "--user", "--map-root-user"])?.run(&["echo", "ran"])?;
    let line = refused(&run);
    assert!(
        line.starts_with("in a user namespace the kernel refuses CAP_BPF"),
        "{line}"
    );
    Ok(())
}

#[test]
fn a_command_line_that_is_not_understood() -> Result<()> {
    let run = Exec::new()?
        .options(&["--no-such-option"])
        .run(&["echo", "ran"])?;
    assert_eq!(run.code(), 125);
    assert_eq!(run.stdout, b"");
    assert!(run.stderr.contains("--no-such-option"), "{run:?}");
    Ok(())
}
