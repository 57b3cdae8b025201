//! The proxy process: start as whoever, listen, give up every privilege, serve.
//!
//! What needs privileges (reading configured files, ports) happens before
//! [`drop_to`]; nothing from an application is read before it. The process ends
//! when its supervisor says so or is gone, and reports either way.

mod collector;
mod control;

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use anyhow::{Context, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use self::{collector::Collector, control::Supervised};
use crate::{
    admin::Admin,
    app::log,
    cli::{AdminChoice, EXIT_OWN_FAILURE, ProxyArgs, one_line},
    config::{Config, StreamUsage},
    control::{FromProxy, encode},
    export::prometheus::Metrics,
    llm::catalogue::Catalogue,
    meter::{exchange::Meter, prices::PriceTable},
    proxy::{Forbidden, Processes, Proxy},
    sys::{privileges::drop_to, process::inherited},
    tls::{authority::Authority, downstream::Downstream, roots, upstream::Upstream},
};

/// Where metrics and health are served unless told otherwise.
const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15020);
/// Connections the kernel keeps for us between two accepts: a burst of an
/// application that opens thousands at once.
const BACKLOG: i32 = 4096;
/// Attempts to find a port that is free on both loopback addresses.
const PORT_ATTEMPTS: usize = 16;

/// Runs the proxy until its supervisor ends it.
///
/// # Errors
///
/// Only if the control socket is unusable; every other failure is told to the
/// supervisor, which shows it.
pub fn run(args: ProxyArgs) -> anyhow::Result<ExitCode> {
    keep_payloads_out_of_panics();
    let mut control = UnixStream::from(inherited(args.control_fd));
    match log::start().and_then(|()| Prepared::new(&args)) {
        Ok(prepared) => prepared.serve(control, args),
        Err(error) => {
            let line = encode(&FromProxy::Failed {
                message: one_line(&error),
            })?;
            io::Write::write_all(&mut control, &line).context("cannot reach the supervisor")?;
            Ok(ExitCode::from(EXIT_OWN_FAILURE))
        }
    }
}

/// Everything that had to be read or bound, privileges given up.
struct Prepared {
    config: Config,
    catalogue: Catalogue,
    authority: Arc<Authority>,
    upstream: Upstream,
    prices: PriceTable,
    listen4: TcpListener,
    listen6: Option<TcpListener>,
    admin: Option<TcpListener>,
    warnings: Vec<String>,
}

impl Prepared {
    fn new(args: &ProxyArgs) -> anyhow::Result<Self> {
        let config = Config::load(args.config.as_deref())?;
        let (store, mut warnings) = roots::load(config.tls.upstream_roots.as_slice())?;
        let upstream = Upstream::new(store)?;
        let catalogue = Catalogue::builtin().extended(&config.models.rules())?;
        let prices = prices(config.prices.file.as_deref())?;
        let permitted = catalogue.dns_suffixes();
        let authority = Arc::new(Authority::new(permitted.as_deref(), SystemTime::now())?);
        let (listen4, listen6) = listen().context("cannot listen on loopback")?;
        let admin = admin(args.admin, &mut warnings)?;
        if let Err(error) = raise_descriptor_limit() {
            warnings.push(format!("cannot raise the limit of open files: {error}"));
        }
        drop_to(args.user, args.group)?;
        Ok(Self {
            config,
            catalogue,
            authority,
            upstream,
            prices,
            listen4,
            listen6,
            admin,
            warnings,
        })
    }

    fn serve(self, control: UnixStream, args: ProxyArgs) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let report_to = args.report_fd.map(inherited);
        let collector = runtime.block_on(self.run(control, args.live))?;
        runtime.shutdown_background();
        collector.report(args.report, report_to)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn run(self, control: UnixStream, live: bool) -> anyhow::Result<Arc<Collector>> {
        let listen4 = self.listen4.local_addr()?;
        let listen6 = self
            .listen6
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;
        let admin_addr = self
            .admin
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;
        let metrics = Arc::new(Metrics::new());
        let collector = Collector::start(Arc::clone(&metrics), live);
        let (processes, questions) = Processes::asking();
        let proxy = Arc::new(Proxy {
            downstream: Downstream::new(&self.authority)?,
            catalogue: self.catalogue,
            upstream: self.upstream,
            meter: Meter::new(
                Instant::now,
                Arc::clone(&collector) as Arc<_>,
                Arc::new(self.prices),
            ),
            metrics: Arc::clone(&metrics),
            forbidden: Forbidden {
                own: [Some(listen4), listen6, admin_addr]
                    .into_iter()
                    .flatten()
                    .collect(),
            },
            processes,
            stream_usage: self.config.models.stream_usage == StreamUsage::Ask,
        });
        let listeners = [Some(self.listen4), self.listen6]
            .into_iter()
            .flatten()
            .map(tokio::net::TcpListener::from_std)
            .collect::<io::Result<Vec<_>>>()?;
        let ready = Arc::new(AtomicBool::new(true));
        if let Some(listener) = self.admin {
            let admin = Arc::new(Admin {
                metrics,
                ready: Arc::clone(&ready),
            });
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(admin.serve(listener));
        }
        let mut supervised = Supervised::new(control, questions)?;
        supervised
            .say(&FromProxy::Ready {
                listen4,
                listen6,
                admin: admin_addr,
                ca_pem: self.authority.certificate_pem().to_owned(),
                warnings: self.warnings,
            })
            .await?;
        let flows = std::sync::Mutex::new(Vec::new());
        proxy
            .serve(listeners, async {
                let counted = supervised.until_finish().await;
                ready.store(false, Ordering::Release);
                *flows
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = counted;
            })
            .await;
        collector.set_flows(
            flows
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        Ok(collector)
    }
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

fn prices(file: Option<&Path>) -> anyhow::Result<PriceTable> {
    let table = PriceTable::builtin();
    let Some(file) = file else { return Ok(table) };
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read prices {}", file.display()))?;
    table
        .with_override(&text)
        .with_context(|| format!("prices {}", file.display()))
}

/// Listens on both loopback addresses, on one port that the kernel picks; on
/// IPv4 only where the machine has no IPv6 loopback.
fn listen() -> io::Result<(TcpListener, Option<TcpListener>)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let v4 = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        match bind((Ipv6Addr::LOCALHOST, v4.local_addr()?.port()).into()) {
            Ok(v6) => return Ok((v4, Some(v6))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable
                    || error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
            {
                return Ok((v4, None));
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn admin(choice: AdminChoice, warnings: &mut Vec<String>) -> anyhow::Result<Option<TcpListener>> {
    match choice {
        AdminChoice::Off => Ok(None),
        AdminChoice::At(addr) => bind(addr).map(Some).map_err(|error| {
            anyhow!(
                "cannot serve metrics on {addr}: {error}: name another address with --admin, \
                 or `--admin off`"
            )
        }),
        AdminChoice::Default => match bind(ADMIN_DEFAULT) {
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
