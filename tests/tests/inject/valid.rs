//! What comes out is what Kubernetes' own types say a pod is, and gives each
//! container what it needs and nothing else.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};
use weir::inject::options::{InitPrivileges, Options, Sidecar};
use weir::inject::workload::workloads;

use crate::manifests::{
    WITH_PODS, both_sidecars, container, containers, documents, fixture, inject, injected,
};

/// `metadata` and `spec`, without what is `null`.
fn template(value: &Value) -> Value {
    let mut template = json!({"metadata": value["metadata"], "spec": value["spec"]});
    drop_nulls(&mut template);
    template
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an API server would refuse, or drop in silence, in a pod.
pub(crate) fn assert_valid(pod: &Value) -> Result<()> {
    let template = template(pod);
    let typed: PodTemplateSpec = serde_json::from_value(template.clone())?;
    // A field that the types do not know would not come back.
    assert_eq!(serde_json::to_value(&typed)?, template);

    let spec = &template["spec"];
    let names: Vec<&str> = containers(spec)
        .map(|container| container["name"].as_str().context("a name"))
        .collect::<Result<_>>()?;
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    let volumes: Vec<&Value> = spec["volumes"]
        .as_array()
        .context("volumes")?
        .iter()
        .collect();
    let volume_names: BTreeSet<_> = volumes
        .iter()
        .map(|volume| volume["name"].as_str())
        .collect();
    assert_eq!(volume_names.len(), volumes.len());
    for container in containers(spec) {
        assert!(container["image"].is_string(), "{container}");
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let mut paths = BTreeSet::new();
        for mount in mounts {
            assert!(volume_names.contains(&mount["name"].as_str()), "{mount}");
            assert!(paths.insert(mount["mountPath"].as_str()), "{mount}");
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            assert!(entry["name"].as_str().is_some_and(|name| !name.is_empty()));
        }
        for port in container["ports"].as_array().into_iter().flatten() {
            let name = port["name"].as_str().unwrap_or("none");
            assert!(name.len() <= 15, "{name}");
        }
    }
    Ok(())
}

fn injected_templates(options: &Options) -> Result<Vec<(String, Value)>> {
    let mut templates = Vec::new();
    for name in WITH_PODS {
        if name == "kinds.yaml" && options.sidecar == Sidecar::Classic {
            continue;
        }
        for mut document in documents(&inject(&fixture(name), options)?.text) {
            for workload in workloads(&mut document) {
                let value = Value::Object(workload.template.clone());
                templates.push((workload.name, value));
            }
        }
    }
    Ok(templates)
}

#[test]
fn kubernetes_types_know_every_field() -> Result<()> {
    for options in both_sidecars() {
        for (name, template) in injected_templates(&options)? {
            // Duplicates of the user's own stay, and are no business of weir's.
            assert_valid(&template).with_context(|| name.clone())?;
            assert_eq!(
                template["metadata"]["labels"]["weir.dev/injected"], "true",
                "{name}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_secret_and_the_nodes_cgroups_are_out_of_the_applications_reach() -> Result<()> {
    for options in both_sidecars() {
        for (name, template) in injected_templates(&options)? {
            for container in containers(&template["spec"]) {
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                let mounts: Vec<(&str, bool)> = mounts
                    .filter_map(|mount| {
                        let volume = mount["name"].as_str()?;
                        Some((volume, mount["readOnly"] == true))
                    })
                    .filter(|(volume, _)| volume.starts_with("weir-"))
                    .collect();
                let expected: &[_] = match container["name"].as_str() {
                    Some("weir-init") => &[("weir-run", false), ("weir-cgroup", true)],
                    Some("weir-proxy") => &[("weir-run", true), ("weir-trust", false)],
                    // It is done before a classic sidecar is there.
                    Some("migrate") if options.sidecar == Sidecar::Classic => &[],
                    _ => &[("weir-trust", true)],
                };
                let configured = template["metadata"]["annotations"].get("weir.dev/config");
                if configured.is_none() {
                    assert_eq!(mounts, expected, "{name} {}", container["name"]);
                }
            }
            let volumes = template["spec"]["volumes"].as_array().context("volumes")?;
            let run = volumes.iter().find(|volume| volume["name"] == "weir-run");
            assert_eq!(run.context("its volume")?["emptyDir"]["medium"], "Memory");
        }
    }
    Ok(())
}

#[test]
fn the_proxy_has_no_privilege() {
    for context in [
        json!({}),
        json!({"runAsUser": 0, "runAsNonRoot": false, "runAsGroup": 0}),
    ] {
        let spec =
            json!({"securityContext": context, "containers": [{"name": "app", "image": "a"}]});
        let (pod, _) = injected(spec, json!({"weir.dev/proxy-uid": "4711"}));
        assert_eq!(
            container(&pod["spec"], "weir-proxy")["securityContext"],
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsGroup": 4711,
                "runAsNonRoot": true,
                "runAsUser": 4711,
                "seccompProfile": {"type": "RuntimeDefault"},
            })
        );
        let init = container(&pod["spec"], "weir-init");
        assert!(
            init["args"]
                .as_array()
                .is_some_and(|all| all.contains(&json!("--proxy-uid=4711")))
        );
    }
}

#[test]
fn the_init_container_has_what_was_chosen() -> Result<()> {
    let text = fixture("deployment.yaml");
    let spec = |options: &Options| -> Result<Value> {
        let document = documents(&inject(&text, options)?.text).swap_remove(0);
        Ok(document["spec"]["template"]["spec"].clone())
    };
    let full = spec(&Options::default())?;
    assert_eq!(
        container(&full, "weir-init")["securityContext"]["privileged"],
        true
    );
    let narrow = spec(&Options {
        init_privileges: InitPrivileges::Narrow,
        ..Options::default()
    })?;
    let context = &container(&narrow, "weir-init")["securityContext"];
    assert_eq!(context["privileged"], false);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(
        context["capabilities"]["add"],
        json!([
            "BPF",
            "NET_ADMIN",
            "PERFMON",
            "CHOWN",
            "SYS_RESOURCE",
            "SYS_ADMIN"
        ])
    );
    Ok(())
}

#[test]
fn a_native_sidecar_is_there_before_the_applications_own_init_containers() -> Result<()> {
    let document =
        documents(&inject(&fixture("deployment.yaml"), &Options::default())?.text).swap_remove(0);
    let spec = &document["spec"]["template"]["spec"];
    let names: Vec<_> = containers(spec).map(|one| one["name"].as_str()).collect();
    assert_eq!(
        names,
        ["weir-init", "weir-proxy", "migrate", "app"].map(Some)
    );
    let proxy = container(spec, "weir-proxy");
    assert_eq!(proxy["restartPolicy"], "Always");
    assert_eq!(proxy["startupProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container(spec, "weir-init").get("restartPolicy"), None);
    // The application's own probes are its own.
    assert_eq!(
        container(spec, "app")["readinessProbe"],
        json!({"httpGet": {"path": "/ready", "port": 8080}})
    );
    Ok(())
}

#[test]
fn a_classic_sidecar_holds_back_the_containers_after_it() -> Result<()> {
    let [_, classic] = both_sidecars();
    let document = documents(&inject(&fixture("deployment.yaml"), &classic)?.text).swap_remove(0);
    let template = &document["spec"]["template"];
    let spec = &template["spec"];
    let names: Vec<_> = containers(spec).map(|one| one["name"].as_str()).collect();
    assert_eq!(
        names,
        ["migrate", "weir-init", "weir-proxy", "app"].map(Some)
    );
    let proxy = container(spec, "weir-proxy");
    assert_eq!(proxy.get("restartPolicy"), None);
    assert_eq!(
        proxy["lifecycle"]["postStart"]["exec"]["command"][1],
        "wait"
    );
    // What runs before capturing begins is as it was.
    let original = documents(&fixture("deployment.yaml")).swap_remove(0);
    assert_eq!(
        container(spec, "migrate"),
        container(&original["spec"]["template"]["spec"], "migrate")
    );
    assert_eq!(
        template["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"],
        "app"
    );
    Ok(())
}

#[test]
fn what_was_chosen_reaches_both_containers() {
    let spec = json!({"containers": [{"name": "app", "image": "a"}]});
    let (pod, _) = injected(
        spec,
        json!({
            "weir.dev/image": "registry.example/weir:2", "weir.dev/config": "weir", "weir.dev/roots": "corp",
            "weir.dev/on-proxy-down": "open", "weir.dev/port": "16001", "weir.dev/admin-port": "16020",
            "weir.dev/log-level": "debug", "weir.dev/cpu-request": "100m", "weir.dev/memory-request": "64Mi",
            "weir.dev/cpu-limit": "2", "weir.dev/memory-limit": "1Gi",
        }),
    );
    let spec = &pod["spec"];
    let arguments = |name: &str| container(spec, name)["args"].clone();
    assert_eq!(
        arguments("weir-init"),
        json!([
            "init",
            "--cgroup=auto",
            "--state=/run/weir",
            "--port=16001",
            "--proxy-uid=1337",
            "--config=/etc/weir/config/weir.yaml",
            "--on-proxy-down=open",
        ])
    );
    assert_eq!(
        arguments("weir-proxy"),
        json!([
            "proxy",
            "--state=/run/weir",
            "--trust=/trust",
            "--admin=[::]:16020",
            "--drain-idle=0s",
            "--config=/etc/weir/config/weir.yaml",
            "--also-trust=/roots/weir",
        ])
    );
    let proxy = container(spec, "weir-proxy");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(proxy[probe]["httpGet"]["port"], 16020, "{probe}");
    }
    assert_eq!(
        proxy["resources"],
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    );
    let env = proxy["env"].as_array().expect("variables");
    assert!(env.contains(&json!({"name": "WEIR_LOG", "value": "debug"})));
    let volumes = spec["volumes"].as_array().expect("volumes");
    for (name, config_map) in [("weir-config", "weir"), ("weir-roots", "corp")] {
        assert!(volumes.contains(&json!({"name": name, "configMap": {"name": config_map}})));
    }
    for name in ["weir-init", "weir-proxy"] {
        assert_eq!(container(spec, name)["image"], "registry.example/weir:2");
    }
}

#[test]
fn the_arguments_are_those_that_weir_understands() -> Result<()> {
    use clap::Parser;
    let spec = json!({"containers": [
        {"name": "app", "image": "a", "env": [{"name": "SSL_CERT_FILE", "value": "/c/a.pem"}],
         "volumeMounts": [{"name": "corp", "mountPath": "/c"}]},
    ], "volumes": [{"name": "corp", "configMap": {"name": "r"}}]});
    let (pod, _) = injected(
        spec,
        json!({"weir.dev/config": "weir", "weir.dev/roots": "corp", "weir.dev/on-proxy-down": "open"}),
    );
    let parse = |words: &Value| -> Result<()> {
        let line = words
            .as_array()
            .context("words")?
            .iter()
            .filter_map(Value::as_str);
        weir::cli::Cli::try_parse_from(std::iter::once("weir").chain(line))?;
        Ok(())
    };
    for name in ["weir-init", "weir-proxy"] {
        parse(&container(&pod["spec"], name)["args"])?;
    }
    let [_, classic] = both_sidecars();
    let document = documents(&inject(&fixture("deployment.yaml"), &classic)?.text).swap_remove(0);
    let proxy = container(&document["spec"]["template"]["spec"], "weir-proxy");
    let hook = &proxy["lifecycle"]["postStart"]["exec"]["command"];
    assert_eq!(hook[0], "/weir");
    parse(&hook.as_array().context("words")?[1..].to_vec().into())?;
    Ok(())
}
