//! Our end of a connection, with tokio-rustls at the other.

use std::{task::Waker, time::Duration};

use futures_util::FutureExt as _;
use rustls::{
    RootCertStore, SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::tls::provider;

/// A connection of which so many bytes are read or written at once.
struct Cut {
    width: usize,
    io: DuplexStream,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = vec![0; self.width.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut part))?;
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let width = self.width.min(bytes.len());
        Pin::new(&mut self.io).poll_write(context, &bytes[..width])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// The ends of a connection that holds a few records.
fn connection(width: usize) -> (Cut, DuplexStream) {
    let (io, far) = duplex(ROOM);
    (Cut { width, io }, far)
}

type Server = tokio_rustls::server::TlsStream<DuplexStream>;
type Client = tokio_rustls::client::TlsStream<DuplexStream>;

/// How much a connection holds.
const ROOM: usize = 64 * 1024;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Fails where something waits for ever.
async fn within<F: Future>(what: F) -> F::Output {
    let most = Duration::from_secs(20);
    tokio::time::timeout(most, what).await.expect("it hangs")
}

struct Ends {
    server: ServerConfig,
    client: ClientConfig,
}

/// A server, and a client that believes it.
fn ends(version: &'static SupportedProtocolVersion) -> Ends {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate = made.cert.der().clone();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ends { server, client }
}

fn name() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

impl Ends {
    /// Ours is the server, and reads and writes so many bytes at once.
    async fn with_server(self, width: usize) -> (ServerStream<Cut>, Client) {
        let (ours, theirs) = connection(width);
        let connector = TlsConnector::from(Arc::new(self.client));
        let (ours, theirs) = within(async {
            tokio::join!(
                ServerStream::accept(Arc::new(self.server), ours),
                connector.connect(name(), theirs)
            )
        })
        .await;
        (ours.unwrap(), theirs.unwrap())
    }

    /// Ours is the client.
    async fn with_client(self, width: usize) -> (ClientStream<Cut>, Server) {
        let (ours, theirs) = connection(width);
        let acceptor = TlsAcceptor::from(Arc::new(self.server));
        let (ours, theirs) = within(async {
            tokio::join!(
                ClientStream::connect(Arc::new(self.client), name(), ours),
                acceptor.accept(theirs)
            )
        })
        .await;
        (ours.unwrap(), theirs.unwrap())
    }
}

/// Bytes of which each says where it is.
fn told(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

/// Both write so much at once, and read what the other wrote.
async fn exchange<A, B>(one: &mut A, other: &mut B, length: usize)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    async fn half<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, length: usize) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            writer.write_all(&told(length)).await.unwrap();
            writer.flush().await.unwrap();
        };
        let mut read = vec![0; length];
        let (_, count) = tokio::join!(write, reader.read_exact(&mut read));
        assert_eq!(count.unwrap(), length);
        assert!(read == told(length));
    }
    within(async { tokio::join!(half(one, length), half(other, length)) }).await;
}

#[tokio::test]
async fn what_either_end_writes_the_other_reads_however_it_is_cut() {
    for version in VERSIONS {
        for width in [1, 7, 1000, usize::MAX] {
            let (mut server, mut client) = ends(version).with_server(width).await;
            let (mut ours, mut theirs) = ends(version).with_client(width).await;
            for length in [1, 100, 16 * 1024, 16 * 1024 + 1, 300_000] {
                if length / 10_000 <= width {
                    exchange(&mut server, &mut client, length).await;
                    exchange(&mut ours, &mut theirs, length).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_read_in_small_parts_is_lost_in_none() {
    let (mut server, mut client) = ends(&TLS13).with_server(usize::MAX).await;
    client.write_all(&told(40_000)).await.unwrap();
    client.flush().await.unwrap();
    let mut all = Vec::new();
    while all.len() < 40_000 {
        let mut part = [0; 77];
        let count = within(server.read(&mut part)).await.unwrap();
        all.extend_from_slice(&part[..count]);
    }
    assert!(all == told(40_000));
}

#[tokio::test]
async fn records_that_came_together_are_read_together() {
    let (mut server, mut client) = ends(&TLS13).with_server(usize::MAX).await;
    for event in ["one", "two", "three"] {
        client.write_all(event.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
    }
    let mut read = [0; 100];
    let count = within(server.read(&mut read)).await.unwrap();
    assert_eq!(&read[..count], b"onetwothree");
}

#[tokio::test]
async fn pieces_that_are_written_together_are_one_record() {
    let (mut client, server) = ends(&TLS13).with_client(usize::MAX).await;
    let pieces = [&b"head "[..], b"", b"body"].map(IoSlice::new);
    let count = within(client.write_vectored(&pieces)).await.unwrap();
    assert_eq!(count, 9);
    let (mut below, _session) = server.into_inner();
    let mut record = [0; 200];
    let count = within(below.read(&mut record)).await.unwrap();
    // Its header, the nine bytes, their type, and the tag (RFC 8446, section 5.2).
    assert_eq!((record[0], count), (23, 5 + 9 + 1 + 16));
}

#[tokio::test]
async fn a_connection_that_waits_holds_nothing() {
    for version in VERSIONS {
        let (mut server, mut client) = ends(version).with_server(usize::MAX).await;
        exchange(&mut server, &mut client, 50_000).await;
        let mut buffer = [0; 16];
        let mut context = Context::from_waker(Waker::noop());
        let mut read = ReadBuf::new(&mut buffer);
        let waits = Pin::new(&mut server).poll_read(&mut context, &mut read);
        assert!(waits.is_pending());
        let held = [&server.incoming, &server.plain, &server.outgoing];
        assert_eq!(held.map(Vec::capacity), [0; 3]);
    }
}

#[tokio::test]
async fn what_a_peer_does_not_take_is_held_and_no_more_accepted() {
    let (mut server, mut client) = ends(&TLS13).with_server(usize::MAX).await;
    let mut context = Context::from_waker(Waker::noop());
    let mut write = |server: &mut ServerStream<_>, bytes: &[u8]| {
        Pin::new(server).poll_write(&mut context, bytes)
    };
    let mut accepted = 0;
    let all = told(3 * ROOM);
    while let Poll::Ready(count) = write(&mut server, &all[accepted..]) {
        accepted += count.unwrap();
    }
    assert!((ROOM..=ROOM + PLAIN_MAX).contains(&accepted));
    assert!(!server.outgoing.is_empty());
    let mut read = vec![0; accepted];
    let (flushed, count) =
        within(async { tokio::join!(server.flush(), client.read_exact(&mut read)) }).await;
    flushed.unwrap();
    assert_eq!(count.unwrap(), accepted);
    assert!(read == all[..accepted]);
}

#[tokio::test]
async fn an_end_that_was_said_is_told_from_one_that_was_not() {
    for version in VERSIONS {
        let (mut server, mut client) = ends(version).with_server(usize::MAX).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = Vec::new();
        within(server.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"last");

        let (mut server, client) = ends(version).with_server(usize::MAX).await;
        drop(client);
        let error = within(server.read(&mut [0; 10])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn who_says_no_more_can_still_be_answered() {
    let (mut server, mut client) = ends(&TLS13).with_server(usize::MAX).await;
    within(server.shutdown()).await.unwrap();
    let error = within(server.write(b"more")).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let mut nothing = Vec::new();
    within(client.read_to_end(&mut nothing)).await.unwrap();
    assert!(nothing.is_empty());
    client.write_all(b"answer").await.unwrap();
    client.flush().await.unwrap();
    let mut read = [0; 6];
    within(server.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"answer");
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_so_at_both_ends() {
    for version in VERSIONS {
        let heard = |error: &io::Error| {
            let error = error.get_ref().unwrap().downcast_ref().unwrap();
            matches!(error, rustls::Error::AlertReceived(_))
        };
        // Each of the two is of another pair.
        let (mut ours, theirs) = (ends(version), ends(version));
        let (near, far) = duplex(ROOM);
        let connector = TlsConnector::from(Arc::new(theirs.client));
        let (server, client) = within(async {
            tokio::join!(
                ServerStream::accept(Arc::new(ours.server.clone()), near),
                connector.connect(name(), far)
            )
        })
        .await;
        assert!(client.is_err());
        // In TLS 1.3 the server learns of it after its part of the handshake.
        let error = match server {
            Err(error) => error,
            Ok(mut server) => server.read(&mut [0; 10]).await.unwrap_err(),
        };
        assert!(heard(&error), "{error:?}");

        ours.client.enable_sni = false;
        let (near, far) = duplex(ROOM);
        let acceptor = TlsAcceptor::from(Arc::new(theirs.server));
        let (client, server) = within(async {
            tokio::join!(
                ClientStream::connect(Arc::new(ours.client), name(), near),
                acceptor.accept(far)
            )
        })
        .await;
        let error = client.unwrap_err();
        let refused = error.get_ref().unwrap().downcast_ref().unwrap();
        assert!(matches!(refused, rustls::Error::InvalidCertificate(_)));
        assert!(heard(&server.err().unwrap()));
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_has_ended() {
    let (near, far) = duplex(ROOM);
    drop(far);
    let accepted = ServerStream::accept(Arc::new(ends(&TLS13).server), near);
    let error = within(accepted).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_that_does_not_end_is_not_kept_for_ever() {
    let (near, mut far) = duplex(ROOM);
    let accepting = ServerStream::accept(Arc::new(ends(&TLS13).server), near);
    let write = async {
        // A ClientHello of 65,000 bytes, one in each record (RFC 8446, sections 4 and 5.1).
        let message = [1, 0, 0xfd, 0xe8].into_iter().chain(std::iter::repeat(0));
        for byte in message.take(4 * MESSAGE_MAX / 6) {
            if far.write_all(&[22, 3, 1, 0, 1, byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let error = within(async {
        tokio::select! {
            accepted = accepting => accepted.unwrap_err(),
            () = write => unreachable!(),
        }
    })
    .await;
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn what_is_no_record_is_an_error_and_the_peer_is_told() {
    let (mut client, server) = ends(&TLS13).with_client(usize::MAX).await;
    let (mut below, _session) = server.into_inner();
    below.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut told = 0;
    // The peer is told once, however often it is asked.
    for _ in 0..3 {
        let error = within(client.read(&mut [0; 10])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(within(client.write(b"more")).await.is_err());
        let mut alert = [0; 100];
        if let Some(count) = below.read(&mut alert).now_or_never() {
            told += count.unwrap();
        }
    }
    // An alert, encrypted (RFC 8446, section 5.2).
    assert_eq!(told, 5 + 2 + 1 + 16);
}

#[tokio::test]
async fn keys_are_changed_when_the_peer_asks_for_it() {
    let (mut server, mut client) = ends(&TLS13).with_server(usize::MAX).await;
    exchange(&mut server, &mut client, 100).await;
    client.get_mut().1.refresh_traffic_keys().unwrap();
    exchange(&mut server, &mut client, 100).await;
    exchange(&mut server, &mut client, 100).await;
}

#[tokio::test]
async fn a_message_that_has_come_in_part_is_kept_while_something_is_written() {
    let mut ends = ends(&TLS13);
    // Of the session tickets, that are longer, a part at a time arrives.
    ends.server.max_fragment_size = Some(64);
    let (ours, theirs) = duplex(100);
    let acceptor = TlsAcceptor::from(Arc::new(ends.server));
    let accepting = acceptor.accept(theirs);
    let connecting = ClientStream::connect(Arc::new(ends.client), name(), ours);
    let (mut accepting, mut connecting) = (Box::pin(accepting), Box::pin(connecting));
    let mut context = Context::from_waker(Waker::noop());
    let mut accepted = None;
    let mut ours = loop {
        if accepted.is_none()
            && let Poll::Ready(stream) = accepting.as_mut().poll(&mut context)
        {
            accepted = Some(stream.unwrap());
        }
        if let Poll::Ready(stream) = connecting.as_mut().poll(&mut context) {
            break stream.unwrap();
        }
    };
    let mut buffer = [0; 10];
    let mut seen_in_part = false;
    for _ in 0..100 {
        if accepted.is_none()
            && let Poll::Ready(stream) = accepting.as_mut().poll(&mut context)
        {
            accepted = Some(stream.unwrap());
        }
        let mut read = ReadBuf::new(&mut buffer);
        let waits = Pin::new(&mut ours).poll_read(&mut context, &mut read);
        assert!(waits.is_pending());
        seen_in_part |= !ours.incoming.is_empty();
        let written = Pin::new(&mut ours).poll_write(&mut context, b"x");
        assert!(!matches!(written, Poll::Ready(Err(_))));
    }
    assert!(seen_in_part);
    assert!(accepted.is_some());
}
