//! AdmissionReviews, generated and of the fixtures: each patched pod is valid,
//! is patched once, and is what the manifest would have become.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir::inject::options::{Image, Options, Sidecar};
use weir::inject::pod;
use weir::inject::review::{Verdict, review};
use weir::inject::workload::workloads;

use crate::manifests::{WITH_PODS, documents, fixture};
use crate::valid::assert_valid;

/// A question about `object`, as an API server of this version puts it.
pub(crate) fn question(version: &str, uid: &str, namespace: &str, object: &Value) -> Value {
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"),
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "",
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// Pods as controllers make them: with what API servers fill in, in every
/// combination of what weir looks at.
pub(crate) fn pods() -> Vec<Value> {
    let envs = [
        None,
        Some(json!([])),
        Some(json!([{"name": "SSL_CERT_FILE", "value": "/etc/corp/ca.pem"}])),
        Some(
            json!([{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}, {"name": "NODE_EXTRA_CA_CERTS", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]),
        ),
        Some(
            json!([{"name": "REQUESTS_CA_BUNDLE", "value": "/opt/certifi.pem"}, {"name": "DENO_CERT"}]),
        ),
    ];
    let volumes = [
        None,
        Some(json!([{"name": "corp", "configMap": {"name": "roots", "defaultMode": 420}}])),
        Some(
            json!([{"name": "corp", "projected": {"sources": [{"secret": {"name": "roots"}}], "defaultMode": 292}}]),
        ),
    ];
    let contexts = [
        None,
        Some(json!({"runAsUser": 1000, "runAsNonRoot": true, "fsGroup": 2000})),
    ];
    let mut pods = Vec::new();
    for env in &envs {
        for volumes in &volumes {
            for context in &contexts {
                for inits in 0..3 {
                    for metadata in [
                        json!({"generateName": "web-5d9c-"}),
                        json!({"name": "web", "annotations": {"a": "b"}}),
                    ] {
                        pods.push(pod(
                            env.as_ref(),
                            volumes.as_ref(),
                            context.as_ref(),
                            inits,
                            metadata,
                        ));
                    }
                }
            }
        }
    }
    pods
}

fn pod(
    env: Option<&Value>,
    volumes: Option<&Value>,
    context: Option<&Value>,
    inits: usize,
    metadata: Value,
) -> Value {
    let container = |name: String| {
        let mut container = json!({
            "name": name, "image": "registry.example/app:1", "imagePullPolicy": "IfNotPresent",
            "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        if let Some(env) = env {
            container["env"] = env.clone();
        }
        if volumes.is_some() {
            container["volumeMounts"] = json!([{"name": "corp", "mountPath": "/etc/corp"}]);
        }
        container
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "containers": [container("app".into()), container("other".into())],
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "serviceAccountName": "default", "enableServiceLinks": true, "priority": 0,
        },
        "status": {},
    });
    let spec = &mut pod["spec"];
    if inits > 0 {
        spec["initContainers"] = (0..inits)
            .map(|index| container(format!("init-{index}")))
            .collect();
    }
    if let Some(volumes) = volumes {
        spec["volumes"] = volumes.clone();
    }
    if let Some(context) = context {
        spec["securityContext"] = context.clone();
    }
    pod
}

/// Every pod template of the fixtures, as a pod.
fn pods_of_fixtures() -> Vec<Value> {
    let mut pods = Vec::new();
    for name in WITH_PODS {
        for mut document in documents(&fixture(name)) {
            for workload in workloads(&mut document) {
                let mut pod = Value::Object(workload.template.clone());
                pod["apiVersion"] = "v1".into();
                pod["kind"] = "Pod".into();
                pods.push(pod);
            }
        }
    }
    pods
}

fn fixed(sidecar: Sidecar) -> Options {
    Options {
        image: Image::Fixed("registry.example/weir:1".into()),
        sidecar,
        ..Options::default()
    }
}

/// Asks, checks the form of the answer, and gives the pod as it is from then on.
fn ask(version: &str, object: &Value, options: &Options) -> Result<(Verdict, Value, Value)> {
    let body = question(version, "705ab4f5", "shop", object).to_string();
    let reviewed = review(body.as_bytes(), Some("weir-system"), options)?;
    let answer = serde_json::to_value(&reviewed.answer)?;
    assert_eq!(answer["apiVersion"], format!("admission.k8s.io/{version}"));
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "705ab4f5");
    let mut patched = object.clone();
    if let Some(patch) = answer["response"]["patch"].as_str() {
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch)?)?;
        json_patch::patch(&mut patched, &patch)?;
    }
    Ok((reviewed.verdict, patched, answer["response"].clone()))
}

#[test]
fn a_patched_pod_is_valid_and_patched_once() -> Result<()> {
    let mut reviews = 0;
    let all = [pods(), pods_of_fixtures()].concat();
    for (index, object) in all.iter().enumerate() {
        for (version, sidecar) in [("v1", Sidecar::Native), ("v1beta1", Sidecar::Classic)] {
            let ends = object["spec"]["restartPolicy"]
                .as_str()
                .is_some_and(|policy| policy != "Always");
            if sidecar == Sidecar::Classic && ends {
                continue;
            }
            let options = fixed(sidecar);
            let (verdict, patched, response) = ask(version, object, &options)?;
            assert_eq!(verdict, Verdict::Injected, "{object}");
            assert_eq!(response["allowed"], true);
            assert_valid(&patched).with_context(|| format!("pod {index}"))?;

            let (verdict, again, response) = ask(version, &patched, &options)?;
            assert_eq!((verdict, &again), (Verdict::Unchanged, &patched));
            assert_eq!(response.get("patch"), None);

            let mut undone = patched;
            pod::remove(undone.as_object_mut().context("an object")?);
            assert_eq!(undone, *object);
            reviews += 2;
        }
    }
    assert!(reviews >= 200, "{reviews}");
    Ok(())
}

#[test]
fn another_webhooks_container_is_seen_when_asked_again() -> Result<()> {
    let options = fixed(Sidecar::Native);
    let (_, mut patched, _) = ask("v1", &pods()[0], &options)?;
    let list = patched["spec"]["containers"]
        .as_array_mut()
        .context("containers")?;
    list.push(json!({"name": "added", "image": "b"}));
    let (verdict, patched, _) = ask("v1", &patched, &options)?;
    assert_eq!(verdict, Verdict::Injected);
    assert_valid(&patched)?;
    let added = &patched["spec"]["containers"][2];
    assert_eq!(added["volumeMounts"][0]["name"], "weir-trust");
    Ok(())
}

#[test]
fn who_is_not_to_be_injected_is_not() -> Result<()> {
    let options = fixed(Sidecar::Native);
    let plain = pods().swap_remove(0);
    let labelled = |choice: &str| {
        let mut pod = plain.clone();
        pod["metadata"]["labels"] = json!({"weir.dev/inject": choice});
        pod
    };
    let deployment = documents(&fixture("deployment.yaml")).swap_remove(0);
    for (namespace, operation, object, verdict) in [
        ("kube-system", "CREATE", &plain, Verdict::SystemNamespace),
        (
            "kube-node-lease",
            "CREATE",
            &labelled("enabled"),
            Verdict::SystemNamespace,
        ),
        ("weir-system", "CREATE", &plain, Verdict::SystemNamespace),
        ("shop", "UPDATE", &plain, Verdict::NotAPod),
        ("shop", "DELETE", &Value::Null, Verdict::NotAPod),
        ("shop", "CREATE", &Value::Null, Verdict::NotAPod),
        ("shop", "CREATE", &deployment, Verdict::NotAPod),
        ("shop", "CREATE", &labelled("disabled"), Verdict::Disabled),
        ("shop", "CREATE", &labelled("enabled"), Verdict::Injected),
        ("shop", "CREATE", &plain, Verdict::Injected),
    ] {
        let mut body = question("v1", "1", namespace, object);
        body["request"]["operation"] = operation.into();
        let reviewed = review(body.to_string().as_bytes(), Some("weir-system"), &options)?;
        assert_eq!(reviewed.verdict, verdict, "{namespace} {operation}");
        let answer = serde_json::to_value(&reviewed.answer)?;
        assert_eq!(answer["response"]["allowed"], true);
        let patched = answer["response"].get("patch").is_some();
        assert_eq!(patched, verdict == Verdict::Injected);
    }
    Ok(())
}

#[test]
fn a_pod_that_asked_is_denied_what_its_namespace_asked_for_is_warned_about() -> Result<()> {
    let options = fixed(Sidecar::Native);
    let mut pod = pods().swap_remove(0);
    pod["spec"]["hostNetwork"] = true.into();
    let (verdict, unchanged, response) = ask("v1", &pod, &options)?;
    assert_eq!((verdict, &unchanged), (Verdict::Skipped, &pod));
    assert_eq!(response["allowed"], true);
    let warnings = response["warnings"].as_array().context("warnings")?;
    assert_eq!(
        warnings[0],
        "weir: this pod is not injected, and its calls are not metered"
    );
    assert!(
        warnings[1]
            .as_str()
            .is_some_and(|line| line.starts_with("weir: spec.hostNetwork: "))
    );

    pod["metadata"]["labels"] = json!({"weir.dev/inject": "enabled"});
    let (verdict, _, response) = ask("v1", &pod, &options)?;
    assert_eq!(verdict, Verdict::Denied);
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 422);
    let message = response["status"]["message"]
        .as_str()
        .context("a message")?;
    assert!(message.starts_with("weir: spec.hostNetwork: "), "{message}");
    Ok(())
}

#[test]
fn what_should_be_known_is_a_warning_that_an_api_server_takes() -> Result<()> {
    let mut pod = pods().swap_remove(0);
    pod["spec"]["containers"][0]["env"] = (0..40)
        .map(|index| json!({"name": "SSL_CERT_FILE", "value": format!("/opt/{index}/{}", "x".repeat(300))}))
        .chain([json!({"name": "REQUESTS_CA_BUNDLE", "value": "/opt/certifi.pem"})])
        .collect();
    let (verdict, _, response) = ask("v1", &pod, &fixed(Sidecar::Native))?;
    assert_eq!(verdict, Verdict::Injected);
    let warnings = response["warnings"].as_array().context("warnings")?;
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    for warning in warnings {
        let warning = warning.as_str().context("text")?;
        assert!(
            warning.starts_with("weir: ") && warning.chars().count() <= 240,
            "{warning}"
        );
    }
    Ok(())
}

#[test]
fn what_is_no_review_is_an_error() {
    let options = Options::default();
    for body in [
        "",
        "{}",
        "[]",
        "{\"apiVersion\": \"admission.k8s.io/v1\"}",
        "{\"apiVersion\": \"admission.k8s.io/v2\", \"request\": {\"uid\": \"1\"}}",
        "{\"apiVersion\": \"admission.k8s.io/v1\", \"request\": {}}",
    ] {
        assert!(review(body.as_bytes(), None, &options).is_err(), "{body}");
    }
}
