//! The webhook as an API server meets it: TLS, HTTP, a certificate that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsConnector;
use weir::app::inject::Webhook;
use weir::inject::options::Options;

use crate::reviews::{pods, question};

const HOST: &str = "weir-webhook.weir-system.svc";

/// A webhook at work, and who talks to it.
struct Running {
    directory: tempfile::TempDir,
    reviews: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

fn pair() -> Pair {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![HOST.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    Pair {
        certificate: certificate.der().clone(),
        pem: certificate.pem(),
        key: key.serialize_pem(),
    }
}

impl Running {
    async fn start(first: &Pair) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (certificate, key) = files(directory.path());
        fs::write(&certificate, &first.pem)?;
        fs::write(&key, &first.key)?;
        let webhook = Webhook::new(
            Options::default(),
            Some("weir-system".into()),
            &certificate,
            &key,
        )?;
        let (on, admin) = (
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind("127.0.0.1:0").await?,
        );
        let (reviews, admin_addr) = (on.local_addr()?, admin.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stop = async {
                let _either_way = stopped.await;
            };
            webhook.serve(on, admin, stop).await;
        });
        Ok(Self {
            directory,
            reviews,
            admin: admin_addr,
            stop: Some(stop),
            served,
        })
    }

    async fn admin(&self, path: &str) -> Result<(StatusCode, String)> {
        let tcp = TcpStream::connect(self.admin).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", "webhook")
            .body(Full::new(Bytes::new()))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec())?))
    }
}

fn files(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("tls.crt"), directory.join("tls.key"))
}

fn trusting(pairs: &[Pair], alpn: &[u8]) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.certificate.clone())?;
    }
    let mut config = ClientConfig::builder_with_provider(weir::tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Posts on a connection of its own; gives the answer and the certificate shown.
async fn post(
    at: std::net::SocketAddr,
    connector: &TlsConnector,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes, CertificateDer<'static>)> {
    let tcp = TcpStream::connect(at).await?;
    let tls = connector.connect(ServerName::try_from(HOST)?, tcp).await?;
    let (_, session) = tls.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let shown = shown.context("a certificate")?.clone().into_owned();
    let h2 = session.alpn_protocol() == Some(b"h2");
    let response = if h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body, shown))
}

fn inject(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("https://{HOST}/inject?timeout=5s"))
        .header("host", HOST)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_review_fails_while_the_certificate_is_renewed() -> Result<()> {
    const WORKERS: usize = 6;
    const REVIEWS: usize = 240;
    let pairs: Vec<Pair> = (0..5).map(|_| pair()).collect();
    let running = Running::start(&pairs[0]).await?;
    let connectors = [trusting(&pairs, b"h2")?, trusting(&pairs, b"http/1.1")?];
    let bodies: Arc<Vec<String>> = Arc::new(
        pods()
            .iter()
            .enumerate()
            .map(|(index, pod)| {
                let version = if index % 2 == 0 { "v1" } else { "v1beta1" };
                question(version, &index.to_string(), "shop", pod).to_string()
            })
            .collect(),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let (done, mut seen) = watch::channel(0);
    let done = Arc::new(done);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (next, bodies, done) = (Arc::clone(&next), Arc::clone(&bodies), Arc::clone(&done));
        let (at, connectors) = (running.reviews, connectors.clone());
        workers.push(tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= REVIEWS {
                    return anyhow::Ok(());
                }
                let which = index % bodies.len();
                let request = inject(bodies[which].clone());
                let (status, body, _) = post(at, &connectors[index % 2], request)
                    .await
                    .with_context(|| format!("review {index}"))?;
                ensure!(status == StatusCode::OK, "review {index}: {status}");
                let answer: Value = serde_json::from_slice(&body)?;
                let uid = which.to_string();
                ensure!(answer["response"]["uid"] == uid.as_str(), "{answer}");
                ensure!(answer["response"]["allowed"] == true, "{answer}");
                ensure!(answer["response"]["patch"].is_string(), "{answer}");
                done.send_modify(|count| *count += 1);
            }
        }));
    }
    // One after the other, as by hand: between the two they do not fit together.
    let (certificate, key) = files(running.directory.path());
    for (round, renewed) in pairs.iter().enumerate().skip(1) {
        seen.wait_for(|count| *count >= round * REVIEWS / (pairs.len() + 1))
            .await?;
        fs::write(&certificate, &renewed.pem)?;
        let so_far = *seen.borrow();
        seen.wait_for(|count| *count > so_far + WORKERS).await?;
        fs::write(&key, &renewed.key)?;
    }
    for worker in workers {
        worker.await??;
    }
    let request = inject(bodies[0].clone());
    let (_, _, shown) = post(running.reviews, &connectors[0], request).await?;
    assert_eq!(shown, pairs[pairs.len() - 1].certificate);
    let (_, metrics) = running.admin("/metrics").await?;
    let injected = format!(
        "weir_webhook_reviews_total{{outcome=\"injected\"}} {}",
        REVIEWS + 1
    );
    assert!(metrics.lines().any(|line| line == injected), "{metrics}");
    assert!(
        metrics
            .lines()
            .any(|line| line == "weir_webhook_handshakes_failed_total 0"),
        "{metrics}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_review_is_answered_and_counted() -> Result<()> {
    let pairs = [pair()];
    let running = Running::start(&pairs[0]).await?;
    let connector = trusting(&pairs, b"h2")?;
    let get = Request::get(format!("https://{HOST}/inject")).body(Full::new(Bytes::new()))?;
    let elsewhere = Request::post(format!("https://{HOST}/other")).body(Full::new(Bytes::new()))?;
    for (request, status) in [
        (inject("{}"), StatusCode::BAD_REQUEST),
        (
            inject(vec![b' '; 7 * 1024 * 1024 + 1]),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (get, StatusCode::METHOD_NOT_ALLOWED),
        (elsewhere, StatusCode::NOT_FOUND),
    ] {
        let (got, _, _) = post(running.reviews, &connector, request).await?;
        assert_eq!(got, status);
    }
    let (status, metrics) = running.admin("/metrics").await?;
    assert_eq!(status, StatusCode::OK);
    for line in [
        "weir_webhook_reviews_total{outcome=\"malformed\"} 1",
        "weir_webhook_reviews_total{outcome=\"too_large\"} 1",
        "weir_webhook_reviews_total{outcome=\"injected\"} 0",
        "weir_webhook_review_seconds_count 2",
    ] {
        assert!(
            metrics.lines().any(|have| have == line),
            "{line}\n{metrics}"
        );
    }
    assert_eq!(running.admin("/healthz").await?.0, StatusCode::OK);
    assert_eq!(running.admin("/other").await?.0, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_review_under_way_is_answered_when_the_webhook_ends() -> Result<()> {
    let pairs = [pair()];
    let mut running = Running::start(&pairs[0]).await?;
    let tcp = TcpStream::connect(running.reviews).await?;
    let connector = trusting(&pairs, b"http/1.1")?;
    let mut tls = connector.connect(ServerName::try_from(HOST)?, tcp).await?;
    let body = question("v1", "last", "shop", &pods()[0]).to_string();
    let head = format!(
        "POST /inject HTTP/1.1\r\nhost: {HOST}\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    tls.write_all(head.as_bytes()).await?;
    // It has read the head, and waits for the body.
    let mut go_on = [0; 25];
    tls.read_exact(&mut go_on).await?;
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    running.stop.take().context("once")?.send(()).ok();
    tls.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"uid\":\"last\""), "{answer}");
    running.served.await?;
    Ok(())
}

/// What a webhook that has answered nothing yet says of itself, as Prometheus
/// reads it.
pub(crate) async fn metrics_of_a_webhook() -> Result<String> {
    let running = Running::start(&pair()).await?;
    Ok(running.admin("/metrics").await?.1)
}
