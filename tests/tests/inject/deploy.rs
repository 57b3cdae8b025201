//! `deploy/`: every file is loaded, and says what weir says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir::config::Config;
use weir::export::prometheus::Metrics;
use weir::inject::options::Options;
use weir::inject::webhook::configuration;
use weir::meter::reason::Reason;
use weir_common::FlowReason;

use crate::manifests::{documents, inject};
use crate::webhook::metrics_of_a_webhook;

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Files below a directory with this extension; links are somebody else's.
fn below(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.extend(below(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Manifests that are Kubernetes' to read as they are.
fn manifests() -> Result<Vec<(PathBuf, Value)>> {
    let mut found = Vec::new();
    for directory in ["base", "overlays", "examples"] {
        for path in below(&deploy().join(directory), "yaml")? {
            if path.file_name().is_some_and(|name| name == "weir.yaml") {
                continue;
            }
            for document in documents(&read(&path)?) {
                found.push((path.clone(), document));
            }
        }
    }
    ensure!(!found.is_empty());
    Ok(found)
}

/// Whether the types of Kubernetes know every field.
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> Result<()> {
    let typed: T = serde_json::from_value(document.clone())?;
    ensure!(serde_json::to_value(&typed)? == *document, "{document:#}");
    Ok(())
}

fn check(document: &Value) -> Result<()> {
    match document["kind"].as_str().context("a kind")? {
        "Namespace" => typed::<Namespace>(document),
        "ServiceAccount" => typed::<ServiceAccount>(document),
        "Deployment" => typed::<Deployment>(document),
        "Service" => typed::<Service>(document),
        "ConfigMap" => typed::<ConfigMap>(document),
        "NetworkPolicy" => typed::<NetworkPolicy>(document),
        "PodDisruptionBudget" => typed::<PodDisruptionBudget>(document),
        "MutatingWebhookConfiguration" => typed::<MutatingWebhookConfiguration>(document),
        // Not Kubernetes' own: other tests look into them.
        "Kustomization" | "Issuer" | "Certificate" | "PodMonitor" | "PrometheusRule" => Ok(()),
        other => bail!("a kind that nothing looks at: {other}"),
    }
}

#[test]
fn kubernetes_types_know_every_field_of_the_manifests() -> Result<()> {
    for (path, document) in manifests()? {
        check(&document).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[test]
fn kustomizations_name_the_files_beside_them() -> Result<()> {
    let all = below(&deploy(), "yaml")?;
    let kustomizations = all
        .iter()
        .filter(|path| path.ends_with("kustomization.yaml"));
    let mut count = 0;
    for path in kustomizations {
        count += 1;
        let directory = path.parent().context("a directory")?;
        let document = documents(&read(path)?).swap_remove(0);
        let named: BTreeSet<PathBuf> = document["resources"]
            .as_array()
            .context("resources")?
            .iter()
            .map(|name| directory.join(name.as_str().unwrap_or_default()))
            .collect();
        for file in &named {
            ensure!(file.exists(), "{}: {}", path.display(), file.display());
        }
        for file in below(directory, "yaml")? {
            ensure!(
                file == *path || named.contains(&file),
                "{} is not named",
                file.display()
            );
        }
    }
    assert_eq!(count, 4);
    Ok(())
}

/// The webhook's container in a Deployment, as weir and the Service see it.
pub(crate) fn assert_webhook(deployment: &Value, service: &Value) -> Result<()> {
    let pod = &deployment["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let image = format!("ghcr.io/weir-project/weir:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"], json!(image));
    let arguments = container["args"].as_array().context("arguments")?;
    assert!(arguments.contains(&json!(format!("--image={image}"))));
    let line = arguments.iter().filter_map(Value::as_str);
    let command = weir::cli::Cli::try_parse_from(std::iter::once("weir").chain(line))?.command;
    let weir::cli::Command::Inject(args) = command else {
        bail!("it runs something else");
    };
    let Some(weir::cli::InjectCommand::Serve(serve)) = args.command else {
        bail!("it serves nothing");
    };
    let port = |name: &str| {
        let ports = container["ports"].as_array()?;
        ports.iter().find(|port| port["name"] == name)?["containerPort"].as_u64()
    };
    assert_eq!(port("webhook"), Some(serve.listen.port().into()));
    assert_eq!(port("weir-admin"), Some(serve.admin.port().into()));
    let mount = &container["volumeMounts"][0]["mountPath"];
    let mount = Path::new(mount.as_str().context("a mount")?);
    assert_eq!(serve.certificate.parent(), Some(mount));
    assert_eq!(serve.key.parent(), Some(mount));
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "webhook");
    assert_eq!(
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    // It is not asked about itself.
    assert_eq!(pod["metadata"]["labels"]["weir.dev/inject"], "disabled");
    Ok(())
}

#[test]
fn the_webhook_runs_what_weir_understands() -> Result<()> {
    let [deployment, service] = ["deployment", "service"].map(|name| {
        read(&deploy().join(format!("base/{name}.yaml")))
            .map(|text| documents(&text).swap_remove(0))
    });
    assert_webhook(&deployment?, &service?)
}

#[test]
fn cert_managers_configuration_is_ours_but_for_the_ca() -> Result<()> {
    let text = read(&deploy().join("overlays/cert-manager/webhook.yaml"))?;
    let mut theirs = documents(&text).swap_remove(0);
    assert_same_webhooks(&mut theirs)
}

/// What `weir inject certificate` would write, with the CA left to cert-manager.
pub(crate) fn assert_same_webhooks(theirs: &mut Value) -> Result<()> {
    let annotations = theirs["metadata"]["annotations"].take();
    assert_eq!(
        annotations,
        json!({"cert-manager.io/inject-ca-from": "weir-system/weir-webhook"})
    );
    let mut ours = configuration("weir-webhook", "weir-system", "Fail", "");
    for webhook in ours["webhooks"].as_array_mut().context("webhooks")? {
        let client = webhook["clientConfig"].as_object_mut();
        client.context("a client")?.remove("caBundle");
    }
    assert_eq!(theirs["webhooks"], ours["webhooks"]);
    Ok(())
}

#[test]
fn the_examples_work_together() -> Result<()> {
    let config = read(&deploy().join("examples/configmap.yaml"))?;
    let config = documents(&config).swap_remove(0);
    Config::parse(config["data"]["weir.yaml"].as_str().context("weir.yaml")?)?;
    let outcome = inject(
        &read(&deploy().join("examples/deployment.yaml"))?,
        &Options::default(),
    )?;
    assert_eq!((outcome.templates, outcome.notes), (1, Vec::new()));
    let injected = documents(&outcome.text).swap_remove(0);
    let volumes = &injected["spec"]["template"]["spec"]["volumes"];
    let volumes = volumes.as_array().context("volumes")?;
    assert!(volumes.contains(&json!({
        "name": "weir-config", "configMap": {"name": config["metadata"]["name"]},
    })));
    Ok(())
}

#[test]
fn monitors_and_policies_select_what_an_injection_leaves() -> Result<()> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                     "spec": {"containers": [{"name": "app", "image": "a"}]}});
    let outcome = inject(&pod.to_string(), &Options::default())?;
    let pod = documents(&outcome.text).swap_remove(0);
    let labels = json!({"weir.dev/injected": "true"});
    assert_eq!(pod["metadata"]["labels"], labels);
    let port = &pod["spec"]["initContainers"][1]["ports"][0];
    let mut selected = 0;
    for (_, document) in manifests()? {
        let selector = match document["kind"].as_str() {
            Some("PodMonitor") => &document["spec"]["selector"],
            Some("NetworkPolicy") => &document["spec"]["podSelector"],
            _ => continue,
        };
        if selector["matchLabels"] != labels {
            continue;
        }
        selected += 1;
        let endpoint = &document["spec"]["podMetricsEndpoints"][0]["port"];
        assert!(endpoint.is_null() || *endpoint == port["name"]);
    }
    assert_eq!(selected, 3);
    Ok(())
}

/// The labels of each metric that weir or its webhook exports, by name; those a
/// scrape adds besides.
async fn exported() -> Result<BTreeMap<String, BTreeSet<String>>> {
    const OF_A_SCRAPE: [&str; 3] = ["namespace", "pod", "workload"];
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for family in Metrics::new().families() {
        let labels: BTreeSet<String> = family.labels.iter().cloned().collect();
        for suffix in ["", "_bucket", "_sum", "_count"] {
            let mut labels = labels.clone();
            labels.extend((suffix == "_bucket").then(|| "le".to_owned()));
            if family.is_histogram != suffix.is_empty() {
                names.insert(format!("{}{suffix}", family.name), labels);
            }
        }
    }
    for line in metrics_of_a_webhook().await?.lines() {
        if line.starts_with('#') {
            continue;
        }
        let (series, _value) = line.rsplit_once(' ').context("a value")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        names.entry(name.to_owned()).or_default().extend(labels);
    }
    for labels in names.values_mut() {
        labels.extend(OF_A_SCRAPE.map(str::to_owned));
    }
    Ok(names)
}

/// The metrics of a query, and the labels it mentions.
fn mentioned(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    const WORDS: [&str; 6] = ["by", "without", "on", "ignoring", "and", "or"];
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = query;
    let mut in_braces = false;
    let mut in_grouping = false;
    let mut grouping_next = false;
    while let Some(first) = rest.chars().next() {
        let is_word =
            |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':' || one == '$';
        if first == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |at| at + 2);
            rest = &rest[end..];
            continue;
        }
        if !is_word(first) {
            match first {
                '{' => in_braces = true,
                '}' => in_braces = false,
                '(' => in_grouping = grouping_next,
                ')' => in_grouping = false,
                _ => {}
            }
            grouping_next = grouping_next && first == ' ';
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|one| !is_word(one)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        grouping_next = word == "by";
        if word.starts_with(|one: char| one.is_ascii_digit() || one == '$') || WORDS.contains(&word)
        {
            continue;
        }
        if in_braces || in_grouping {
            labels.insert(word.to_owned());
        } else if !after.trim_start().starts_with('(')
            && !after.starts_with(" by ")
            && word.len() > 1
        {
            metrics.insert(word.to_owned());
        }
    }
    (metrics, labels)
}

#[test]
fn queries_are_read_as_they_are_meant() {
    let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let query = "sum by (namespace, le) (rate(a_b{c=~\"d{e}\", f!=\"\"}[$__rate_interval])) / min(g:h) - time() < 14 * 86400";
    assert_eq!(
        mentioned(query),
        (set(&["a_b", "g:h"]), set(&["namespace", "le", "c", "f"]))
    );
}

fn queries_of_rules() -> Result<Vec<(String, Option<String>)>> {
    let text = read(&deploy().join("overlays/monitoring/prometheusrule.yaml"))?;
    let document = documents(&text).swap_remove(0);
    let groups = document["spec"]["groups"].as_array().context("groups")?;
    let rules = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten();
    rules
        .map(|rule| {
            let query = rule["expr"].as_str().context("an expression")?.to_owned();
            Ok((query, rule["record"].as_str().map(str::to_owned)))
        })
        .collect()
}

fn queries_of_dashboards() -> Result<Vec<String>> {
    let mut queries = Vec::new();
    for path in below(&deploy().join("dashboards"), "json")? {
        let board: Value = serde_json::from_str(&read(&path)?)?;
        let variables = board["templating"]["list"]
            .as_array()
            .context("variables")?;
        for variable in variables
            .iter()
            .filter(|variable| variable["type"] == "query")
        {
            let query = variable["query"]["query"].as_str().context("a query")?;
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|query| query.rsplit_once(','));
            queries.push(inner.context("label_values")?.0.to_owned());
        }
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().context("panels")? {
            ensure!(
                ids.insert(panel["id"].as_u64()),
                "{}: {}",
                path.display(),
                panel["id"]
            );
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries.push(target["expr"].as_str().context("an expression")?.to_owned());
            }
        }
    }
    Ok(queries)
}

#[tokio::test]
async fn every_query_is_of_metrics_and_labels_that_are_exported() -> Result<()> {
    let exported = exported().await?;
    let rules = queries_of_rules()?;
    let recorded: BTreeSet<_> = rules
        .iter()
        .filter_map(|(_, record)| record.clone())
        .collect();
    let queries: Vec<String> = rules
        .into_iter()
        .map(|(query, _)| query)
        .chain(queries_of_dashboards()?)
        .collect();
    let mut used = BTreeSet::new();
    for query in &queries {
        let (metrics, labels) = mentioned(query);
        ensure!(!metrics.is_empty(), "{query}");
        for metric in metrics {
            if recorded.contains(&metric) {
                continue;
            }
            let known = exported
                .get(&metric)
                .with_context(|| format!("{metric} of {query}"))?;
            for label in &labels {
                ensure!(
                    known.contains(label),
                    "{metric} has no label {label}: {query}"
                );
            }
            used.insert(metric);
        }
    }
    // Money, tokens, latency, coverage and limits are all there.
    for metric in [
        "weir_cost_usd_total",
        "weir_tokens_total",
        "gen_ai_client_operation_duration_seconds_bucket",
        "weir_coverage_ratio",
        "weir_bound_hits_total",
        "weir_webhook_reviews_total",
    ] {
        ensure!(used.contains(metric), "{metric}");
    }
    Ok(())
}

/// The values that a query asks a label for, where it names them.
fn values<'a>(query: &'a str, label: &str) -> Vec<&'a str> {
    let matchers = query.match_indices(label).filter_map(|(at, _)| {
        let is_whole = query[..at].ends_with(['{', ' ', ',']);
        let value = query[at + label.len()..].trim_start_matches(['=', '!', '~']);
        let quoted = value.strip_prefix('"')?.split('"').next()?;
        is_whole.then_some(quoted)
    });
    matchers.flat_map(|quoted| quoted.split('|')).collect()
}

#[test]
fn values_are_read_as_they_are_meant() {
    let query = "rate(a{reason=~\"b|c\", no_reason=\"d\"}[5m]) by (reason) / e{reason=\"f\"}";
    assert_eq!(values(query, "reason"), ["b", "c", "f"]);
}

#[test]
fn every_query_is_for_reasons_that_there_are() -> Result<()> {
    let reasons: BTreeSet<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .chain(FlowReason::ALL.iter().map(|reason| reason.as_str()))
        .collect();
    let rules = queries_of_rules()?;
    let queries = rules.into_iter().map(|(query, _)| query);
    let mut asked = BTreeSet::new();
    for query in queries.chain(queries_of_dashboards()?) {
        for reason in values(&query, "reason") {
            ensure!(reasons.contains(reason), "there is no {reason}: {query}");
            asked.insert(reason.to_owned());
        }
    }
    ensure!(asked.contains("client_refused_certificate"), "{asked:?}");
    Ok(())
}
