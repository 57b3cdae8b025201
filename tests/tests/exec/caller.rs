//! Under sudo the command runs as who called it, and the proxy as nobody at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::Result;
use weir_tests::exec::Exec;
use weir_tests::processes::status_field;

const NOBODY: u32 = 65534;

#[test]
fn the_command_runs_as_the_caller_of_sudo() -> Result<()> {
    let run = Exec::new()?
        .by_sudo_of(NOBODY, NOBODY)
        .variable("HOME", "/root")
        .variable("USER", "root")
        .run(&[
            "sh",
            "-c",
            "id -u; id -g; id -G; echo $USER; echo $LOGNAME; echo $HOME; env | grep ^SUDO_; \
             grep -E '^Cap(Eff|Prm|Inh|Amb)' /proc/self/status; cat $SSL_CERT_FILE >/dev/null && echo reads",
        ])?;
    let none = "0000000000000000";
    assert_eq!(
        run.text()?,
        format!(
            "65534\n65534\n65534\nnobody\nnobody\n/nonexistent\n\
             CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\nreads\n"
        )
    );
    assert_eq!(run.code(), 0, "{run:?}");
    Ok(())
}

#[test]
fn a_user_without_an_account_will_do() -> Result<()> {
    let run = Exec::new()?.by_sudo_of(54_321, 54_322).run(&[
        "sh",
        "-c",
        "id -u; id -g; id -G; echo $HOME",
    ])?;
    assert_eq!(run.text()?, "54321\n54322\n54322\n/\n");
    Ok(())
}

#[test]
fn sudo_variables_that_make_no_sense_are_refused() -> Result<()> {
    let run = Exec::new()?
        .variable("SUDO_UID", "somebody")
        .run(&["touch", "/nonexistent/x"])?;
    assert_eq!(run.code(), 125);
    assert!(run.stderr.starts_with("weir: SUDO_UID is "), "{run:?}");
    Ok(())
}

#[test]
fn the_report_is_written_as_the_caller() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
    let file = directory.path().join("report.json");
    let name = file.to_string_lossy();
    let run = Exec::new()?
        .by_sudo_of(NOBODY, NOBODY)
        .options(&["--report", "json", "--report-file", &name])
        .run(&["true"])?;
    assert_eq!(run.code(), 0, "{run:?}");
    assert_eq!(fs::metadata(&file)?.uid(), NOBODY);
    let report = fs::read_to_string(&file)?;
    assert!(
        report.starts_with('{') && report.contains("\"exchanges\""),
        "{report}"
    );

    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700))?;
    let run = Exec::new()?
        .by_sudo_of(NOBODY, NOBODY)
        .options(&["--report-file", &name])
        .run(&["true"])?;
    assert_eq!(run.code(), 125);
    assert_eq!(
        run.stderr,
        format!(
            "weir: cannot write the report to {name}: name a writable file with --report-file: Permission denied (os error 13)\n"
        )
    );
    assert_eq!(fs::read_to_string(&file)?, report, "it was touched");
    Ok(())
}

#[test]
fn the_proxy_has_no_rights_at_all() -> Result<()> {
    let mut running = Exec::new()?.start(&["sh", "-c", "echo ready; read line"])?;
    // It gives its rights up before the command starts.
    running.stdout.wait_for("ready")?;
    let proxy = running.process("weir-proxy")?;
    let field = |name| status_field(proxy.pid, name).unwrap_or_default();
    let ids = field("Uid");
    let mut ids = ids.split_whitespace().map(str::parse::<u32>);
    let id = ids.next().expect("four ids")?;
    assert!((61184..=65519).contains(&id), "{id}");
    assert!(ids.all(|other| other == Ok(id)));
    assert_eq!(field("Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert!(
        proxy
            .cgroup
            .ends_with(format!("weir-exec-{}/proxy", running.pid()))
    );
    // A process that may be dumped, and so traced, belongs to its user.
    assert_eq!(
        fs::metadata(format!("/proc/{}/environ", proxy.pid))?.uid(),
        0
    );
    running.input = None;
    running.finish()?;
    Ok(())
}
