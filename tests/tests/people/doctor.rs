//! `weir doctor`: tries, and says what it could not try.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_common::program;
use weir_tests::namespace::Namespace;
use weir_tests::output::eventually;
use weir_tests::pod::Pod;
use weir_tests::pod::place::Container;

use super::{inside, json, run, weir};

/// The checks that try it.
const CANARY: [&str; 4] = ["load", "claim", "connect4", "connect6"];

fn check<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let checks = report["checks"].as_array().context("a list")?;
    let mut named = checks.iter().filter(|check| check["name"] == name);
    let found = named
        .next()
        .with_context(|| format!("no {name} in {report}"))?;
    ensure!(named.next().is_none(), "{name} twice in {report}");
    Ok(found)
}

fn result<'a>(report: &'a Value, name: &str) -> Result<&'a str> {
    check(report, name)?["result"].as_str().context("a text")
}

/// The doctor in the application's cgroup of a pod.
fn in_pod(pod: &Pod, words: &[&str]) -> Result<Output> {
    let directory = application(pod)?;
    let mut command = weir(&inside(&directory), words)?;
    let child = pod.namespace.spawn(&mut command)?;
    Ok(child.wait_with_output()?)
}

fn application(pod: &Pod) -> Result<String> {
    let directory = pod.place.of(Container::Application);
    Ok(directory.context("a cgroup")?.display().to_string())
}

#[test]
fn where_weir_works_it_says_so_and_leaves_nothing() -> Result<()> {
    let pod = Pod::new()?;
    let output = in_pod(&pod, &["doctor", "--json"])?;
    let report = json(&output)?;
    assert_eq!(output.status.code(), Some(0), "{report}");
    for name in CANARY {
        assert_eq!(result(&report, name)?, "ok", "{report}");
    }
    for (name, destination) in [
        ("connect4", "192.0.2.1:443"),
        ("connect6", "[2001:db8::1]:443"),
    ] {
        let finding = check(&report, name)?["finding"].to_string();
        let begins =
            format!("\"a connection to {destination} arrived here, with its destination, after ");
        assert!(finding.starts_with(&begins), "{finding}");
    }
    let left = std::fs::read_dir(application(&pod)?)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .count();
    assert_eq!(left, 0, "a cgroup is left");
    Ok(())
}

#[test]
fn its_table_fits_the_terminal_and_has_no_colours_in_a_file() -> Result<()> {
    let pod = Pod::new()?;
    let output = in_pod(&pod, &["doctor"])?;
    let text = std::str::from_utf8(&output.stdout)?;
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("ok           connect4      ")),
        "{text}"
    );
    assert!(text.contains("\n\nno problems, "), "{text}");
    Ok(())
}

#[test]
fn loopback_that_is_down_is_found_by_trying() -> Result<()> {
    let namespace = Namespace::new()?;
    let child = namespace.spawn(&mut weir(&[], &["doctor", "--json"])?)?;
    let output = child.wait_with_output()?;
    let report = json(&output)?;
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(result(&report, "load")?, "ok");
    let connect4 = check(&report, "connect4")?;
    assert_eq!(connect4["result"], "problem", "{report}");
    assert!(
        connect4["remedy"].to_string().contains("ip link set lo up"),
        "{connect4}"
    );
    Ok(())
}

#[test]
fn without_privileges_nothing_is_said_to_be_in_order_that_was_not_tried() -> Result<()> {
    let user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let output = run(&user, &["doctor", "--json"])?;
    let report = json(&output)?;
    assert_eq!(output.status.code(), Some(0), "{report}");
    for name in CANARY {
        assert_eq!(result(&report, name)?, "not_checked", "{report}");
    }
    assert_eq!(result(&report, "attach")?, "warning", "{report}");
    assert_eq!(result(&report, "bpf(2)")?, "not_checked", "{report}");
    Ok(())
}

#[test]
fn what_was_taken_from_root_is_a_problem() -> Result<()> {
    for (without, missing) in [
        ("-net_admin", "missing CAP_NET_ADMIN"),
        ("-perfmon,-bpf,-sys_admin", "missing CAP_BPF, CAP_PERFMON"),
    ] {
        let wrapper = ["setpriv", &format!("--bounding-set={without}")];
        let output = run(&wrapper, &["doctor", "--json"])?;
        let report = json(&output)?;
        assert_eq!(output.status.code(), Some(1), "{report}");
        let attach = check(&report, "attach")?;
        assert_eq!(attach["result"], "problem", "{report}");
        assert_eq!(attach["finding"], missing);
        assert_eq!(result(&report, "load")?, "not_checked", "{report}");
    }
    Ok(())
}

#[test]
fn a_user_namespace_is_a_problem() -> Result<()> {
    let output = run(
        &["unshare", "--user", "--map-root-user"],
        &["doctor", "--json"],
    )?;
    let report = json(&output)?;
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(result(&report, "user ns")?, "problem", "{report}");
    Ok(())
}

/// bpftool attaches exclusively unless it is told otherwise.
#[test]
fn a_program_above_that_keeps_others_out_is_named() -> Result<()> {
    let (pod, other) = (Pod::new()?, Pod::captured("")?);
    let programs = other.attached()?.programs;
    let connect4 = programs.iter().find(|(_, name)| *name == program::CONNECT4);
    let (id, _) = connect4.context("attached")?;
    let directory = pod.place.directory();
    let attached = Command::new("bpftool")
        .args(["cgroup", "attach"])
        .arg(directory)
        .args(["connect4", "id", &id.to_string()])
        .output()
        .context("install bpftool: this suite attaches with it")?;
    ensure!(attached.status.success(), "{attached:?}");
    let output = in_pod(&pod, &["doctor", "--json"])?;
    let report = json(&output)?;
    assert_eq!(output.status.code(), Some(1), "{report}");
    let others = check(&report, "others")?;
    assert_eq!(others["result"], "problem", "{report}");
    let finding = others["finding"].to_string();
    assert!(
        finding.contains(&format!("{} (Connect4)", directory.display())),
        "{finding}"
    );
    let load = check(&report, "load")?;
    assert_eq!(load["result"], "problem", "{report}");
    assert!(
        load["finding"].to_string().contains("weir_connect4"),
        "{load}"
    );
    assert_eq!(result(&report, "claim")?, "not_checked", "{report}");
    Ok(())
}

#[test]
fn what_a_killed_doctor_left_is_swept() -> Result<()> {
    let pod = Pod::new()?;
    // A number that no process can have (PID_MAX_LIMIT is 4194304).
    let left = std::path::Path::new(&application(&pod)?).join("weir-doctor-4194305");
    std::fs::create_dir_all(left.join("app"))?;
    let output = in_pod(&pod, &["doctor"])?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    eventually("the cgroup is gone", || !left.exists())
}
