use anyhow::Context;
use clap::CommandFactory;

use super::*;

fn exec(line: &[&str]) -> ExecArgs {
    let line = ["weir", "exec"].iter().chain(line);
    let command = Cli::try_parse_from(line)
        .expect("a good command line")
        .command;
    let Command::Exec(args) = command else {
        panic!("asked for exec, got {command:?}");
    };
    args
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn everything_after_the_command_belongs_to_it() {
    for line in [
        &["--live", "--", "curl", "--report", "x", "--", "-v"][..],
        &["--live", "curl", "--report", "x", "--", "-v"],
    ] {
        let args = exec(line);
        assert_eq!(args.command, ["curl", "--report", "x", "--", "-v"]);
        assert_eq!(args.report, ReportFormat::Table);
        assert!(args.live);
    }
}

#[test]
fn options_are_typed() {
    let args = exec(&[
        "--report=json",
        "--report-file=r",
        "--admin=off",
        "--linger=1m 30s",
        "--config=c",
        "--",
        "true",
    ]);
    assert_eq!(args.report, ReportFormat::Json);
    assert_eq!(args.report_file, Some("r".into()));
    assert_eq!(args.admin, AdminChoice::Off);
    assert_eq!(args.linger, Some(Duration::from_secs(90)));
    assert_eq!(args.config, Some("c".into()));
    assert_eq!(exec(&["true"]).admin, AdminChoice::Default);
    assert_eq!(exec(&["true"]).linger, None);
}

#[test]
fn mistakes_are_refused() {
    for line in [
        &[][..],
        &["--"],
        &["--admin=everywhere", "true"],
        &["--linger=soon", "true"],
        &["--report=xml", "true"],
        &["--no-such", "true"],
    ] {
        let line = ["weir", "exec"].iter().chain(line);
        assert!(Cli::try_parse_from(line.clone()).is_err(), "{line:?}");
    }
}

#[test]
fn a_proxy_is_never_recognised_by_root() {
    let refused = |uid: &str| {
        let line = ["weir", "init", "--exempt-uid", uid];
        Cli::try_parse_from(line).map_err(|error| error.to_string())
    };
    let said = refused("0").expect_err("root");
    assert!(said.contains("give the proxy a user of its own"), "{said}");
    assert!(refused("nobody").is_err());
    assert!(refused("1337").is_ok());
}

#[test]
fn a_cgroup_is_auto_or_an_absolute_path() {
    assert_eq!("auto".parse(), Ok(CgroupChoice::Auto));
    let path = "/sys/fs/cgroup/a";
    assert_eq!(path.parse(), Ok(CgroupChoice::At(path.into())));
    assert!("a.slice".parse::<CgroupChoice>().is_err());
    assert!("".parse::<CgroupChoice>().is_err());
}

#[test]
fn the_proxy_is_told_what_was_meant() {
    for args in [
        SupervisedArgs {
            control_fd: 3,
            report_fd: Some(4),
            config: Some("-c weir.yaml".into()),
            report: ReportFormat::None,
            live: true,
            log_format: LogFormat::Json,
            admin: AdminChoice::At("[::1]:9".parse().expect("an address")),
            user: 61184,
            group: 61185,
        },
        SupervisedArgs {
            control_fd: 3,
            report_fd: None,
            config: None,
            report: ReportFormat::Table,
            live: false,
            log_format: LogFormat::Text,
            admin: AdminChoice::Default,
            user: 1,
            group: 2,
        },
    ] {
        let line = [OsString::from("weir")]
            .into_iter()
            .chain(args.to_command_line());
        let command = Cli::try_parse_from(line).expect("our own line").command;
        let Command::SupervisedProxy(parsed) = command else {
            panic!("asked for the proxy, got {command:?}");
        };
        assert_eq!(parsed, args);
    }
}

#[test]
fn a_cause_is_said_once_and_on_one_line() {
    let cause = || std::io::Error::other("no\nspace");
    let quoted = anyhow::Error::new(cause()).context("cannot write: no\nspace: free some");
    assert_eq!(one_line(&quoted), "cannot write: no space: free some");
    let plain = Err::<(), _>(cause()).context("cannot write");
    assert_eq!(
        plain.map_err(|error| one_line(&error)),
        Err("cannot write: no space".to_owned())
    );
}
