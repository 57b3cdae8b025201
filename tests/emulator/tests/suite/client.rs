//! Clients of the emulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_emulator::{Emulator, Identity, Listener};

/// How long anything here may take: far above what it does, so that only a
/// broken emulator meets it.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Which HTTP version to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

/// The three surfaces that generate, in a form in which each can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Chat,
    Responses,
    Messages,
}

pub(crate) const SURFACES: [Surface; 3] = [Surface::Chat, Surface::Responses, Surface::Messages];

impl Surface {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Surface::Chat => "/v1/chat/completions",
            Surface::Responses => "/v1/responses",
            Surface::Messages => "/v1/messages",
        }
    }

    /// A request for an answer to `prompt`.
    pub(crate) fn ask(self, prompt: &str, stream: bool) -> Value {
        let messages = serde_json::json!([{"role": "user", "content": prompt}]);
        match self {
            Surface::Chat => serde_json::json!({
                "model": "gpt-4o", "messages": messages, "stream": stream,
                "stream_options": {"include_usage": true},
            }),
            Surface::Responses => serde_json::json!({
                "model": "gpt-4o", "input": prompt, "stream": stream,
            }),
            Surface::Messages => serde_json::json!({
                "model": "claude-sonnet-4-5", "messages": messages, "stream": stream,
                "max_tokens": 4096,
            }),
        }
    }
}

/// An emulator with one HTTPS listener (address 0) and one without TLS (1).
pub(crate) async fn emulator() -> Emulator {
    Emulator::builder()
        .listen(loopback())
        .listener(Listener::plain(loopback()))
        .start()
        .await
        .expect("loopback has a free port")
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// A reply read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The payloads of a stream's events, `[DONE]` left out.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.text()
            .split("\n\n")
            .filter(|event| !event.is_empty())
            .map(|event| {
                let line = event.lines().find_map(|line| line.strip_prefix("data: "));
                line.expect("every event has data")
            })
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("the data is JSON"))
            .collect()
    }
}

/// A request with credentials for either provider.
pub(crate) fn request(path: &str, body: &Value, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("https://api.openai.com{path}")
        .parse()
        .expect("a URI");
    let map = request.headers_mut();
    map.insert("authorization", "Bearer test".parse().expect("a value"));
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.insert(name, value.parse().expect("a value"));
    }
    request
}

/// A GET with credentials.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = request(path, &Value::Null, headers);
    *request.method_mut() = Method::GET;
    *request.body_mut() = Full::default();
    request
}

/// Sends a request over a connection of its own and reads the reply.
pub(crate) async fn call(emulator: &Emulator, http: Http, request: Request<Full<Bytes>>) -> Reply {
    let response = send(emulator, http, request).await.expect("a reply");
    read(response).await.expect("a whole body")
}

pub(crate) async fn read(response: Response<Incoming>) -> Result<Reply, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// Sends a request over a connection of its own, up to the head of the
/// reply. The connection ends when the reply is dropped.
pub(crate) async fn send(
    emulator: &Emulator,
    http: Http,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, hyper::Error> {
    let protocol = match http {
        Http::One => "http/1.1",
        Http::Two => "h2",
    };
    let config = trusting(emulator, &[protocol]);
    let stream = connect(emulator.addrs()[0], config)
        .await
        .expect("a handshake");
    let io = TokioIo::new(stream);
    match http {
        Http::One => {
            let host = request.uri().authority().expect("a host").to_string();
            request
                .headers_mut()
                .insert("host", host.parse().expect("a value"));
            let path = request.uri().path_and_query().expect("a path").to_string();
            *request.uri_mut() = path.parse().expect("a path");
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        Http::Two => {
            let executor = TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    }
}

/// A client configuration that trusts the emulator.
pub(crate) fn trusting(emulator: &Emulator, alpn: &[&str]) -> ClientConfig {
    client_config(emulator, alpn, None, rustls::DEFAULT_VERSIONS)
}

pub(crate) fn client_config(
    emulator: &Emulator,
    alpn: &[&str],
    identity: Option<&Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(emulator.ca_pem().as_bytes()).expect("a certificate");
    roots.add(ca).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
            builder
                .with_client_auth_cert(identity.chain.clone(), key)
                .expect("a pair")
        }
    };
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

/// A TLS connection to the emulator as `api.openai.com`.
pub(crate) async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("api.openai.com").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// The text of a bare HTTP/1.1 request; the connection is to be closed.
pub(crate) fn bare(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer test\r\n\
         Connection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

/// Sends bytes to the listener without TLS and reads to the end.
pub(crate) async fn exchange_bare(emulator: &Emulator, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut socket = TcpStream::connect(emulator.addrs()[1])
        .await
        .expect("connected");
    socket.write_all(bytes.as_ref()).await.expect("sent");
    let mut reply = Vec::new();
    socket
        .read_to_end(&mut reply)
        .await
        .expect("read to the end");
    reply
}

/// The head and the chunks of a bare chunked reply.
pub(crate) fn split_chunks(reply: &[u8]) -> (String, Vec<Bytes>) {
    let end = find(reply, b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(reply[..end].to_vec()).expect("a head in ASCII");
    let mut rest = &reply[end + 4..];
    let mut chunks = Vec::new();
    loop {
        let line = find(rest, b"\r\n").expect("a chunk size");
        let size = std::str::from_utf8(&rest[..line]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        rest = &rest[line + 2..];
        if size == 0 {
            return (head, chunks);
        }
        chunks.push(Bytes::copy_from_slice(&rest[..size]));
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What follows the head of a bare reply.
pub(crate) fn body_of(reply: &[u8]) -> &[u8] {
    &reply[find(reply, b"\r\n\r\n").expect("a head") + 4..]
}

/// A connection to the listener without TLS.
pub(crate) async fn dial(emulator: &Emulator) -> TcpStream {
    TcpStream::connect(emulator.addrs()[1])
        .await
        .expect("connected")
}

/// An HTTP/2 connection to the listener without TLS.
pub(crate) async fn dial_http2(emulator: &Emulator) -> h2::client::SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(dial(emulator).await)
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    sender.ready().await.expect("ready")
}

/// Reads until what was read ends with `end`.
pub(crate) async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let read = tokio::time::timeout(LIMIT, socket.read_buf(&mut text)).await;
        let said = String::from_utf8_lossy(&text);
        match read {
            Ok(Ok(1..)) => {}
            ended => panic!("{ended:?} instead of {end:?}, after {said:?}"),
        }
    }
    String::from_utf8(text).expect("UTF-8")
}
