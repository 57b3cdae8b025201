//! The object that tells an API server about the webhook.

use serde_json::{Value, json};

use super::INJECT;

/// Where a webhook is never asked, whatever labels say: so that the cluster, and
/// weir itself, can start without it.
const NEVER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Seconds an API server waits; a review takes a millisecond, and whoever makes
/// a pod waits as well.
const TIMEOUT_SECONDS: u32 = 5;

/// The `MutatingWebhookConfiguration` of the webhook behind the `Service`
/// `namespace`/`name`, which is trusted by `ca_bundle`, PEM in base64.
///
/// Two webhooks, because labels of the namespace and of the pod cannot be joined
/// by "or" in one: all pods of namespaces that are enabled but those that
/// decline, and pods that ask themselves in namespaces that say nothing.
#[must_use]
pub fn configuration(name: &str, namespace: &str, failure_policy: &str, ca_bundle: &str) -> Value {
    let webhook = |which: &str, namespaces: Value, pods: Value| {
        json!({
            "name": format!("{which}.weir.dev"),
            "admissionReviewVersions": ["v1", "v1beta1"],
            "sideEffects": "None",
            "failurePolicy": failure_policy,
            "matchPolicy": "Equivalent",
            // Again after other webhooks that change the pod: they may add containers.
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "rules": [{
                "operations": ["CREATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }],
            "clientConfig": {
                "service": {"name": name, "namespace": namespace, "path": "/inject", "port": 443},
                "caBundle": ca_bundle,
            },
            "namespaceSelector": {"matchExpressions": namespaces},
            "objectSelector": {"matchExpressions": pods},
        })
    };
    let never: Vec<&str> = NEVER.into_iter().chain([namespace]).collect();
    let elsewhere = json!({
        "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": never,
    });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "weir"}},
        "webhooks": [
            webhook(
                "namespace",
                json!([{"key": INJECT, "operator": "In", "values": ["enabled"]}, elsewhere]),
                json!([{"key": INJECT, "operator": "NotIn", "values": ["disabled"]}]),
            ),
            webhook(
                "pod",
                json!([{"key": INJECT, "operator": "DoesNotExist"}, elsewhere]),
                json!([{"key": INJECT, "operator": "In", "values": ["enabled"]}]),
            ),
        ],
    })
}
