//! `weir inject -f`: files in, files out.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir::inject::options::{Image, InitPrivileges, OnProxyDown, Options, Sidecar};
use weir::inject::stream::{StreamError, Task, run};
use weir::inject::workload::workloads;
use weir_tests::pod::program;

use crate::manifests::{WITH_PODS, both_sidecars, documents, fixture, inject, path};

/// The fixtures as far as `options` can inject them: pods that are to end have
/// no classic sidecar.
fn possible(name: &str, options: &Options) -> String {
    let text = fixture(name);
    if options.sidecar == Sidecar::Native || name != "kinds.yaml" {
        return text;
    }
    let endless = text
        .split("---\n")
        .filter(|document| !document.contains("restartPolicy"));
    endless.collect::<Vec<_>>().join("---\n")
}

#[test]
fn injecting_twice_is_injecting_once() -> Result<()> {
    for options in both_sidecars() {
        for name in WITH_PODS {
            let once = inject(&possible(name, &options), &options)?.text;
            assert_eq!(inject(&once, &options)?.text, once, "{name}");
        }
    }
    Ok(())
}

#[test]
fn removing_gives_back_what_was_injected() -> Result<()> {
    for options in both_sidecars() {
        for name in WITH_PODS {
            let original = possible(name, &options);
            let injected = inject(&original, &options)?;
            assert!(injected.templates > 0, "{name}");
            assert_ne!(documents(&injected.text), documents(&original), "{name}");
            let removed = run(&injected.text, Task::Remove)?.text;
            // As text, so that the order of keys counts.
            let shown = |text: &str| serde_json::to_string_pretty(&documents(text));
            assert_eq!(shown(&removed)?, shown(&original)?, "{name}");
        }
    }
    Ok(())
}

#[test]
fn other_options_are_those_of_a_fresh_injection() -> Result<()> {
    let other = Options {
        image: Image::Default("registry.example/weir:2".into()),
        config: Some("weir".into()),
        roots: Some("corp-roots".into()),
        on_proxy_down: Some(OnProxyDown::Open),
        init_privileges: InitPrivileges::Narrow,
        log_level: Some("debug".into()),
        ..Options::default()
    };
    for first in both_sidecars() {
        for name in WITH_PODS {
            let original = possible(name, &first);
            let twice = inject(&inject(&original, &first)?.text, &other)?.text;
            let fresh = inject(&original, &other)?.text;
            assert_eq!(documents(&twice), documents(&fresh), "{name}");
        }
    }
    Ok(())
}

#[test]
fn every_kind_with_pods_is_injected_and_no_other() -> Result<()> {
    let text = inject(&fixture("kinds.yaml"), &Options::default())?.text;
    let mut injected = Vec::new();
    for mut document in documents(&text) {
        for workload in workloads(&mut document) {
            assert!(
                weir::inject::pod::is_injected(workload.template),
                "{}",
                workload.name
            );
            injected.push(workload.name);
        }
    }
    assert_eq!(
        injected,
        [
            "Pod once-*",
            "StatefulSet ordered",
            "DaemonSet everywhere",
            "ReplicaSet some",
            "ReplicationController old",
            "Job task",
            "CronJob nightly",
            "PodTemplate mould",
            "Deployment listed",
        ]
    );
    assert!(text.contains("# Nothing but a comment.\n"));
    Ok(())
}

#[test]
fn documents_without_pods_and_those_that_decline_keep_every_byte() -> Result<()> {
    let text = fixture("passed.yaml");
    assert_eq!(inject(&text, &Options::default())?.text, text);
    let text = fixture("deployment.yaml");
    let (_, service) = text.split_once("---\n").context("two documents")?;
    let injected = inject(&text, &Options::default())?.text;
    assert!(injected.ends_with(&format!("---\n{service}")), "{injected}");
    assert!(injected.starts_with("# A shop, as its developers keep it.\napiVersion: apps/v1\n"));
    let json = fixture("list.json");
    let injected = inject(&json, &Options::default())?.text;
    assert!(injected.ends_with("{\"kept\":   \"as it is\"}}\n"));
    Ok(())
}

/// What a person sees; made anew with `weir inject -f deployment.yaml`.
#[test]
fn the_example_is_what_comes_out() -> Result<()> {
    let injected = inject(&fixture("deployment.yaml"), &Options::default())?.text;
    let expected = fixture("deployment.injected.yaml");
    assert_eq!(
        injected,
        expected.replace("VERSION", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}

#[test]
fn values_are_read_as_kubernetes_reads_them() -> Result<()> {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: app, \
                image: a, args: ['0644', 'yes', '1e3', 'null', '2026-01-01', '12:30:45', '~', '']}\n  \
                volumes: [{name: v, secret: {secretName: s, defaultMode: 0440}}]\n";
    let injected = inject(text, &Options::default())?.text;
    let [pod] = &documents(&injected)[..] else {
        anyhow::bail!("one document went in");
    };
    assert_eq!(
        pod["spec"]["containers"][0]["args"],
        json!([
            "0644",
            "yes",
            "1e3",
            "null",
            "2026-01-01",
            "12:30:45",
            "~",
            ""
        ])
    );
    assert_eq!(pod["spec"]["volumes"][0]["secret"]["defaultMode"], 0o440);
    // Quoted for whoever reads YAML 1.1.
    for quoted in ["\"0644\"", "\"yes\"", "\"1e3\"", "\"null\"", "\"12:30:45\""] {
        assert!(injected.contains(quoted), "{quoted}");
    }
    Ok(())
}

#[test]
fn what_is_no_manifest_is_said_with_its_document_and_line() {
    let options = Options::default();
    let text = "kind: Pod\n---\nkind: [\n";
    let error = inject(text, &options).expect_err("malformed").to_string();
    assert!(error.starts_with("document 2: "), "{error}");
    assert!(error.contains("line "), "{error}");
    let twice = "kind: Pod\nkind: Pod\n";
    assert!(matches!(
        inject(twice, &options),
        Err(StreamError::Malformed { document: 1, .. })
    ));
    assert!(matches!(
        inject("{\"kind\": ", &options),
        Err(StreamError::Malformed { document: 1, .. })
    ));
}

fn weir(arguments: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(program("weir")?)
        .arg("inject")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    let input = input.to_owned();
    // It may say no before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let _closed = writer.join();
    Ok(output)
}

#[test]
fn the_command_reads_files_and_standard_input() -> Result<()> {
    let first = path("deployment.yaml");
    let first = first.to_str().context("a name")?;
    let pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {containers: [{name: app, image: a}]}";
    let output = weir(&["-f", first, "-f", "-", "--image=i:1"], pod)?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0));
    let found = documents(&text);
    let kinds: Vec<&Value> = found.iter().map(|document| &document["kind"]).collect();
    assert_eq!(kinds, ["Deployment", "Service", "Pod"]);
    assert_eq!(text.matches("image: i:1\n").count(), 4);

    let output = weir(&["-f", "-", "--remove"], &text)?;
    let removed = documents(&String::from_utf8(output.stdout)?);
    assert_eq!(removed[..2], documents(&fixture("deployment.yaml"))[..]);
    Ok(())
}

#[test]
fn the_help_names_every_annotation() -> Result<()> {
    let help = String::from_utf8(weir(&["--help"], "")?.stdout)?;
    let pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p, annotations: {weir.dev/x: y}}\n\
               spec: {containers: [{name: app, image: a}]}";
    let said = String::from_utf8(weir(&["-f", "-"], pod)?.stderr)?;
    let (_, list) = said.split_once("there are ").context("a list")?;
    let (list, _) = list.split_once('\n').context("a line")?;
    assert_eq!(list.split(", ").count(), 15);
    for name in list.split(", ") {
        assert!(help.contains(name), "{name}");
    }
    Ok(())
}

#[test]
fn the_command_writes_nothing_if_one_pod_is_refused() -> Result<()> {
    let refused =
        fixture("kinds.yaml").replace("image: a}", "image: a, ports: [{containerPort: 15001}]}");
    let output = weir(&["-f", "-"], &refused)?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr)?;
    for place in [
        "document 1, Pod once-*: spec.containers[app].ports[15001]: ",
        "document 3, StatefulSet ordered: spec.template.spec.containers[app].ports[15001]: ",
        "document 9, PodTemplate mould: template.spec.containers[app].ports[15001]: ",
        "document 10, Deployment listed: items[1].spec.template.spec.containers[app].ports[15001]: ",
    ] {
        assert!(said.contains(&format!("weir: {place}")), "{place}\n{said}");
    }
    assert!(said.ends_with("weir: nothing is written\n"), "{said}");

    for (arguments, input, code) in [
        (&["-f", "/nonexistent.yaml"][..], "", 125),
        (&["-f", "-", "--config", "No Name"], "", 125),
        (&[], "", 125),
        (&["-f", "-"], "kind: [", 125),
        (&["-f", "-"], "kind: ConfigMap\n", 0),
    ] {
        let output = weir(arguments, input)?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}
