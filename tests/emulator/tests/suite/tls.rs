//! Listeners that speak TLS well, badly, and in part.

use rustls::CertificateError;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_emulator::{Alpn, CertificateKind, ClientAuth, Emulator, Listener, Tls, TlsVersions};

use crate::client::{LIMIT, client_config, connect, loopback, trusting};

async fn speaking(tls: Tls) -> Emulator {
    let listener = Listener::tls(loopback(), tls);
    let emulator = Emulator::builder().listener(listener).start().await;
    emulator.expect("loopback has a free port")
}

/// The certificate error with which a verifying client refuses.
async fn refused(kind: CertificateKind) -> CertificateError {
    let emulator = speaking(Tls {
        certificate: kind,
        ..Tls::default()
    })
    .await;
    let failed = connect(emulator.addrs()[0], trusting(&emulator, &["h2"])).await;
    let error = failed.expect_err("the client refuses");
    let error = error.into_inner().expect("an error of rustls");
    let failures = emulator
        .wait_failed_handshakes(LIMIT, |failed| failed.len() == 1)
        .await;
    failures.expect("the emulator notices");
    match error.downcast::<rustls::Error>().map(|error| *error) {
        Ok(rustls::Error::InvalidCertificate(reason)) => reason,
        other => panic!("{kind:?}: {other:?}"),
    }
}

#[tokio::test]
async fn unsound_certificates_are_unsound_in_the_way_they_are_named() {
    let expired = refused(CertificateKind::Expired).await;
    assert!(
        matches!(expired, CertificateError::ExpiredContext { .. }),
        "{expired:?}"
    );
    let wrong = refused(CertificateKind::WrongName).await;
    assert!(
        matches!(wrong, CertificateError::NotValidForNameContext { .. }),
        "{wrong:?}"
    );
    let unknown = refused(CertificateKind::UnknownCa).await;
    assert!(
        unknown == CertificateError::UnknownIssuer || unknown == CertificateError::BadSignature,
        "{unknown:?}"
    );
    let own = refused(CertificateKind::SelfSigned).await;
    assert_eq!(own, CertificateError::UnknownIssuer);
}

#[tokio::test]
async fn alpn_chooses_what_the_listener_has() {
    for (alpn, offered, chosen) in [
        (Alpn::Both, &["http/1.1", "h2"][..], Some("h2")),
        (Alpn::Both, &["http/1.1"], Some("http/1.1")),
        (Alpn::Both, &[], None),
        (Alpn::Http1, &["h2", "http/1.1"], Some("http/1.1")),
        (Alpn::Http2, &["h2", "http/1.1"], Some("h2")),
        (Alpn::None, &["h2", "http/1.1"], None),
    ] {
        let emulator = speaking(Tls {
            alpn,
            ..Tls::default()
        })
        .await;
        let stream = connect(emulator.addrs()[0], trusting(&emulator, offered)).await;
        let stream = stream.expect("a handshake");
        let protocol = stream.get_ref().1.alpn_protocol();
        assert_eq!(protocol, chosen.map(str::as_bytes), "{alpn:?} {offered:?}");
    }
    let emulator = speaking(Tls {
        alpn: Alpn::Http1,
        ..Tls::default()
    })
    .await;
    let refused = connect(emulator.addrs()[0], trusting(&emulator, &["h2"])).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused() {
    for (versions, version, spoken) in [
        (TlsVersions::Both, &TLS12, true),
        (TlsVersions::Both, &TLS13, true),
        (TlsVersions::Tls12, &TLS12, true),
        (TlsVersions::Tls12, &TLS13, false),
        (TlsVersions::Tls13, &TLS12, false),
        (TlsVersions::Tls13, &TLS13, true),
    ] {
        let emulator = speaking(Tls {
            versions,
            ..Tls::default()
        })
        .await;
        let config = client_config(&emulator, &[], None, &[version]);
        let outcome = connect(emulator.addrs()[0], config).await;
        assert_eq!(outcome.is_ok(), spoken, "{versions:?} {version:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_as_configured() {
    for (client_auth, shown, accepted) in [
        (ClientAuth::None, false, true),
        (ClientAuth::Requested, false, true),
        (ClientAuth::Requested, true, true),
        (ClientAuth::Required, true, true),
        (ClientAuth::Required, false, false),
    ] {
        let emulator = speaking(Tls {
            client_auth,
            ..Tls::default()
        })
        .await;
        let identity = emulator
            .ca()
            .client_identity("client")
            .expect("an identity");
        let identity = shown.then_some(&identity);
        let config = client_config(&emulator, &["http/1.1"], identity, &[&TLS13]);
        // In TLS 1.3 the client learns of a refusal when it reads.
        let answered = async {
            let mut stream = connect(emulator.addrs()[0], config).await?;
            let request = "GET /emulator/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await?;
            std::io::Result::Ok(reply)
        };
        let answered = answered
            .await
            .is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"));
        assert_eq!(answered, accepted, "{client_auth:?} shown={shown}");
    }
}

#[tokio::test]
async fn http2_is_spoken_without_alpn_to_a_client_that_begins_with_it() {
    let emulator = Emulator::builder()
        .listener(Listener::plain(loopback()))
        .start()
        .await
        .expect("loopback has a free port");
    let tcp = tokio::net::TcpStream::connect(emulator.addrs()[0])
        .await
        .expect("connected");
    let (mut sender, connection) = h2::client::handshake(tcp).await.expect("a handshake");
    tokio::spawn(connection);
    let request = http::Request::get("http://h/emulator/")
        .body(())
        .expect("a request");
    let (response, _) = sender.send_request(request, true).expect("sent");
    assert_eq!(response.await.expect("a reply").status(), 200);
}
