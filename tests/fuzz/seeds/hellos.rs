//! First flights: what TLS clients say first, and others.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::exchanges::Exchange;
use super::heads;

/// Some of each protocol.
pub(crate) fn first_flights(exchanges: &[Exchange]) -> Result<Vec<Vec<u8>>> {
    let mut all = vec![
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"M-SEARCH * HTTP/1.1\r\n".to_vec(),
    ];
    all.extend(exchanges.iter().step_by(40).map(heads::request));
    for (name, protocols) in [
        ("api.openai.com", &["h2", "http/1.1"][..]),
        ("api.anthropic.com", &[]),
        ("203.0.113.7", &["http/1.1"]),
    ] {
        let hello = hello(name, protocols)?;
        all.push(in_records(&hello, 1));
        all.push(in_records(&hello, 100));
        all.push(with_extension(&hello, 0xfe0d, &[0; 40]));
        all.push(with_extension(&hello, 0x0a0a, &[]));
        // What begins behind the message is none of its business.
        all.push([in_records(&hello, 64).as_slice(), b"\x17\x03\x03\0\x01x"].concat());
    }
    Ok(all)
}

/// A ClientHello as rustls writes it, without its record's head.
fn hello(name: &str, protocols: &[&str]) -> Result<Vec<u8>> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned())?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut record = Vec::new();
    connection.write_tls(&mut record)?;
    Ok(record.get(5..).context("no record")?.to_vec())
}

/// A handshake message in records of so many bytes.
fn in_records(message: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in message.chunks(length) {
        out.extend([22, 3, 1]);
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.extend(length.to_be_bytes());
        out.extend(part);
    }
    out
}

/// A ClientHello with one more extension, in one record.
fn with_extension(hello: &[u8], kind: u16, body: &[u8]) -> Vec<u8> {
    let mut hello = hello.to_vec();
    let field =
        |bytes: &[u8], at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    // Type and length, version and random, session, suites, compression.
    let session = 4 + 34;
    let suites = session + 1 + usize::from(hello[session]);
    let compression = suites + 2 + field(&hello, suites);
    let extensions = compression + 1 + usize::from(hello[compression]);
    let added = 4 + body.len();
    hello.extend(kind.to_be_bytes());
    hello.extend(u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
    hello.extend(body);
    for at in [2, extensions] {
        let length = u16::try_from(field(&hello, at) + added).unwrap_or(u16::MAX);
        hello[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    in_records(&hello, 16_000)
}
