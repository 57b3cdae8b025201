//! The proxy process, in its two forms: `weir proxy`, the sidecar that works
//! with what `weir init` left, and the child of `weir exec`.
//!
//! What needs privileges (reading configured files, ports) happens first, in
//! `Prepared`; nothing from an application is read before they are gone. The
//! sidecar is started without any, and ends by a signal; the child gives them
//! up, and ends when its supervisor says so or is gone.

mod collector;
mod control;
mod drain;
mod exports;
mod listen;
mod readiness;
mod succession;

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    collector::{Collector, Shown},
    control::Supervised,
    drain::{Drain, DrainEnd},
    exports::{Output, Planned},
    listen::{ListenError, Listeners},
    readiness::Prover,
    succession::{Authorship, Succession},
};
use super::{
    replace::{Access, replace},
    say,
    socket::listen,
    state::State,
};
use crate::{
    admin::{Admin, KernelCounters, Readiness},
    app::log,
    cli::{
        ADMIN_DEFAULT, AdminChoice, EXIT_OWN_FAILURE, LogFormat, ProxyArgs, ReportFormat,
        SupervisedArgs, one_line,
    },
    config::{Config, OnRefusal, StreamUsage, UpstreamRoot},
    control::{FromProxy, encode, receive_token},
    export::prometheus::Metrics,
    llm::catalogue::Catalogue,
    meter::{exchange::Meter, prices::PriceTable},
    proxy::{Canary, Forbidden, Processes, Proxy, Refusers, UpstreamPool},
    sys::{
        claim::{self, Token},
        memory,
        privileges::drop_to,
        process::inherited,
    },
    tls::{
        authority::Authority,
        bundle::{Bundles, SYSTEM_BUNDLES},
        downstream::Downstream,
        roots,
        seal::Seal,
        upstream::Upstream,
    },
};

/// How long dropped tasks get to leave their records: none of them waits for
/// anything then.
const TASKS_WAIT: Duration = Duration::from_secs(2);

/// Runs the sidecar until a signal ends it.
///
/// # Errors
///
/// It could not start, or interception does not work from the beginning.
pub fn run(args: ProxyArgs) -> anyhow::Result<ExitCode> {
    keep_payloads_out_of_panics();
    log::start()?;
    let state = State::read(&args.state)?;
    let config = Config::load(args.config.as_deref())?;
    let also_trusted = roots::files(&args.also_trust)?;
    let (first, count) = (state.listen_port, state.listen_count);
    let listeners = match Listeners::at(first, count, &state.token) {
        Ok(listeners) => listeners,
        Err(ListenError::Claim(error)) => return Err(error.into()),
        Err(ListenError::Io(error)) => {
            let last = first.saturating_add(count.saturating_sub(1));
            return Err(error).with_context(|| {
                format!(
                    "cannot listen on ports {first} to {last} of loopback: free them, or choose \
                     others with `weir init --port`"
                )
            });
        }
    };
    let log = (args.log_format, Output::Own);
    let keys = Keys::OfPod(state.seal);
    let prepared = Prepared::new(
        config,
        listeners,
        state.token,
        keys,
        args.admin,
        log,
        &also_trusted,
    )?;
    for warning in &prepared.warnings {
        say(warning);
    }
    if let Some(directory) = &args.trust {
        publish_trust(&prepared, &also_trusted, directory)?;
    }
    let drain = Drain {
        longest: args.drain,
        idle: args.drain_idle,
    };
    let runtime = runtime()?;
    let (collector, served) = runtime.block_on(async {
        // A sidecar runs for months: its records are exported, not kept.
        let shown = Shown {
            live: args.live,
            report: false,
        };
        // Nobody here may look at the processes of another container.
        let serving = Serving::new(prepared, shown, Processes::unknown())?;
        let collector = Arc::clone(&serving.collector);
        let prover = serving.prover.clone();
        let mut proven = std::pin::pin!(async {
            prover.prove().await?;
            say("intercepting");
            prover.keep_proving().await;
            anyhow::Ok(())
        });
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut outcome = Ok(());
        let connections = Arc::clone(&serving.proxy.connections);
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {
                    prover.readiness.not_ready("shutting down: the last calls are served");
                    tokio::select! {
                        end = drain.over(&connections) => if end == DrainEnd::Longest {
                            say("the application still had sockets when --drain was over");
                        },
                        // Somebody is in a hurry.
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                _ = interrupt.recv() => {}
                failed = &mut proven => outcome = failed,
            }
            prover.readiness.not_ready("shutting down");
        };
        serving.until(stop).await;
        anyhow::Ok((collector, outcome))
    })?;
    runtime.shutdown_timeout(TASKS_WAIT);
    collector.finish_exports();
    served.map(|()| ExitCode::SUCCESS)
}

/// Runs the child of `weir exec` until its supervisor ends it.
///
/// # Errors
///
/// Only if the control socket is unusable; every other failure is told to the
/// supervisor, which shows it.
pub fn run_supervised(args: SupervisedArgs) -> anyhow::Result<ExitCode> {
    keep_payloads_out_of_panics();
    let mut control = UnixStream::from(inherited(args.control_fd));
    let prepare = |control: &mut UnixStream| {
        log::start()?;
        let token = receive_token(control)?;
        let config = Config::load(args.config.as_deref())?;
        let listeners = match Listeners::anywhere(&token) {
            Ok(listeners) => listeners,
            Err(ListenError::Claim(error)) => return Err(error.into()),
            Err(ListenError::Io(error)) => {
                return Err(error).context("cannot listen on loopback");
            }
        };
        let log = (args.log_format, Output::OfCommand);
        let prepared = Prepared::new(config, listeners, token, Keys::OfRun, args.admin, log, &[])?;
        drop_to(args.user, args.group)?;
        anyhow::Ok(prepared)
    };
    match prepare(&mut control) {
        Ok(prepared) => serve_supervised(prepared, control, &args),
        Err(error) => {
            let line = encode(&FromProxy::Failed {
                message: one_line(&error),
            })?;
            io::Write::write_all(&mut control, &line).context("cannot reach the supervisor")?;
            Ok(ExitCode::from(EXIT_OWN_FAILURE))
        }
    }
}

fn serve_supervised(
    prepared: Prepared,
    control: UnixStream,
    args: &SupervisedArgs,
) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let report_to = args.report_fd.map(inherited);
    let collector = runtime.block_on(async {
        let ready = FromProxy::Ready {
            listening: prepared.listeners.listening,
            admin: prepared.admin_addr()?,
            ca_pem: prepared.authority.certificate_pem().to_owned(),
            warnings: prepared.warnings.clone(),
        };
        let (processes, questions) = Processes::asking();
        let shown = Shown {
            live: args.live,
            report: args.report != ReportFormat::None,
        };
        let serving = Serving::new(prepared, shown, processes)?;
        let mut supervised = Supervised::new(control, questions, serving.prover.clone())?;
        supervised.say(&ready).await?;
        let mut flows = Vec::new();
        let collector = Arc::clone(&serving.collector);
        let readiness = Arc::clone(&serving.prover.readiness);
        serving
            .until(async {
                flows = supervised.until_finish().await;
                readiness.not_ready("shutting down");
            })
            .await;
        collector.set_flows(flows);
        anyhow::Ok(collector)
    })?;
    // What is left of connections leaves its records when it is dropped.
    runtime.shutdown_timeout(TASKS_WAIT);
    let reported = collector.report(args.report, report_to);
    collector.finish_exports();
    reported?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// Everything that had to be read, bound or claimed.
struct Prepared {
    config: Config,
    catalogue: Catalogue,
    authority: Arc<Authority>,
    succession: Option<Succession>,
    upstream: Upstream,
    prices: PriceTable,
    listeners: Listeners,
    token: Token,
    admin: Option<TcpListener>,
    exports: Planned,
    warnings: Vec<String>,
}

/// Whose the certificate authority is.
enum Keys {
    /// This run's alone.
    OfRun,
    /// The pod's: handed on from one proxy to the next, under this seal.
    OfPod(Seal),
}

impl Prepared {
    fn new(
        config: Config,
        listeners: Listeners,
        token: Token,
        keys: Keys,
        admin_choice: AdminChoice,
        (log_format, output): (LogFormat, Output),
        also_trusted: &[PathBuf],
    ) -> anyhow::Result<Self> {
        // Whom the application trusts beside the system, the proxy must trust in
        // its place.
        let (store, mut warnings) =
            roots::load(config.tls.upstream_roots.as_slice(), also_trusted)?;
        let exports = Planned::new(
            &config.telemetry,
            log_format == LogFormat::Json,
            output,
            &store,
            &mut warnings,
        )?;
        let upstream = Upstream::new(store)?;
        let catalogue = Catalogue::builtin()
            .extended(&config.models.rules())?
            .requiring(&config.models.required())?;
        let prices = super::prices::in_force(config.prices.file.as_deref())?;
        let permitted = catalogue.dns_suffixes();
        let (authority, succession) =
            authority(&keys, &listeners, permitted.as_deref(), &mut warnings)?;
        let admin = admin(admin_choice, &mut warnings)?;
        if let Err(error) = raise_descriptor_limit() {
            warnings.push(format!("cannot raise the limit of open files: {error}"));
        }
        Ok(Self {
            config,
            catalogue,
            authority: Arc::new(authority),
            succession,
            upstream,
            prices,
            listeners,
            token,
            admin,
            exports,
            warnings,
        })
    }

    fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }
}

/// The proxy at work.
struct Serving {
    proxy: Arc<Proxy>,
    listeners: Arc<[tokio::net::TcpListener]>,
    collector: Arc<Collector>,
    prover: Prover,
}

impl Serving {
    /// Serves metrics and health from now on; connections with [`Self::until`].
    fn new(prepared: Prepared, shown: Shown, processes: Processes) -> anyhow::Result<Self> {
        let admin_addr = prepared.admin_addr()?;
        let metrics = Arc::new(Metrics::new());
        let exports = prepared.exports.start()?;
        let payloads = exports.payloads();
        let collector = Collector::start(Arc::clone(&metrics), shown, exports);
        let mut own = prepared.listeners.addresses()?;
        own.extend(admin_addr);
        // Ports are never none, by their type.
        let port = prepared.config.capture.ports.as_slice().first().copied();
        let canary = Arc::new(Canary::new(
            prepared.token.clone(),
            port.unwrap_or(443),
            prepared.listeners.listening.ipv6,
        ));
        let readiness = Arc::new(Readiness::default());
        let kernel = kernel_counters()?;
        let proxy = Arc::new(Proxy {
            downstream: Downstream::new(&prepared.authority)?,
            catalogue: prepared.catalogue,
            upstream: prepared.upstream,
            meter: Meter::new(
                Instant::now,
                Arc::clone(&collector) as Arc<_>,
                Arc::new(prepared.prices),
            )
            .capturing(payloads),
            metrics: Arc::clone(&metrics),
            forbidden: Forbidden { own },
            canary: Some(Arc::clone(&canary)),
            processes,
            refusers: (prepared.config.tls.on_refusal == OnRefusal::Pass)
                .then(|| Mutex::new(Refusers::new(prepared.config.tls.pass_for.get()))),
            stream_usage: prepared.config.models.stream_usage == StreamUsage::Ask,
            bodies: prepared.config.models.bodies,
            propagate: prepared.config.telemetry.propagate,
            pool: UpstreamPool::new(&prepared.config.upstream),
            connections: Arc::default(),
        });
        if let Some(counts) = kernel() {
            metrics.set_kernel_flows(&counts);
        }
        if let Some(listener) = prepared.admin {
            let admin = Arc::new(Admin {
                metrics,
                kernel,
                readiness: Arc::clone(&readiness),
            });
            tokio::spawn(admin.serve(tokio::net::TcpListener::from_std(listener)?));
        }
        let listeners = prepared
            .listeners
            .sockets
            .into_iter()
            .map(tokio::net::TcpListener::from_std)
            .collect::<io::Result<Arc<[_]>>>()?;
        let prover = Prover {
            canary,
            readiness,
            token: prepared.token,
            succession: prepared.succession,
            listeners: Arc::downgrade(&listeners),
        };
        Ok(Self {
            proxy,
            listeners,
            collector,
            prover,
        })
    }

    /// Serves connections until `stop`, and those under way a moment longer.
    async fn until(self, stop: impl Future<Output = ()>) {
        // Most of what the start has needed is needed once.
        tokio::task::spawn_blocking(memory::give_back);
        self.proxy.serve(self.listeners, stop).await;
    }
}

/// A way to ask the kernel half what it counted, through a socket that does
/// nothing else.
fn kernel_counters() -> io::Result<KernelCounters> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    Ok(Box::new(move || {
        claim::counters(socket.as_fd()).ok().flatten()
    }))
}

fn authority(
    keys: &Keys,
    listeners: &Listeners,
    permitted: Option<&[String]>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(Authority, Option<Succession>)> {
    let now = SystemTime::now();
    let Keys::OfPod(seal) = keys else {
        return Ok((Authority::new(permitted, now)?, None));
    };
    let listener = listeners
        .sockets
        .first()
        .context("the proxy listens on no port")?;
    let (authority, authorship, succession) =
        Succession::of_pod(listener.as_fd(), seal, permitted, now)
            .context("cannot have the pod's certificate authority")?;
    if authorship == Authorship::Lost {
        warnings.push(
            "the pod has a new certificate authority, because the seal of the old one is gone: \
             restart applications that ran before this proxy, their calls fail otherwise"
                .to_owned(),
        );
    }
    Ok((authority, Some(succession)))
}

/// Writes what applications are to trust where they find it, readable by every
/// user: theirs is not known, and there are only certificates in it.
fn publish_trust(
    prepared: &Prepared,
    also_trusted: &[PathBuf],
    directory: &Path,
) -> anyhow::Result<()> {
    let environment: BTreeMap<_, _> = std::env::vars_os().collect();
    // The application's variables will name these files in place of its own
    // image's roots. Of those the proxy knows what it was told of.
    let mut also = also_trusted.to_vec();
    for root in prepared.config.tls.upstream_roots.as_slice() {
        match root {
            UpstreamRoot::File(path) => also.push(path.clone()),
            UpstreamRoot::System => {}
        }
    }
    let ca_pem = prepared.authority.certificate_pem();
    let bundles = Bundles::assemble(ca_pem, &environment, &SYSTEM_BUNDLES, &also)?;
    for warning in &bundles.warnings {
        say(warning);
    }
    for (name, contents) in bundles.files() {
        let path = directory.join(name);
        // For every user that the application may be.
        let access = Access {
            mode: 0o644,
            owner: None,
        };
        replace(&path, contents, access).with_context(|| {
            format!(
                "cannot write {}: name a writable directory with --trust",
                path.display()
            )
        })?;
    }
    Ok(())
}

/// A panic says where it happened, and nothing else: its message could quote
/// what an application sent.
fn keep_payloads_out_of_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        // Standard error may be closed; the exchange is recorded either way.
        let _ = io::Write::write_all(
            &mut io::stderr(),
            format!("weir: a bug was contained at {place}: please report it\n").as_bytes(),
        );
    }));
}

fn admin(choice: AdminChoice, warnings: &mut Vec<String>) -> anyhow::Result<Option<TcpListener>> {
    match choice {
        AdminChoice::Off => Ok(None),
        AdminChoice::At(addr) => listen(addr).map(Some).map_err(|error| {
            anyhow!(
                "cannot serve metrics on {addr}: {error}: name another address with --admin, \
                 or `--admin off`"
            )
        }),
        AdminChoice::Default => match listen(ADMIN_DEFAULT) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                warnings.push(format!(
                    "metrics are not served: {ADMIN_DEFAULT}: {error} (see --admin)"
                ));
                Ok(None)
            }
        },
    }
}

/// Two descriptors a connection exceed the usual soft limit of 1024 soon; the
/// hard limit is for programs that know what they do.
fn raise_descriptor_limit() -> io::Result<()> {
    let hard = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )?)
}
