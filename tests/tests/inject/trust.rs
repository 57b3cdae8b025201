//! Application containers trust weir's CA, and lose nobody whom they trusted.

use serde_json::{Value, json};
use weir::tls::bundle::{Effect, VARIABLES};

use crate::manifests::{container, injected, variable};

const BUNDLE: &str = "/etc/weir/trust/bundle.pem";
const EXTRA: &str = "/etc/weir/trust/extra.pem";
const JAVA: &str = "'-Djavax.net.ssl.trustStore=/etc/weir/trust/truststore.jks' -Djavax.net.ssl.trustStoreType=JKS";

/// A container with one variable and a mount, and the pod's volumes.
fn with(entry: Value, mount: Value, volumes: Value) -> Value {
    json!({
        "containers": [{"name": "app", "image": "a", "env": [entry], "volumeMounts": [mount]}],
        "volumes": volumes,
    })
}

fn corp(source: Value) -> Value {
    let mut volume = json!({"name": "corp"});
    let source = source.as_object().expect("an object").clone();
    volume.as_object_mut().expect("an object").extend(source);
    json!([volume])
}

/// What the proxy is told to merge.
fn merged(pod: &Value) -> Vec<&str> {
    let arguments = container(&pod["spec"], "weir-proxy")["args"].as_array();
    arguments
        .expect("arguments")
        .iter()
        .filter_map(|argument| argument.as_str()?.strip_prefix("--also-trust="))
        .collect()
}

#[test]
fn every_container_gets_each_variable_of_the_table_and_the_mount() {
    let spec = json!({
        "initContainers": [{"name": "early", "image": "a"}],
        "containers": [{"name": "app", "image": "a"}, {"name": "other", "image": "b"}],
    });
    let (pod, notes) = injected(spec, json!({}));
    assert_eq!(notes, [""; 0]);
    for name in ["early", "app", "other"] {
        let container = container(&pod["spec"], name);
        for (name, effect) in VARIABLES {
            let expected = match effect {
                Effect::Replaces => Some(BUNDLE),
                Effect::ReplacesIfSet => None,
                Effect::Adds => Some(EXTRA),
            };
            assert_eq!(variable(container, name), expected, "{name}");
        }
        assert_eq!(variable(container, "JAVA_TOOL_OPTIONS"), Some(JAVA));
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "weir-trust", "mountPath": "/etc/weir/trust", "readOnly": true}])
        );
    }
}

#[test]
fn a_users_file_in_a_volume_is_merged_by_the_proxy() {
    let config_map = json!({"configMap": {"name": "roots"}});
    let plain = json!({"name": "corp", "mountPath": "/etc/corp"});
    for (variable_name, value, mount, source, expected, file) in [
        (
            "SSL_CERT_FILE",
            "/etc/corp/ca.pem",
            plain.clone(),
            config_map.clone(),
            BUNDLE,
            "/roots/0/ca.pem",
        ),
        (
            "NODE_EXTRA_CA_CERTS",
            "/etc/corp/d/ca.pem",
            plain.clone(),
            config_map.clone(),
            EXTRA,
            "/roots/0/d/ca.pem",
        ),
        // Only known where it is in use.
        (
            "NIX_SSL_CERT_FILE",
            "/etc/corp/ca.pem",
            plain.clone(),
            config_map.clone(),
            BUNDLE,
            "/roots/0/ca.pem",
        ),
        (
            "REQUESTS_CA_BUNDLE",
            "/corp.pem",
            json!({"name": "corp", "mountPath": "/corp.pem", "subPath": "ca.pem"}),
            json!({"secret": {"secretName": "roots", "defaultMode": 0o444}}),
            BUNDLE,
            "/roots/0",
        ),
        (
            "CURL_CA_BUNDLE",
            "/etc/corp/ca.pem",
            plain.clone(),
            json!({"hostPath": {"path": "/etc/pki"}}),
            BUNDLE,
            "/roots/0/ca.pem",
        ),
    ] {
        let spec = with(
            json!({"name": variable_name, "value": value}),
            mount.clone(),
            corp(source),
        );
        let (pod, notes) = injected(spec, json!({}));
        assert_eq!(notes, [""; 0], "{variable_name}");
        let app = container(&pod["spec"], "app");
        assert_eq!(
            variable(app, variable_name),
            Some(expected),
            "{variable_name}"
        );
        assert_eq!(merged(&pod), [file], "{variable_name}");
        let mounts = &container(&pod["spec"], "weir-proxy")["volumeMounts"];
        let ours = mounts
            .as_array()
            .expect("mounts")
            .iter()
            .find(|it| it["name"] == "corp");
        let ours = ours.expect("the user's volume");
        assert_eq!(ours["mountPath"], "/roots/0");
        assert_eq!(ours["readOnly"], true);
        assert_eq!(ours["subPath"], mount["subPath"]);
    }
}

#[test]
fn several_variables_of_one_volume_are_one_mount() {
    let spec = json!({
        "containers": [
            {"name": "app", "image": "a",
             "env": [{"name": "SSL_CERT_FILE", "value": "/c/a.pem"}, {"name": "PIP_CERT", "value": "/c/a.pem"},
                     {"name": "DENO_CERT", "value": "/c/b.pem"}],
             "volumeMounts": [{"name": "corp", "mountPath": "/c"}]},
            {"name": "other", "image": "b", "env": [{"name": "SSL_CERT_FILE", "value": "/d/a.pem"}],
             "volumeMounts": [{"name": "corp", "mountPath": "/d"}, {"name": "x", "mountPath": "/"}]},
        ],
        "volumes": [{"name": "corp", "configMap": {"name": "roots"}}, {"name": "x", "emptyDir": {}}],
    });
    let (pod, notes) = injected(spec, json!({"weir.dev/roots": "more"}));
    assert_eq!(notes, [""; 0]);
    assert_eq!(
        merged(&pod),
        ["/roots/weir", "/roots/0/a.pem", "/roots/0/b.pem"]
    );
    let mounts = container(&pod["spec"], "weir-proxy")["volumeMounts"]
        .as_array()
        .expect("mounts");
    let of_roots: Vec<_> = mounts
        .iter()
        .filter(|mount| {
            mount["mountPath"]
                .as_str()
                .is_some_and(|path| path.starts_with("/roots"))
        })
        .map(|mount| (mount["name"].as_str(), mount["mountPath"].as_str()))
        .collect();
    assert_eq!(
        of_roots,
        [
            (Some("weir-roots"), Some("/roots/weir")),
            (Some("corp"), Some("/roots/0"))
        ]
    );
}

#[test]
fn what_cannot_be_read_from_outside_stays_and_is_said() {
    let nowhere = json!({"name": "other", "mountPath": "/elsewhere"});
    let here = json!({"name": "corp", "mountPath": "/c"});
    let secret = json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    for (more, mount, source, says) in [
        (
            json!({"value": "/opt/certifi/cacert.pem"}),
            nowhere.clone(),
            json!({}),
            "is in the image",
        ),
        (secret.clone(), nowhere.clone(), json!({}), "cannot be seen"),
        (
            json!({"value": "$(HOME)/ca.pem"}),
            nowhere.clone(),
            json!({}),
            "plain path",
        ),
        (
            json!({"value": "ca.pem"}),
            nowhere.clone(),
            json!({}),
            "plain path",
        ),
        (
            json!({"value": "/c/../ca.pem"}),
            here.clone(),
            json!({"configMap": {"name": "r"}}),
            "plain path",
        ),
        (
            json!({"value": "/c/ca.pem"}),
            here.clone(),
            json!({"emptyDir": {}}),
            "has filled it",
        ),
        (
            json!({"value": "/c/ca.pem"}),
            here.clone(),
            json!({"secret": {"secretName": "r", "defaultMode": 0o400}}),
            "mode 0400",
        ),
        (
            json!({"value": "/c/ca.pem"}),
            json!({"name": "corp", "mountPath": "/c", "subPathExpr": "$(POD)"}),
            json!({"configMap": {"name": "r"}}),
            "subPathExpr",
        ),
    ] {
        let mut entry = json!({"name": "SSL_CERT_FILE"});
        let more = more.as_object().expect("an object").clone();
        entry.as_object_mut().expect("an object").extend(more);
        let (pod, notes) = injected(with(entry.clone(), mount, corp(source)), json!({}));
        assert_eq!(container(&pod["spec"], "app")["env"][0], entry);
        assert_eq!(notes.len(), 1, "{notes:#?}");
        assert!(
            notes[0].starts_with("document 1, Pod pod: spec.containers[app].env[SSL_CERT_FILE]: ")
                && notes[0].contains(says)
                && notes[0].contains("weir.dev/roots"),
            "{notes:#?}"
        );
        assert_eq!(merged(&pod), [""; 0]);
    }
}

#[test]
fn a_group_of_the_pods_files_lets_the_proxy_read_them() {
    let mut spec = with(
        json!({"name": "SSL_CERT_FILE", "value": "/c/ca.pem"}),
        json!({"name": "corp", "mountPath": "/c"}),
        corp(json!({"secret": {"secretName": "r", "defaultMode": 0o440}})),
    );
    spec["securityContext"] = json!({"fsGroup": 2000});
    let (pod, notes) = injected(spec, json!({}));
    assert_eq!(notes, [""; 0]);
    assert_eq!(merged(&pod), ["/roots/0/ca.pem"]);
}

#[test]
fn the_images_own_system_roots_give_way_and_it_is_said() {
    let entry = json!({"name": "SSL_CERT_FILE", "value": "/etc/ssl/certs/ca-certificates.crt"});
    let mount = json!({"name": "corp", "mountPath": "/c"});
    let (pod, notes) = injected(with(entry, mount, corp(json!({"emptyDir": {}}))), json!({}));
    assert_eq!(
        variable(container(&pod["spec"], "app"), "SSL_CERT_FILE"),
        Some(BUNDLE)
    );
    assert!(
        notes.len() == 1 && notes[0].contains("gives way"),
        "{notes:#?}"
    );
}

#[test]
fn java_keeps_its_options_and_a_store_of_its_own() {
    let app = |env: Value| json!({"containers": [{"name": "app", "image": "a", "env": env}]});
    let set = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    for (env, expected, note) in [
        (
            set("JAVA_TOOL_OPTIONS", "-Xmx1g"),
            format!("-Xmx1g {JAVA}"),
            None,
        ),
        (set("JAVA_TOOL_OPTIONS", ""), JAVA.to_owned(), None),
        (
            set("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=/mine"),
            "-Djavax.net.ssl.trustStore=/mine".to_owned(),
            Some("take the option out"),
        ),
    ] {
        let (pod, notes) = injected(app(env), json!({}));
        let app = container(&pod["spec"], "app");
        assert_eq!(variable(app, "JAVA_TOOL_OPTIONS"), Some(expected.as_str()));
        assert_eq!(notes.len(), usize::from(note.is_some()), "{notes:#?}");
        assert!(
            note.is_none_or(|note| notes[0].contains(note)),
            "{notes:#?}"
        );
    }
    let env = set("JDK_JAVA_OPTIONS", "-Djavax.net.ssl.trustStore=/mine");
    let (pod, notes) = injected(app(env), json!({}));
    assert_eq!(
        variable(container(&pod["spec"], "app"), "JAVA_TOOL_OPTIONS"),
        None
    );
    assert_eq!(notes.len(), 1, "{notes:#?}");
    let env = json!([{"name": "JAVA_TOOL_OPTIONS", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]);
    let (pod, notes) = injected(app(env.clone()), json!({}));
    assert_eq!(container(&pod["spec"], "app")["env"][0], env[0]);
    assert!(notes.len() == 1 && notes[0].contains(JAVA), "{notes:#?}");
}

#[test]
fn variables_from_elsewhere_are_noticed() {
    let spec = json!({"containers": [
        {"name": "app", "image": "a", "envFrom": [{"secretRef": {"name": "s"}}]},
    ]});
    let (_, notes) = injected(spec, json!({}));
    assert!(
        notes.len() == 1 && notes[0].contains("spec.containers[app].envFrom: "),
        "{notes:#?}"
    );
}

#[test]
fn containers_that_are_named_and_those_of_meshes_are_left_alone() {
    let spec = json!({"containers": [
        {"name": "app", "image": "a"}, {"name": "vendor", "image": "v"}, {"name": "linkerd-proxy", "image": "l"},
    ]});
    let (pod, _) = injected(
        spec.clone(),
        json!({"weir.dev/untouched-containers": "vendor"}),
    );
    for (index, name) in ["vendor", "linkerd-proxy"].into_iter().enumerate() {
        assert_eq!(
            *container(&pod["spec"], name),
            spec["containers"][index + 1]
        );
    }
    assert_eq!(
        variable(container(&pod["spec"], "app"), "SSL_CERT_FILE"),
        Some(BUNDLE)
    );
}

#[test]
fn a_process_namespace_that_is_shared_is_worth_a_word() {
    let spec =
        json!({"shareProcessNamespace": true, "containers": [{"name": "app", "image": "a"}]});
    let (_, notes) = injected(spec, json!({}));
    assert!(
        notes.len() == 1 && notes[0].contains("spec.shareProcessNamespace: "),
        "{notes:#?}"
    );
}
