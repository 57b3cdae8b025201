//! A relay between two sockets of a test, with the records it makes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    Proxy,
    driven::{intercepted, proxy},
    h1, h2,
    leg::Leg,
};
use crate::meter::record::{Record, RecordSink};

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

    /// Of HTTP/2, over a connection that there is. Its own to the provider is none.
    pub(super) async fn over(session: h2::Session) -> Self {
        let ((client, near), (_, server)) = (pair().await, pair().await);
        let records = Arc::new(Records::default());
        let call = intercepted(Arc::new(proxy(Arc::clone(&records) as _).unwrap()));
        Self {
            client,
            server,
            relay: tokio::spawn(h2::relay(near, session, call)),
            records,
        }
    }

    /// With some of the proxy's settings changed.
    pub(super) async fn start_with(version: Version, change: impl FnOnce(&mut Proxy)) -> Self {
        let (client, near) = pair().await;
        let (far, server) = pair().await;
        let records = Arc::new(Records::default());
        let sink = Arc::clone(&records) as Arc<dyn RecordSink>;
        let mut proxy = proxy(sink).unwrap();
        change(&mut proxy);
        let call = intercepted(Arc::new(proxy));
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

pub(super) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (connected, accepted) = (connected.unwrap(), accepted.unwrap().0);
    connected.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (connected, accepted)
}
