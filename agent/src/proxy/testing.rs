//! A relay between two sockets of a test, with the records it makes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Forbidden, Intercepted, Processes, Proxy, h1, h2, leg::Leg, pool::Route};
use crate::{
    config::{Bodies, Propagate},
    export::prometheus::Metrics,
    llm::catalogue::{Catalogue, Provider},
    meter::{
        exchange::Meter,
        prices::PriceTable,
        record::{Process, Record, RecordSink},
    },
    tls::{authority::Authority, downstream::Downstream, upstream::Upstream},
};

/// The host that test connections are "verified" for.
pub(super) const HOST: &str = "api.openai.com";
/// Nothing on loopback takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Records(Mutex<Vec<Record>>);

impl RecordSink for Records {
    fn record(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

/// Both ends of a relay: the application's and the provider's.
pub(super) struct Relayed {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
    relay: JoinHandle<()>,
    records: Arc<Records>,
}

/// Which relay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl Relayed {
    pub(super) async fn start(version: Version) -> Self {
        Self::start_with(version, |_| {}).await
    }

    /// With some of the proxy's settings changed.
    pub(super) async fn start_with(version: Version, change: impl FnOnce(&mut Proxy)) -> Self {
        let (client, near) = pair().await;
        let (far, server) = pair().await;
        let records = Arc::new(Records::default());
        let sink = Arc::clone(&records) as Arc<dyn RecordSink>;
        let mut proxy = proxy(sink);
        change(&mut proxy);
        let call = Intercepted {
            proxy: Arc::new(proxy),
            route: Route {
                origin: SocketAddr::from(([203, 0, 113, 7], 443)),
                host: HOST.into(),
                offered: None,
            },
            provider: Provider::OpenAi,
            process: Process {
                pid: Some(1),
                exe: None,
            },
            client: None,
        };
        let relay = match version {
            Version::Http1 => tokio::spawn(h1::relay(near, Leg::Cleartext(far), false, call)),
            Version::Http2 => tokio::spawn(async {
                let session = h2::Session::begin(Leg::Cleartext(far)).await.unwrap();
                h2::relay(near, session, call).await;
            }),
        };
        Self {
            client,
            server,
            relay,
            records,
        }
    }

    /// The records, once the relay has ended by itself.
    pub(super) async fn records(self) -> Vec<Record> {
        drop((self.client, self.server));
        within(self.relay).await.expect("the relay does not panic");
        std::mem::take(&mut *self.records.0.lock().unwrap())
    }
}

/// Fails the test instead of waiting for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened for ten seconds")
}

/// Reads exactly as many bytes as expected, and compares.
pub(super) async fn expect(stream: &mut TcpStream, expected: &[u8], what: &str) {
    let mut got = vec![0; expected.len()];
    within(stream.read_exact(&mut got))
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        got.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{what}"
    );
}

/// Writes in two pieces that arrive as two.
pub(super) async fn send_split(stream: &mut TcpStream, bytes: &[u8], at: usize) {
    let (first, second) = bytes.split_at(at);
    stream.write_all(first).await.unwrap();
    stream.flush().await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(second).await.unwrap();
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (connected, accepted) = (connected.unwrap(), accepted.unwrap().0);
    connected.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (connected, accepted)
}

fn proxy(sink: Arc<dyn RecordSink>) -> Proxy {
    let authority = Arc::new(Authority::new(None, SystemTime::now()).unwrap());
    Proxy {
        catalogue: Catalogue::builtin(),
        downstream: Downstream::new(&authority).unwrap(),
        upstream: Upstream::new(Arc::new(rustls::RootCertStore::empty())).unwrap(),
        meter: Meter::new(Instant::now, sink, Arc::new(PriceTable::builtin())),
        metrics: Arc::new(Metrics::new()),
        forbidden: Forbidden::default(),
        canary: None,
        processes: Processes::unknown(),
        refusers: None,
        stream_usage: true,
        bodies: Bodies::Read,
        propagate: Propagate::Off,
        pool: None,
        connections: Arc::default(),
    }
}
