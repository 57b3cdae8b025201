//! What `weir inject` can be told.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::inject::options::{
    Image, InitPrivileges, OnProxyDown, Options, Resources, Sidecar, default_image, log_level,
    object_name, quantity,
};

pub(super) const ABOUT: &str = "\
Put weir into the pods of Kubernetes manifests

Reads manifests, and writes them with weir's init container and sidecar in \
every pod template, and in the application's containers the variables by which \
runtimes learn whom to trust. Documents without pods pass as they are. Injected \
ones are injected anew; --remove gives what they were before.";

pub(super) const AFTER: &str = "\
Manifests:
  YAML or JSON, one document or several: Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job,
  CronJob, ReplicationController, PodTemplate, and lists of them. A document that is changed loses
  its comments, except those before its first key.

Annotations of the pod, which go before the options here:
  weir.dev/inject: disabled         leaves this pod as it is; a label of that name does, too
  weir.dev/image, config, roots, on-proxy-down, sidecar, init-privileges, port, admin-port,
  proxy-uid, log-level, untouched-containers, cpu-request, memory-request, cpu-limit, memory-limit

Variables of the user's own:
  A file of roots that one names is merged if it lies in a volume. One in the image cannot be read
  from here: the variable stays, and a line on standard error says so.

Exit status:
  0    written
  1    weir cannot work in a pod, and nothing was written; standard error says where and why
  125  weir inject itself failed

Examples:
  weir inject -f deployment.yaml | kubectl apply -f -
  kubectl get deployment web -o yaml | weir inject -f - --config weir | kubectl apply -f -
  weir inject -f injected.yaml --remove";

/// Arguments of `weir inject`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct InjectArgs {
    /// What to do instead of changing files.
    #[command(subcommand)]
    pub command: Option<InjectCommand>,
    /// Manifests to read; `-` is standard input. May be given more than once
    #[arg(short, long = "file", value_name = "FILE|-", required = true)]
    pub files: Vec<PathBuf>,
    /// Take weir out again
    #[arg(long)]
    pub remove: bool,
    /// What is put in.
    #[command(flatten)]
    pub chosen: ChosenArgs,
}

/// Injection by a cluster.
#[derive(Debug, Subcommand)]
pub enum InjectCommand {
    /// Answer an API server: a mutating admission webhook
    #[command(long_about = SERVE_ABOUT, after_long_help = SERVE_AFTER)]
    Serve(Box<ServeArgs>),
    /// Make the webhook's certificate, and the manifests that carry it
    #[command(long_about = CERTIFICATE_ABOUT, after_long_help = CERTIFICATE_AFTER)]
    Certificate(CertificateArgs),
}

/// What is put into pods, where annotations do not say otherwise.
#[derive(Debug, Args)]
pub struct ChosenArgs {
    /// Image of weir's containers
    #[arg(long, value_name = "IMAGE", default_value_t = default_image())]
    pub image: String,
    /// ConfigMap in the pod's namespace with weir.yaml
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    pub config: Option<String>,
    /// ConfigMap in the pod's namespace with PEM files that application and proxy are to trust as well
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    pub roots: Option<String>,
    /// What connections do while the proxy is down [default: as the configuration says]
    #[arg(long, value_enum, value_name = "CHOICE")]
    pub on_proxy_down: Option<OnProxyDown>,
    /// What the sidecar is to Kubernetes
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub sidecar: Sidecar,
    /// What the init container may do
    #[arg(long, value_enum, value_name = "SET", default_value_t)]
    pub init_privileges: InitPrivileges,
    /// First of the 16 ports in a row that the proxy listens on
    #[arg(long, value_name = "PORT", default_value_t = Options::default().port, value_parser = clap::value_parser!(u16).range(1..=65520))]
    pub port: u16,
    /// Port of the proxy's metrics and health
    #[arg(long, value_name = "PORT", default_value_t = Options::default().admin_port, value_parser = clap::value_parser!(u16).range(1..))]
    pub admin_port: u16,
    /// User that the proxy runs as
    #[arg(long, value_name = "UID", default_value_t = Options::default().proxy_uid)]
    pub proxy_uid: NonZeroU32,
    /// Level of the proxy's own log [default: warn]
    #[arg(long, value_name = "LEVEL", value_parser = log_level)]
    pub log_level: Option<String>,
    /// Container that gets neither variables nor the mount; what it connects to is captured all the
    /// same. May be given more than once
    #[arg(long = "untouched-container", value_name = "NAME")]
    pub untouched: Vec<String>,
    /// Cores the proxy is promised
    #[arg(long, value_name = "QUANTITY", default_value_t = Resources::default().cpu_request, value_parser = quantity)]
    pub cpu_request: String,
    /// Memory the proxy is promised
    #[arg(long, value_name = "QUANTITY", default_value_t = Resources::default().memory_request, value_parser = quantity)]
    pub memory_request: String,
    /// Cores the proxy may take [default: no limit]
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    pub cpu_limit: Option<String>,
    /// Memory the proxy may take
    #[arg(long, value_name = "QUANTITY", default_value = "512Mi", value_parser = quantity)]
    pub memory_limit: String,
}

impl ChosenArgs {
    /// As the injection takes them; `image` says whether pods may choose
    /// another.
    #[must_use]
    pub fn options(&self, image: fn(String) -> Image) -> Options {
        Options {
            image: image(self.image.clone()),
            config: self.config.clone(),
            roots: self.roots.clone(),
            on_proxy_down: self.on_proxy_down,
            sidecar: self.sidecar,
            init_privileges: self.init_privileges,
            port: self.port,
            admin_port: self.admin_port,
            proxy_uid: self.proxy_uid,
            log_level: self.log_level.clone(),
            untouched: self.untouched.clone(),
            resources: Resources {
                cpu_request: self.cpu_request.clone(),
                memory_request: self.memory_request.clone(),
                cpu_limit: self.cpu_limit.clone(),
                memory_limit: Some(self.memory_limit.clone()),
            },
        }
    }
}

const SERVE_ABOUT: &str = "\
Answer an API server: a mutating admission webhook

Serves POST /inject over TLS: takes an AdmissionReview, v1 or v1beta1, of a pod \
that is being made, and answers with a patch. Needs no access to the cluster: \
which namespaces and pods it is asked about, the webhook's configuration says. \
Pods of kube-system, kube-public, kube-node-lease and its own namespace are \
never changed, nor those with the label weir.dev/inject: disabled.";

const SERVE_AFTER: &str = "\
Where weir cannot work:
  A pod that asks for it by its own label or annotation weir.dev/inject: enabled is denied. One that
  only its namespace chose starts without weir, with a warning, and is counted.

Certificate:
  --certificate and --key are looked at for each connection, so that one that was renewed is used at
  once; while the two do not fit together, the last that did.

Health and metrics:
  Plain HTTP on --admin: /healthz, /readyz, /metrics.

Environment:
  POD_NAMESPACE  the webhook's own namespace
  WEIR_LOG       level of weir's own log on standard error [warn]";

/// Arguments of `weir inject serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to serve; `[::]` is every address, of IPv4 as well
    #[arg(long, value_name = "ADDR", default_value = "[::]:8443")]
    pub listen: SocketAddr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDR", default_value = "[::]:15020")]
    pub admin: SocketAddr,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", default_value = "/etc/weir/webhook/tls.crt")]
    pub certificate: PathBuf,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", default_value = "/etc/weir/webhook/tls.key")]
    pub key: PathBuf,
    /// What is put in.
    #[command(flatten)]
    pub chosen: ChosenArgs,
}

const CERTIFICATE_ABOUT: &str = "\
Make the webhook's certificate, and the manifests that carry it

Writes a MutatingWebhookConfiguration with the CA's certificate, and a Secret \
with the webhook's, to standard output. The CA's key is forgotten: to renew, \
make both anew, with --previous, so that the API server trusts the old one \
until the webhook has the new one. Where cert-manager runs, it does all that.";

const CERTIFICATE_AFTER: &str = "\
Examples:
  weir inject certificate | kubectl apply -f -
  kubectl -n weir-system get secret weir-webhook -o yaml >secret.yaml
  weir inject certificate --previous secret.yaml | kubectl apply -f -";

/// Arguments of `weir inject certificate`.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// Namespace of the webhook
    #[arg(long, value_name = "NAME", default_value = "weir-system", value_parser = object_name)]
    pub namespace: String,
    /// Name of its Service, its Secret and its configuration
    #[arg(long, value_name = "NAME", default_value = "weir-webhook", value_parser = object_name)]
    pub name: String,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// The Secret that is replaced, whose CA stays trusted meanwhile
    #[arg(long, value_name = "FILE")]
    pub previous: Option<PathBuf>,
    /// What becomes of pods while the webhook does not answer
    #[arg(long, value_enum, value_name = "POLICY", default_value_t)]
    pub failure_policy: FailurePolicy,
}

/// What becomes of pods while the webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailurePolicy {
    /// They are not made: none runs unmetered
    #[default]
    Fail,
    /// They are made, without weir
    Ignore,
}
