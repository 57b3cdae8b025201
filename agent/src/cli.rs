//! The command line: what can be said, and how it is explained.
//!
//! Parsing only; what a command does is in `app`.

mod inject;
mod prices;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::inject::options::OnProxyDown;
pub use inject::{
    CertificateArgs, ChosenArgs, FailurePolicy, InjectArgs, InjectCommand, ServeArgs,
};
pub use prices::{PricesArgs, PricesCommand, ShowPricesArgs, UpdatePricesArgs};

/// weir's own failures, so that they are not mistaken for the command's: the
/// convention of env(1) and timeout(1).
pub const EXIT_OWN_FAILURE: u8 = 125;
/// What `weir wait` waits for is not so.
pub const EXIT_NOT_YET: u8 = 1;
/// The command was found and cannot be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Meter and govern model API calls, without changing the application
///
/// weir redirects an application's connections to a local proxy in the kernel.
/// Calls to model providers are metered there: tokens, cost, latency. Everything
/// else passes through untouched and undecrypted.
#[derive(Debug, Parser)]
#[command(name = "weir", version, styles = STYLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// weir's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command and report what its model calls cost
    #[command(long_about = EXEC_ABOUT, after_long_help = EXEC_AFTER)]
    #[command(override_usage = "weir exec [OPTIONS] [--] <CMD>...")]
    Exec(ExecArgs),
    /// Attach weir to a pod's cgroup, and exit
    #[command(long_about = INIT_ABOUT, after_long_help = INIT_AFTER)]
    Init(InitArgs),
    /// Take weir's programs off a cgroup
    ///
    /// New connections go direct from then on. Those under way are not disturbed. Where nothing of
    /// weir is attached, nothing is done.
    Detach(DetachArgs),
    /// Serve what `weir init` redirects
    #[command(long_about = PROXY_ABOUT, after_long_help = PROXY_AFTER)]
    Proxy(ProxyArgs),
    /// Wait until `weir proxy` is ready
    #[command(long_about = WAIT_ABOUT, after_long_help = WAIT_AFTER)]
    Wait(WaitArgs),
    /// Put weir into the pods of Kubernetes manifests
    #[command(long_about = inject::ABOUT, after_long_help = inject::AFTER)]
    Inject(Box<InjectArgs>),
    /// Show what of weir is attached on this machine, and what it has counted
    #[command(after_long_help = STATUS_AFTER)]
    Status(StatusArgs),
    /// Show each decision of the kernel half as it is made
    #[command(long_about = TRACE_ABOUT)]
    Trace(TraceArgs),
    /// Check whether weir can work here, and say what to do if not
    #[command(long_about = DOCTOR_ABOUT, after_long_help = DOCTOR_AFTER)]
    Doctor(DoctorArgs),
    /// Show what models cost, and keep the prices up to date
    Prices(PricesArgs),
    /// The proxy process of `weir exec`, which starts it; not for people.
    #[command(hide = true)]
    SupervisedProxy(SupervisedArgs),
}

/// Where metrics and health are served unless told otherwise.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15020);

/// Where `weir init` leaves what `weir proxy` needs.
const STATE_DIRECTORY: &str = "/run/weir";

const INIT_ABOUT: &str = "\
Attach weir to a pod's cgroup, and exit

Loads weir's eBPF programs and attaches them to the cgroup that holds the \
application's containers and the proxy's. They live as long as that cgroup: \
nothing is pinned, no process stays. Connections wait for `weir proxy` as \
`capture.on_proxy_down` says; closed, the default, refuses them until it listens. \
Run again, it replaces its programs one by one while connections go on.";

const INIT_AFTER: &str = "\
Privileges:
  CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; CAP_SYS_RESOURCE on Linux before 5.11; CAP_SYS_ADMIN to
  replace programs that are attached; CAP_CHOWN to give the state file to another user. A privileged
  init container has them all.

The cgroup:
  `auto` finds the pod's from this container's own. It takes a view of the machine's hierarchy: in a
  container, mount the host's /sys/fs/cgroup read-only at /host/sys/fs/cgroup.

The proxy:
  It proves itself by the secret in DIR/capture.json, which only --proxy-uid may read. A proxy that
  cannot do that is recognised by --exempt-uid: weaker, because any process of that user is exempt
  then, and whatever listens on the proxy's ports is trusted.

Examples:
  weir init --cgroup auto --config /etc/weir/weir.yaml --state /run/weir
  weir init --cgroup /sys/fs/cgroup/my.slice --proxy-uid 1337";

const PROXY_ABOUT: &str = "\
Serve what `weir init` redirects

Listens on the ports that `weir init` chose, proves itself to the kernel half, \
proves that interception works by a connection of its own, and serves until \
SIGTERM, and on while the application may still make calls (see --drain); a \
second signal, or SIGINT, ends it at once. Needs no privilege, and writes nowhere \
but to --trust.";

const PROXY_AFTER: &str = "\
Health:
  /readyz on the admin address is 200 while a connection made every 5 s is redirected as it should
  be and what applications are to trust is in place, and otherwise 503 with the reason; /healthz is
  200 while the process works. See `weir wait`.

Environment:
  WEIR_LOG  level of weir's own log on standard error: off, error, warn, info, debug, trace [warn]";

const WAIT_ABOUT: &str = "\
Wait until `weir proxy` is ready

Asks the admin address of the proxy until it is ready: until interception is \
proven, and what applications are to trust is published. Needs no privilege, and \
nothing else in the image.";

const WAIT_AFTER: &str = "\
Exit status:
  0    it is ready
  1    it was not within --timeout; why is on standard error
  125  weir wait itself failed

Examples:
  postStart of the sidecar, before the application:  [\"/weir\", \"wait\"]
  a probe:                                           [\"/weir\", \"wait\", \"--timeout\", \"0s\"]";

const STATUS_AFTER: &str = "\
Privileges:
  CAP_SYS_ADMIN, because the kernel shows nobody else what others loaded, and CAP_NET_ADMIN: run it
  with sudo. A pod's sidecar counts the same flows without privileges, at
  http://127.0.0.1:15020/metrics.";

/// Arguments of `weir init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The cgroup v2 directory to attach to, or `auto` for this pod's
    #[arg(long, value_name = "auto|PATH", default_value = "auto")]
    pub cgroup: CgroupChoice,
    /// Configuration file; without it the defaults apply
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory for what the proxy needs
    #[arg(long, value_name = "DIR", default_value = STATE_DIRECTORY)]
    pub state: PathBuf,
    /// First of the 16 ports in a row that the proxy listens on
    #[arg(long, value_name = "PORT", default_value_t = 15001, value_parser = clap::value_parser!(u16).range(1..=65520))]
    pub port: u16,
    /// User that the proxy runs as, who may read its state
    #[arg(long, value_name = "UID", default_value_t = 1337)]
    pub proxy_uid: u32,
    /// User whose connections are never captured, for a proxy that cannot prove itself; not 0
    #[arg(long, value_name = "UID", value_parser = exempt_uid)]
    pub exempt_uid: Option<NonZeroU32>,
    /// New connections while the proxy is down [default: as the configuration says]
    #[arg(long, value_enum, value_name = "CHOICE")]
    pub on_proxy_down: Option<OnProxyDown>,
    /// What the programs write to the kernel's log ring
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub kernel_log: KernelLogLevel,
}

/// Arguments of `weir detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// The cgroup v2 directory, or `auto` for this pod's
    #[arg(long, value_name = "auto|PATH", default_value = "auto")]
    pub cgroup: CgroupChoice,
}

const TRACE_ABOUT: &str = "\
Show each decision of the kernel half as it is made

One line for each connection, and for each datagram to a captured port, until \
Ctrl-C: when, what became of it and why, where it was going, and which process \
of which user and cgroup asked. Takes root, like `weir status`. Connections are \
not slowed down: what cannot be shown in time is left out, and counted.";

/// Arguments of `weir trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Only what is attached to this cgroup v2 directory [default: all of weir on this machine]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Print what the programs themselves log instead, as far as they were attached with
    /// `weir init --kernel-log`
    #[arg(long, conflicts_with = "json")]
    pub kernel_log: bool,
}

const DOCTOR_ABOUT: &str = "\
Check whether weir can work here, and say what to do if not

Looks at the kernel, the capabilities of this process, the cgroups and what is \
attached to them. Then tries it: weir's programs on a temporary cgroup, and a \
process in it that connects to 192.0.2.1 and 2001:db8::1 and must arrive here. \
Nothing is left behind. Without privileges it says what it could not check.";

const DOCTOR_AFTER: &str = "\
Exit status:
  0    no problem, though there may be warnings
  1    a problem: weir does not work here
  125  weir doctor itself failed";

/// Arguments of `weir doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `weir wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for
    #[arg(long = "for", value_enum, value_name = "HEALTH", default_value_t)]
    pub health: Health,
    /// How long; with `0s` it asks once
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// The proxy's admin address
    #[arg(long, value_name = "ADDR", default_value_t = ADMIN_DEFAULT)]
    pub admin: SocketAddr,
}

/// What is asked of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Health {
    /// Interception works, and trust is published
    #[default]
    Ready,
    /// The process works
    Alive,
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ready => "ready",
            Self::Alive => "alive",
        })
    }
}

/// Arguments of `weir status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `weir proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Configuration file; without it the defaults apply
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory where `weir init` left what the proxy needs
    #[arg(long, value_name = "DIR", default_value = STATE_DIRECTORY)]
    pub state: PathBuf,
    /// Write what applications are to trust into this directory: ca.pem, bundle.pem, extra.pem and
    /// truststore.jks
    #[arg(long, value_name = "DIR")]
    pub trust: Option<PathBuf>,
    /// PEM file, or directory of them, that applications are to trust as well, and the proxy itself.
    /// May be given more than once
    #[arg(long, value_name = "PATH", requires = "trust")]
    pub also_trust: Vec<PathBuf>,
    /// Where metrics and health are served, or `off` [default: 127.0.0.1:15020 if free]
    #[arg(
        long,
        value_name = "ADDR|off",
        default_value = "default",
        hide_default_value = true
    )]
    pub admin: AdminChoice,
    /// How long to go on after SIGTERM, at most
    ///
    /// New connections are served as well: where the application is told to end at the same time, its
    /// last calls pass. The rest of Kubernetes' 30 s of grace is for what is to be exported.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = humantime::parse_duration)]
    pub drain: Duration,
    /// After SIGTERM, end once the application has had no TCP socket for this long; with `0s` once it
    /// has no connection through weir, as is right where it ends first (a native sidecar)
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub drain_idle: Duration,
    /// Show each call on standard error as it ends
    #[arg(long)]
    pub live: bool,
    /// Form in which calls are logged: `json` writes the record of each as a line of JSON on standard
    /// output
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub log_format: LogFormat,
}

/// Which cgroup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupChoice {
    /// The pod's that this process is in.
    Auto,
    /// The one of this directory.
    At(PathBuf),
}

impl FromStr for CgroupChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            path if path.starts_with('/') => Ok(Self::At(path.into())),
            _ => Err("expected `auto` or an absolute path below a cgroup2 mount".to_owned()),
        }
    }
}

fn exempt_uid(text: &str) -> Result<NonZeroU32, String> {
    match text.parse() {
        Ok(0) => Err(
            "0 is root, and half of everything runs as root: give the proxy a user of its own"
                .to_owned(),
        ),
        Ok(uid) => NonZeroU32::new(uid).ok_or_else(|| "expected a user id".to_owned()),
        Err(error) => Err(format!("{error}: expected a user id")),
    }
}

/// How much the programs write to the kernel's log ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KernelLogLevel {
    /// Nothing
    #[default]
    Off,
    /// Claims that were refused
    Warn,
    /// Each connection as well
    Info,
    /// Each handshake as well
    Debug,
}

const EXEC_ABOUT: &str = "\
Run a command and report what its model calls cost

The command and all it starts run as ever: same terminal, input, output, \
directory, signals and exit status. Their connections to ports 443 and 80 go \
through weir; calls to model providers are metered, everything else passes \
undecrypted. When the command ends, the report goes to standard error and \
nothing of weir remains.";

const EXEC_AFTER: &str = "\
Privileges:
  weir needs root to attach to the kernel: run it with sudo. The command then runs as the user who
  called sudo, with that user's home, and the proxy as an otherwise unused user without any
  capability. sudo replaces PATH with the secure_path of sudoers: a command that is only on your own
  PATH needs its full name, as in  sudo weir exec -- \"$(command -v my-agent)\"

Trust:
  The proxy makes a certificate authority in its memory, and weir adds it for the command, beside
  everything that was trusted before: SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE,
  NODE_EXTRA_CA_CERTS, JAVA_TOOL_OPTIONS and the like. Programs with roots of their own refuse it;
  their calls fail to verify.

What stays behind:
  Processes that outlive the command stay intercepted, and weir waits for them (see --linger).

Environment:
  WEIR_LOG  level of weir's own log on standard error: off, error, warn, info, debug, trace [warn];
            no content and no credentials at any level
  OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_* variables of the OpenTelemetry specification
            with an endpoint, each call is exported as a span and in metrics, without content, as
            part of the command's own traces; OTEL_SDK_DISABLED=true for none of it

Exit status:
  125  weir failed before or around the command
  126  the command cannot be executed
  127  the command was not found
  otherwise the command's own; if a signal ended it, weir ends itself by the same signal

Examples:
  sudo weir exec -- python agent.py
  sudo weir exec --report json --report-file calls.json -- npm test
  sudo weir exec --config weir.yaml --live -- bash";

/// Arguments of `weir exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Configuration file; without it the defaults apply
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the report when the command has ended
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub report: ReportFormat,
    /// Write the report to this file instead of standard error
    ///
    /// Opened before anything starts, as the user who called sudo, and emptied.
    #[arg(long, value_name = "FILE")]
    pub report_file: Option<PathBuf>,
    /// Show each call on standard error as it ends
    #[arg(long)]
    pub live: bool,
    /// Form in which calls are logged: `json` writes the record of each as a line of JSON on standard
    /// error, unless `telemetry.exchange_log` names another place
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub log_format: LogFormat,
    /// Where metrics and health are served, or `off` [default: 127.0.0.1:15020 if free]
    ///
    /// An address that is given and in use is an error; port 0 takes any free one.
    #[arg(
        long,
        value_name = "ADDR|off",
        default_value = "default",
        hide_default_value = true
    )]
    pub admin: AdminChoice,
    /// How long to wait for processes that outlive the command, such as `0s` or `5m` [default: until
    /// they end, or Ctrl-C]
    ///
    /// They are then left running, no longer intercepted.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub linger: Option<Duration>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Arguments of the proxy process of `weir exec`, given by its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SupervisedArgs {
    /// The control socket.
    #[arg(long)]
    pub control_fd: RawFd,
    /// Where the report goes; standard error without it.
    #[arg(long)]
    pub report_fd: Option<RawFd>,
    /// Configuration file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t)]
    pub report: ReportFormat,
    /// Show each call on standard error as it ends.
    #[arg(long)]
    pub live: bool,
    /// Form in which calls are logged.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Where metrics and health are served.
    #[arg(long, default_value = "default")]
    pub admin: AdminChoice,
    /// User id to become.
    #[arg(long)]
    pub user: u32,
    /// Group id to become.
    #[arg(long)]
    pub group: u32,
}

impl SupervisedArgs {
    /// The command line, without the program's name, that parses to these
    /// arguments.
    #[must_use]
    pub fn to_command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["supervised-proxy".into()];
        let mut option = |name: &str, value: OsString| {
            // One word, so that a value that begins with a hyphen stays a value.
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            line.push(word);
        };
        option("--control-fd", self.control_fd.to_string().into());
        if let Some(fd) = self.report_fd {
            option("--report-fd", fd.to_string().into());
        }
        if let Some(config) = &self.config {
            option("--config", config.into());
        }
        option("--report", self.report.to_string().into());
        option("--log-format", self.log_format.to_string().into());
        option("--admin", self.admin.to_string().into());
        option("--user", self.user.to_string().into());
        option("--group", self.group.to_string().into());
        if self.live {
            line.push("--live".into());
        }
        line
    }
}

/// Form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A table for people
    #[default]
    Table,
    /// One JSON object
    Json,
    /// Nothing
    None,
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::None => "none",
        })
    }
}

/// Form in which calls are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Not, unless `--live` shows them to people
    #[default]
    Text,
    /// One line of JSON each
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Where metrics and health are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminChoice {
    /// On the usual address if it is free; otherwise not, with a warning.
    Default,
    /// Nowhere.
    Off,
    /// There, or weir does not start.
    At(SocketAddr),
}

impl FromStr for AdminChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self::Default),
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|error| {
                format!("{error}: expected `off` or an address such as 127.0.0.1:15020")
            }),
        }
    }
}

impl fmt::Display for AdminChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::Off => out.write_str("off"),
            Self::At(address) => write!(out, "{address}"),
        }
    }
}

/// An error as the one line a person reads: the chain of causes, leaving out
/// those that an outer message has quoted to put the remedy behind them.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests;
