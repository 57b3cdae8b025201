//! `deploy/` as the programs it is written for read it: promtool, and Helm's own
//! code. They have to be installed, which is why this is no suite for everybody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir::inject::webhook::configuration;
use weir_tests::clients::Clients;

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

#[test]
fn promtool_takes_the_rules_and_they_say_what_they_should() -> Result<()> {
    let text = fs::read_to_string(path("../deploy/overlays/monitoring/prometheusrule.yaml"))?;
    let rule = documents(&text)?.swap_remove(0);
    let directory = tempfile::tempdir()?;
    // JSON is YAML.
    fs::write(
        directory.path().join("rules.yaml"),
        rule["spec"].to_string(),
    )?;
    fs::copy(
        path("fixtures/deploy/rules_test.yaml"),
        directory.path().join("test.yaml"),
    )?;
    for arguments in [
        ["check", "rules", "rules.yaml"],
        ["test", "rules", "test.yaml"],
    ] {
        let said = Command::new("promtool")
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .context("install prometheus: its promtool judges the rules")?;
        ensure!(said.status.success(), "{arguments:?}: {said:#?}");
    }
    Ok(())
}

/// What Helm makes of the chart.
struct Chart {
    /// What it found wrong.
    problems: Vec<Value>,
    /// The manifests, or why there are none.
    rendered: Result<Vec<Value>, String>,
}

fn helm(values: &Value) -> Result<Chart> {
    let chart = path("../deploy/helm/weir");
    let words = Clients::python("helm")?.command(
        "chart.py",
        &[chart.to_str().context("a name")?, &values.to_string()],
    );
    let (program, arguments) = words.split_first().context("a program")?;
    let output = Command::new(program).args(arguments).output()?;
    ensure!(output.status.success(), "{output:?}");
    let mut said: Value = serde_json::from_slice(&output.stdout)?;
    let problems = said["problems"].as_array().context("problems")?.clone();
    if let Some(refused) = said["refused"].as_str() {
        return Ok(Chart {
            problems,
            rendered: Err(refused.to_owned()),
        });
    }
    let rendered = said["rendered"].as_object_mut().context("manifests")?;
    let mut all = Vec::new();
    for (name, text) in rendered {
        if name.ends_with(".yaml") {
            all.extend(documents(text.as_str().context("text")?)?);
        }
    }
    Ok(Chart {
        problems,
        rendered: Ok(all),
    })
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found = documents.iter().find(|document| document["kind"] == kind);
    found.with_context(|| kind.to_owned())
}

fn kinds(documents: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<_> = documents
        .iter()
        .filter_map(|document| document["kind"].as_str())
        .collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn the_chart_is_what_the_manifests_are() -> Result<()> {
    let Chart { problems, rendered } = helm(&json!({}))?;
    assert_eq!(problems, [Value::Null; 0]);
    let rendered = rendered.map_err(anyhow::Error::msg)?;
    assert_eq!(
        kinds(&rendered),
        [
            "Certificate",
            "Deployment",
            "Issuer",
            "MutatingWebhookConfiguration",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
        ]
    );
    let mut ours = configuration("weir-webhook", "weir-system", "Fail", "");
    for webhook in ours["webhooks"].as_array_mut().context("webhooks")? {
        webhook["clientConfig"]
            .as_object_mut()
            .context("a client")?
            .remove("caBundle");
    }
    assert_eq!(
        of_kind(&rendered, "MutatingWebhookConfiguration")?["webhooks"],
        ours["webhooks"]
    );

    // But for labels of Helm's, and options that are the defaults.
    let text = fs::read_to_string(path("../deploy/base/deployment.yaml"))?;
    let base = documents(&text)?.swap_remove(0);
    let deployment = of_kind(&rendered, "Deployment")?;
    let pod = |deployment: &Value| {
        let mut spec = deployment["spec"]["template"]["spec"].clone();
        spec["topologySpreadConstraints"].take();
        spec["containers"][0]["args"].take();
        let env = spec["containers"][0]["env"].as_array_mut();
        if let Some(env) = env {
            env.retain(|entry| entry["name"] != "WEIR_LOG");
        }
        spec
    };
    assert_eq!(pod(deployment), pod(&base));
    let without_options = weir_line(&base)?;
    let with_defaults = weir_line(deployment)?;
    assert_eq!(with_defaults, without_options);
    Ok(())
}

/// What `weir inject serve` makes of a Deployment's arguments.
fn weir_line(deployment: &Value) -> Result<weir::inject::options::Options> {
    use clap::Parser;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().context("arguments")?;
    let line = arguments.iter().filter_map(Value::as_str);
    let command = weir::cli::Cli::try_parse_from(std::iter::once("weir").chain(line))?.command;
    let weir::cli::Command::Inject(args) = command else {
        anyhow::bail!("it runs something else");
    };
    match args.command {
        Some(weir::cli::InjectCommand::Serve(serve)) => {
            Ok(serve.chosen.options(weir::inject::options::Image::Fixed))
        }
        _ => anyhow::bail!("it serves nothing"),
    }
}

#[test]
fn values_reach_the_webhook() -> Result<()> {
    let Chart { rendered, .. } = helm(&json!({
        "replicas": 1,
        "image": {"digest": format!("sha256:{}", "0".repeat(64))},
        "webhook": {"failurePolicy": "Ignore", "issuerRef": {"name": "corp", "kind": "ClusterIssuer"}},
        "inject": {
            "config": "weir", "roots": "corp", "onProxyDown": "open", "sidecar": "classic",
            "initPrivileges": "narrow", "logLevel": "debug", "resources": {"cpuLimit": "2"},
        },
        "monitoring": {"podMonitor": true, "prometheusRule": true, "dashboards": true},
    }))?;
    let rendered = rendered.map_err(anyhow::Error::msg)?;
    assert_eq!(
        kinds(&rendered),
        [
            "Certificate",
            "ConfigMap",
            "ConfigMap",
            "Deployment",
            "MutatingWebhookConfiguration",
            "NetworkPolicy",
            "PodMonitor",
            "PodMonitor",
            "PrometheusRule",
            "Service",
            "ServiceAccount",
        ]
    );
    let options = weir_line(of_kind(&rendered, "Deployment")?)?;
    assert_eq!(
        options.image(),
        format!("ghcr.io/weir-project/weir@sha256:{}", "0".repeat(64))
    );
    assert_eq!(
        (
            options.config.as_deref(),
            options.roots.as_deref(),
            options.log_level.as_deref()
        ),
        (Some("weir"), Some("corp"), Some("debug"))
    );
    assert_eq!(options.resources.cpu_limit.as_deref(), Some("2"));
    let webhooks = &of_kind(&rendered, "MutatingWebhookConfiguration")?["webhooks"];
    assert_eq!(webhooks[1]["failurePolicy"], "Ignore");
    for board in rendered
        .iter()
        .filter(|document| document["kind"] == "ConfigMap")
    {
        let data = board["data"].as_object().context("data")?;
        for (name, text) in data {
            let file = path("../deploy/dashboards").join(name);
            let original: Value = serde_json::from_slice(&fs::read(file)?)?;
            let rendered: Value = serde_json::from_str(text.as_str().context("text")?)?;
            assert_eq!(rendered, original);
        }
    }
    Ok(())
}

#[test]
fn values_that_are_not_known_are_refused() -> Result<()> {
    for (values, says) in [
        (json!({"replica": 3}), "replica"),
        (json!({"inject": {"sidecar": "none"}}), "/inject/sidecar"),
        (json!({"inject": {"port": 70000}}), "/inject/port"),
        (
            json!({"inject": {"resources": {"memoryLimit": "much"}}}),
            "/inject/resources/memoryLimit",
        ),
        (
            json!({"webhook": {"failurePolicy": "Maybe"}}),
            "/webhook/failurePolicy",
        ),
    ] {
        let Chart { problems, rendered } = helm(&values)?;
        let refused = rendered.err().with_context(|| values.to_string())?;
        assert!(refused.contains(says), "{refused}");
        assert!(!problems.is_empty());
    }
    Ok(())
}
