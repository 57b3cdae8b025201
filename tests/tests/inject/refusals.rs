//! What weir cannot work with is refused, by field and with the remedy.

use serde_json::{Value, json};
use weir::inject::options::{Image, Options, Sidecar};
use weir::inject::stream::StreamError;

use crate::manifests::{inject, try_injected};

fn refused(spec: Value, annotations: Value) -> Vec<String> {
    match try_injected(spec, annotations) {
        Err(StreamError::Refused(lines)) => lines.iter().map(ToString::to_string).collect(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn with(more: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": "a"}]});
    let more = more.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(more);
    spec
}

#[test]
fn each_field_that_cannot_work_is_named_with_what_to_do() {
    let container = |more: Value| {
        let mut container = json!({"name": "app", "image": "a"});
        let more = more.as_object().expect("an object").clone();
        container.as_object_mut().expect("an object").extend(more);
        json!({"containers": [container]})
    };
    let mesh = json!({"initContainers": [{"name": "istio-proxy", "image": "a"}]});
    for (spec, path, says) in [
        (
            with(json!({"hostNetwork": true})),
            "spec.hostNetwork",
            "a network of its own",
        ),
        (
            with(json!({"hostPID": true})),
            "spec.hostPID",
            "leave it out",
        ),
        (
            with(json!({"hostUsers": false})),
            "spec.hostUsers",
            "leave it out",
        ),
        (
            with(json!({"os": {"name": "windows"}})),
            "spec.os.name",
            "Linux",
        ),
        (
            with(json!({"nodeSelector": {"kubernetes.io/os": "windows"}})),
            "spec.nodeSelector[kubernetes.io/os]",
            "Linux",
        ),
        (
            with(json!({"ephemeralContainers": [{"name": "debug"}]})),
            "spec.ephemeralContainers",
            "inject what made it",
        ),
        (
            with(json!({"securityContext": {"runAsUser": 1337}})),
            "spec.securityContext.runAsUser",
            "weir.dev/proxy-uid",
        ),
        (
            container(json!({"securityContext": {"runAsUser": 1337}})),
            "spec.containers[app].securityContext.runAsUser",
            "weir.dev/proxy-uid",
        ),
        (
            container(json!({"ports": [{"containerPort": 15016}]})),
            "spec.containers[app].ports[15016]",
            "weir.dev/port",
        ),
        (
            container(json!({"ports": [{"containerPort": 15020}]})),
            "spec.containers[app].ports[15020]",
            "weir.dev/admin-port",
        ),
        (
            container(json!({"volumeMounts": [{"name": "v", "mountPath": "/etc/weir/trust/"}]})),
            "spec.containers[app].volumeMounts[/etc/weir/trust/]",
            "move yours",
        ),
        (
            container(json!({"env": {"A": "b"}})),
            "spec.containers[app].env",
            "a list",
        ),
        (
            container(json!({"name": ""})),
            "spec.containers[].name",
            "a name",
        ),
        (
            with(json!({"volumes": ["v"]})),
            "spec.volumes",
            "a list of objects",
        ),
        (with(mesh), "spec.containers[istio-proxy]", "weir.dev/port"),
    ] {
        let lines = refused(spec.clone(), json!({}));
        let begins = format!("document 1, Pod pod: {path}: ");
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with(&begins) && line.contains(says)),
            "{spec}\n{lines:#?}"
        );
    }
}

#[test]
fn all_of_them_are_said_at_once() {
    let lines = refused(
        with(json!({"hostNetwork": true, "hostPID": true})),
        json!({"weir.dev/por": "1"}),
    );
    // Annotations first, because the rest depends on them.
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let lines = refused(
        with(json!({"hostNetwork": true, "hostPID": true})),
        json!({}),
    );
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn annotations_are_known_and_say_what_they_can() {
    for (annotation, value, says) in [
        (
            "weir.dev/confg",
            json!("weir"),
            "not an annotation of weir's: there are image, config",
        ),
        (
            "weir.dev/config",
            json!("No Name"),
            "not the name of an object",
        ),
        (
            "weir.dev/on-proxy-down",
            json!("half"),
            "expected closed or open",
        ),
        (
            "weir.dev/sidecar",
            json!("none"),
            "expected native or classic",
        ),
        (
            "weir.dev/init-privileges",
            json!("most"),
            "expected full or narrow",
        ),
        ("weir.dev/port", json!("70000"), "expected a number above 0"),
        (
            "weir.dev/proxy-uid",
            json!("0"),
            "expected a number above 0",
        ),
        ("weir.dev/admin-port", json!(15120), "put it in quotes"),
        ("weir.dev/log-level", json!("loud"), "expected off, error"),
        ("weir.dev/memory-limit", json!("much"), "no quantity"),
        (
            "weir.dev/image",
            json!("two words"),
            "not the name of an image",
        ),
    ] {
        let lines = refused(with(json!({})), json!({annotation: value}));
        let begins = format!("document 1, Pod pod: metadata.annotations[{annotation}]: ");
        assert!(
            lines.len() == 1 && lines[0].starts_with(&begins) && lines[0].contains(says),
            "{lines:#?}"
        );
    }
    for (first, admin, says) in [
        ("15010", "15020", "cannot be on port 15020"),
        ("65530", "15020", "no first of 16 ports"),
    ] {
        let annotations = json!({"weir.dev/port": first, "weir.dev/admin-port": admin});
        let lines = refused(with(json!({})), annotations);
        assert!(lines[0].contains(says), "{lines:#?}");
    }
    let annotations = json!({"weir.dev/untouched-containers": "app, other"});
    let lines = refused(with(json!({})), annotations);
    assert!(
        lines[0].contains("there is no container other"),
        "{lines:#?}"
    );
}

#[test]
fn what_was_chosen_elsewhere_makes_room() {
    let beside_istio = json!({
        "weir.dev/port": "15201", "weir.dev/admin-port": "15220", "weir.dev/proxy-uid": "1338",
    });
    let spec = with(json!({
        "initContainers": [{"name": "istio-proxy", "image": "i", "securityContext": {"runAsUser": 1337}}],
        "securityContext": {"runAsUser": 1337},
    }));
    let (text, _) = try_injected(spec, beside_istio).expect("there is room");
    // Envoy's own connections would come back to weir.
    assert!(text.contains("\"--exempt-uid=1337\""), "{text}");
    let linkerd = with(json!({"initContainers": [
        {"name": "linkerd-proxy", "image": "l", "securityContext": {"runAsUser": 2103}},
    ]}));
    let (text, _) = try_injected(linkerd, json!({})).expect("there is room");
    assert!(text.contains("\"--exempt-uid=2103\""), "{text}");
}

#[test]
fn a_classic_sidecar_is_refused_where_the_pod_is_to_end() {
    let classic = Options {
        sidecar: Sidecar::Classic,
        ..Options::default()
    };
    let pod = |policy: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
               "spec": {"restartPolicy": policy, "containers": [{"name": "app", "image": "a"}]}})
        .to_string()
    };
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                     "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a"}]}}}})
    .to_string();
    assert!(inject(&pod("Always"), &classic).is_ok());
    for refused in [pod("Never"), pod("OnFailure"), job] {
        let error = inject(&refused, &classic)
            .expect_err("it would never end")
            .to_string();
        assert!(error.contains("sidecar: native"), "{error}");
        assert!(inject(&refused, &Options::default()).is_ok());
    }
}

#[test]
fn a_fixed_image_is_not_the_pods_to_choose() {
    let fixed = Options {
        image: Image::Fixed("registry.example/weir:1".into()),
        ..Options::default()
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
                     "metadata": {"name": "p", "annotations": {"weir.dev/image": "evil:1"}},
                     "spec": {"containers": [{"name": "app", "image": "a"}]}})
    .to_string();
    let error = inject(&pod, &fixed).expect_err("refused").to_string();
    assert!(
        error.contains("runs registry.example/weir:1 and no other image"),
        "{error}"
    );
    assert!(inject(&pod, &Options::default()).is_ok());
}
