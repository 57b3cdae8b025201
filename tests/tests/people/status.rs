//! `weir status`: what is attached, as it is in the kernel.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use aya::programs::{ProgramFd, loaded_programs};
use serde_json::{Value, json};
use weir::sys::bpf::{AttachType, attach, detach};
use weir_common::program;
use weir_tests::exec::Exec;
use weir_tests::pod::addresses::{POD4, POD6};
use weir_tests::pod::{Pod, program as built};

use super::{json, refusal, run};

const TO: &str = "203.0.113.9:443";

/// The sets that are attached to the pod, and to nothing else.
fn sets_of(pod: &Pod) -> Result<Vec<Value>> {
    let output = run(&[], &["status", "--json"])?;
    let report = json(&output)?;
    let sets = report["sets"].as_array().context("a list")?;
    let path = json!(pod.place.directory());
    let of_pod = |set: &&Value| set["cgroups"][0]["path"] == path;
    Ok(sets.iter().filter(of_pod).cloned().collect())
}

fn set_of(pod: &Pod) -> Result<Value> {
    let mut sets = sets_of(pod)?;
    assert_eq!(sets.len(), 1, "{sets:?}");
    sets.pop().context("one")
}

fn counted(set: &Value, reason: &str) -> Option<u64> {
    let counters = set["counters"].as_array()?;
    let counter = counters.iter().find(|one| one["reason"] == reason)?;
    counter["count"].as_u64()
}

/// The one program of this name that is attached to a pod.
fn attached(pod: &Pod, name: &str) -> Result<ProgramFd> {
    let ids = pod.attached()?.programs;
    let (id, _) = ids
        .iter()
        .find(|(_, called)| *called == name)
        .context("attached")?;
    let info = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == *id)
        .context("loaded")?;
    Ok(info.fd()?)
}

#[test]
fn what_init_attached_is_shown_with_what_it_was_told() -> Result<()> {
    let pod = Pod::new()?;
    pod.configure("capture: {ports: [443, 8443], quic: allow, on_proxy_down: open}")?;
    pod.init(&["--exempt-uid=4242", "--port=16000"])?;
    let set = set_of(&pod)?;
    assert_eq!(
        set["settings"],
        json!({
            "ports": [443, 8443],
            "quic": "allow",
            "on_proxy_down": "open",
            "proxy": {"addresses": ["127.0.0.1", "::1"], "ports": [16000, 16015]},
            "exempt_uid": 4242,
            "traced": false,
        })
    );
    let local = set["local_addresses"].as_array().context("a list")?;
    for address in [POD4, POD6] {
        assert!(local.contains(&json!(address)), "{local:?}");
    }
    let programs = set["programs"].as_array().context("a list")?;
    let attached = pod.attached()?.programs;
    let shown = programs.iter().map(|one| {
        let id = one["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        (
            id.unwrap_or_default(),
            one["name"].as_str().unwrap_or_default().to_owned(),
        )
    });
    assert_eq!(
        shown.collect::<std::collections::BTreeMap<_, _>>(),
        attached
    );
    assert_eq!(set["problems"], json!([]));
    assert_eq!(set["claimed"], json!([]));
    assert_eq!(set["kernel_log"], json!(false));
    assert_eq!(set["handshakes_in_flight"], json!(0));
    pod.detach()?;
    assert_eq!(sets_of(&pod)?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn what_was_claimed_and_counted_is_shown() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.thin_proxy(&[])?;
    let before = set_of(&pod)?;
    let _dialled: Value = pod.application(&["dial", TO, TO])?;
    let set = set_of(&pod)?;
    assert_eq!(counted(&before, "redirected"), Some(0));
    assert_eq!(counted(&set, "redirected"), Some(2));
    assert_eq!(
        set["claimed"][0]["path"],
        json!(pod.place.directory().join("proxy"))
    );
    Ok(())
}

#[test]
fn the_table_shows_no_secret_and_fits_the_terminal() -> Result<()> {
    let pod = Pod::captured("")?;
    let _dialled: Value = pod.application(&["dial", TO])?;
    let output = run(&[], &["status"])?;
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout)?;
    let directory = pod.place.directory().display().to_string();
    let mut lines = text.lines().skip_while(|line| *line != directory).skip(1);
    let set: Vec<&str> = lines
        .by_ref()
        .take_while(|line| !line.starts_with('/'))
        .collect();
    for expected in [
        "  captures    TCP to ports 443, 80; UDP to them is refused, so that HTTP/3 clients use TCP",
        "  proxy       127.0.0.1 and ::1, ports 15001 to 15016",
        "  proxy down  connections are refused (closed)",
        "  exempt      nobody: no proxy has claimed",
        "  handshakes  0 in flight",
        "  kernel log  off",
        "  refused     proxy_down_closed             1",
    ] {
        assert!(set.contains(&expected), "{expected:?} is not in {set:#?}");
    }
    assert!(
        set.iter().all(|line| line.chars().count() <= 100),
        "{set:#?}"
    );
    let token = pod.capture_state()?.token;
    let json = run(&[], &["status", "--json"])?;
    for output in [&output, &json] {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains(&token), "the secret is shown");
        // As bytes it would be a list of numbers.
        assert!(!text.contains("token"), "{text}");
    }
    Ok(())
}

#[test]
fn a_switched_on_kernel_log_is_shown() -> Result<()> {
    let pod = Pod::new()?;
    pod.init(&["--kernel-log=info"])?;
    assert_eq!(set_of(&pod)?["kernel_log"], json!(true));
    pod.init(&[])?;
    assert_eq!(set_of(&pod)?["kernel_log"], json!(false));
    Ok(())
}

#[test]
fn a_program_that_is_missing_or_of_another_weir_is_a_problem() -> Result<()> {
    let (pod, other) = (Pod::captured("")?, Pod::captured("")?);
    let own = attached(&pod, program::CONNECT4)?;
    detach(pod.place.pod().as_fd(), own.as_fd(), AttachType::Connect4)?;
    let directory = pod.place.directory().display().to_string();
    let missing = format!("weir_connect4 is not attached to {directory}: run `weir init` again");
    assert_eq!(set_of(&pod)?["problems"], json!([missing]));

    attach(pod.place.pod().as_fd(), own.as_fd(), AttachType::Connect4)?;
    let foreign = attached(&other, program::CONNECT4)?;
    attach(
        pod.place.pod().as_fd(),
        foreign.as_fd(),
        AttachType::Connect4,
    )?;
    let problems: Vec<Value> = sets_of(&pod)?
        .into_iter()
        .map(|set| set["problems"].clone())
        .collect();
    let said = json!(problems).to_string();
    assert!(
        said.contains(&format!(
            "another start of weir is attached to {directory} as well"
        )),
        "{said}"
    );
    // Otherwise the other pod's programs would outlive it here.
    detach(
        pod.place.pod().as_fd(),
        foreign.as_fd(),
        AttachType::Connect4,
    )?;
    assert_eq!(set_of(&pod)?["problems"], json!([]));
    Ok(())
}

#[test]
fn a_run_of_exec_is_shown_while_it_runs() -> Result<()> {
    let weir = built("weir")?;
    let weir = weir.to_str().context("a plain path")?;
    let run = Exec::new()?.run(&[
        "sh",
        "-c",
        "sed -n s/^0:://p /proc/self/cgroup; exec \"$0\" status --json",
        weir,
    ])?;
    assert_eq!(run.code(), 0, "{run:?}");
    let (cgroup, report) = run.text()?.split_once('\n').context("two parts")?;
    let name = cgroup
        .strip_suffix("/app")
        .context("the command's cgroup")?;
    let report: Value = serde_json::from_str(report)?;
    let sets = report["sets"].as_array().context("a list")?;
    let own: Vec<&Value> = sets
        .iter()
        .filter(|set| {
            let path = set["cgroups"][0]["path"].as_str();
            path.is_some_and(|path| path.ends_with(name))
        })
        .collect();
    assert_eq!(own.len(), 1, "{report}");
    assert_eq!(own[0]["settings"]["ports"], json!([443, 80]));
    assert_eq!(own[0]["problems"], json!([]));
    Ok(())
}

#[test]
fn without_the_capability_it_says_so_and_where_to_look_instead() -> Result<()> {
    for command in ["status", "trace"] {
        let output = run(&["setpriv", "--bounding-set=-sys_admin"], &[command])?;
        let line = refusal(&output)?;
        assert!(line.starts_with("missing CAP_SYS_ADMIN"), "{line}");
        assert!(line.ends_with("http://127.0.0.1:15020/metrics"), "{line}");
        assert_eq!(output.stdout, b"");
    }
    Ok(())
}
