//! weir's two containers, and what they mount.

use serde_json::{Value, json};

use super::options::{InitPrivileges, Options, PORTS, Sidecar};
use super::trust::UserRoots;
use super::{
    CGROUP_VOLUME, CONFIG_VOLUME, INIT_CONTAINER, PROXY_CONTAINER, ROOTS_VOLUME, RUN_VOLUME,
    TRUST_VOLUME,
};

/// Where both containers find the secret's directory.
const RUN_MOUNT: &str = "/run/weir";
/// Where the proxy writes what applications are to trust.
const TRUST_WRITTEN: &str = "/trust";
/// Where both find the configuration.
const CONFIG_MOUNT: &str = "/etc/weir/config";
/// The key of the configuration's `ConfigMap`.
const CONFIG_KEY: &str = "weir.yaml";
/// Where the proxy finds more roots.
const ROOTS_MOUNT: &str = "/roots/weir";
/// The machine's cgroups, here and where `weir init` looks for them.
const CGROUPS: &str = "/sys/fs/cgroup";
const CGROUPS_MOUNT: &str = "/host/sys/fs/cgroup";

/// Loading and attaching takes the first five (CHOWN gives the secret to the
/// proxy's user, SYS_RESOURCE is for Linux before 5.11). The last one is for an
/// init container that runs again in a pod whose sandbox was made anew: the
/// programs are still attached then, and only SYS_ADMIN may replace them.
const INIT_CAPABILITIES: [&str; 6] = [
    "BPF",
    "NET_ADMIN",
    "PERFMON",
    "CHOWN",
    "SYS_RESOURCE",
    "SYS_ADMIN",
];

/// How long the proxy may take to prove that interception works, in seconds.
/// It takes less than one; a node that starts many pods at once is slower.
const START_SECONDS: u32 = 120;

/// The program in the image, for hooks, which know no entry point.
const PROGRAM: &str = "/weir";

/// The name of the port that metrics and health are on.
const ADMIN_PORT: &str = "weir-admin";

/// The init container; `exempt_uid` is the user of a service mesh's proxy.
pub(super) fn init(options: &Options, exempt_uid: Option<u64>) -> Value {
    let mut arguments = vec![
        "init".to_owned(),
        "--cgroup=auto".to_owned(),
        format!("--state={RUN_MOUNT}"),
        format!("--port={}", options.port),
        format!("--proxy-uid={}", options.proxy_uid),
    ];
    arguments.extend(exempt_uid.map(|uid| format!("--exempt-uid={uid}")));
    arguments.extend(config_argument(options));
    if let Some(on_proxy_down) = options.on_proxy_down {
        arguments.push(format!("--on-proxy-down={}", on_proxy_down.as_str()));
    }
    let mut mounts = vec![
        json!({"name": RUN_VOLUME, "mountPath": RUN_MOUNT}),
        json!({"name": CGROUP_VOLUME, "mountPath": CGROUPS_MOUNT, "readOnly": true}),
    ];
    mounts.extend(config_mount(options));
    let privileges = match options.init_privileges {
        // Not every runtime's profile lets a container with capabilities call
        // bpf(2), and SELinux lets only privileged ones.
        InitPrivileges::Full => json!({
            "privileged": true,
            "runAsUser": 0,
            "runAsNonRoot": false,
            "readOnlyRootFilesystem": true,
        }),
        InitPrivileges::Narrow => json!({
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "runAsUser": 0,
            "runAsNonRoot": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": INIT_CAPABILITIES},
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
    };
    json!({
        "name": INIT_CONTAINER,
        "image": options.image(),
        "args": arguments,
        // It is gone when the proxy runs, so that this adds nothing to the pod.
        "resources": {"requests": {
            "cpu": options.resources.cpu_request,
            "memory": options.resources.memory_request,
        }},
        "securityContext": privileges,
        // What it says when it fails is then in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    })
}

/// The sidecar.
pub(super) fn proxy(options: &Options, roots: &UserRoots) -> Value {
    let mut arguments = vec![
        "proxy".to_owned(),
        format!("--state={RUN_MOUNT}"),
        format!("--trust={TRUST_WRITTEN}"),
        format!("--admin=[::]:{}", options.admin_port),
    ];
    if options.sidecar == Sidecar::Native {
        // It is told to end when the application has ended.
        arguments.push("--drain-idle=0s".to_owned());
    }
    arguments.extend(config_argument(options));
    let mut mounts = vec![
        json!({"name": RUN_VOLUME, "mountPath": RUN_MOUNT, "readOnly": true}),
        json!({"name": TRUST_VOLUME, "mountPath": TRUST_WRITTEN}),
    ];
    mounts.extend(config_mount(options));
    if options.roots.is_some() {
        arguments.push(format!("--also-trust={ROOTS_MOUNT}"));
        mounts.push(json!({"name": ROOTS_VOLUME, "mountPath": ROOTS_MOUNT, "readOnly": true}));
    }
    for file in roots.files() {
        arguments.push(format!("--also-trust={file}"));
    }
    mounts.extend(roots.mounts().iter().cloned());

    let mut limits = serde_json::Map::new();
    for (resource, limit) in [
        ("cpu", &options.resources.cpu_limit),
        ("memory", &options.resources.memory_limit),
    ] {
        if let Some(limit) = limit {
            limits.insert(resource.to_owned(), limit.as_str().into());
        }
    }
    let mut resources = json!({"requests": {
        "cpu": options.resources.cpu_request,
        "memory": options.resources.memory_request,
    }});
    if !limits.is_empty() {
        resources["limits"] = limits.into();
    }

    let mut container = json!({
        "name": PROXY_CONTAINER,
        "image": options.image(),
        "args": arguments,
        "env": environment(options),
        "ports": [{"name": ADMIN_PORT, "containerPort": options.admin_port, "protocol": "TCP"}],
        "resources": resources,
        "startupProbe": {
            "httpGet": {"path": "/readyz", "port": options.admin_port},
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": START_SECONDS,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": options.admin_port},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": options.admin_port},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": options.proxy_uid,
            "runAsNonRoot": true,
            "runAsUser": options.proxy_uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    match options.sidecar {
        Sidecar::Native => container["restartPolicy"] = "Always".into(),
        // Containers are started in their order, each when the hook of the one
        // before it is done: the application finds the proxy at work.
        Sidecar::Classic => {
            container["lifecycle"] = json!({"postStart": {"exec": {"command": [
                PROGRAM,
                "wait",
                format!("--admin=127.0.0.1:{}", options.admin_port),
                format!("--timeout={START_SECONDS}s"),
            ]}}});
        }
    }
    container
}

/// The pod's volumes that are weir's.
pub(super) fn volumes(options: &Options) -> Vec<Value> {
    let mut volumes = vec![
        // In memory: the secret in it is never on a disk.
        json!({"name": RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
        json!({"name": TRUST_VOLUME, "emptyDir": {"sizeLimit": "32Mi"}}),
        json!({"name": CGROUP_VOLUME, "hostPath": {"path": CGROUPS, "type": "Directory"}}),
    ];
    for (volume, config_map) in [
        (CONFIG_VOLUME, &options.config),
        (ROOTS_VOLUME, &options.roots),
    ] {
        if let Some(name) = config_map {
            volumes.push(json!({"name": volume, "configMap": {"name": name}}));
        }
    }
    volumes
}

/// A port that the application names and the proxy takes, as a person reads it.
pub(super) fn ports(options: &Options) -> String {
    format!(
        "{} to {} and {}",
        options.port,
        options.port.saturating_add(PORTS - 1),
        options.admin_port
    )
}

fn config_argument(options: &Options) -> Option<String> {
    options
        .config
        .as_ref()
        .map(|_| format!("--config={CONFIG_MOUNT}/{CONFIG_KEY}"))
}

fn config_mount(options: &Options) -> Option<Value> {
    options
        .config
        .as_ref()
        .map(|_| json!({"name": CONFIG_VOLUME, "mountPath": CONFIG_MOUNT, "readOnly": true}))
}

/// Where the pod is, for telemetry; and the level of the log.
fn environment(options: &Options) -> Vec<Value> {
    let of_pod = |name: &str, field: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}});
    let mut environment = vec![
        of_pod("WEIR_POD_NAMESPACE", "metadata.namespace"),
        of_pod("WEIR_POD_NAME", "metadata.name"),
        of_pod("WEIR_NODE_NAME", "spec.nodeName"),
        json!({
            "name": "OTEL_RESOURCE_ATTRIBUTES",
            "value": "k8s.namespace.name=$(WEIR_POD_NAMESPACE),k8s.pod.name=$(WEIR_POD_NAME),k8s.node.name=$(WEIR_NODE_NAME)",
        }),
    ];
    if let Some(level) = &options.log_level {
        environment.push(json!({"name": "WEIR_LOG", "value": level}));
    }
    environment
}
