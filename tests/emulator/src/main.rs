//! The emulator as a program, for demos and for tests in other languages.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use weir_emulator::controls::{Controls, Encoding};
use weir_emulator::{
    Alpn, CertificateKind, ClientAuth, Codings, Emulator, Fault, Ids, Listener, Tls, TlsVersions,
};

/// Answers like the OpenAI, Anthropic and Bedrock APIs, for tests.
///
/// A test part of weir, never in the product. Every answer carries the
/// header `x-weir-emulator: 1`. Runs until SIGINT or SIGTERM.
#[derive(Parser)]
#[command(name = "weir-emulator", version, after_help = REQUEST_HEADERS)]
struct Arguments {
    /// Listen for HTTPS on ADDRESS:PORT; repeatable, port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "plain")]
    listen: Vec<SocketAddr>,

    /// Listen for HTTP without TLS on ADDRESS:PORT; repeatable
    #[arg(long, value_name = "ADDRESS:PORT")]
    plain: Vec<SocketAddr>,

    /// A name for the certificate; repeatable [default: api.openai.com, api.anthropic.com]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,

    /// Write the CA's certificate to FILE, as PEM
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,

    /// Write what each exchange was told to FILE, one JSON object a line
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,

    /// Write the line that is printed when ready to FILE too
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Write that line to an inherited file descriptor too
    #[arg(long, value_name = "FD")]
    ready_fd: Option<u32>,

    /// Give each answer an id of its own, instead of one that follows from
    /// the content of the request
    #[arg(long)]
    unique_ids: bool,

    /// What is wrong with the certificate
    #[arg(long, value_enum, default_value_t = CertificateArgument::Sound)]
    certificate: CertificateArgument,

    /// What ALPN may choose
    #[arg(long, value_enum, default_value_t = AlpnArgument::Both)]
    alpn: AlpnArgument,

    /// The TLS versions spoken
    #[arg(long, value_enum, default_value_t = TlsArgument::Both)]
    tls: TlsArgument,

    /// Whether clients are asked for a certificate
    #[arg(long, value_enum, default_value_t = ClientAuthArgument::None)]
    client_auth: ClientAuthArgument,

    /// Wait before each answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,

    /// Wait between the events of a stream, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    gap_ms: u64,

    /// Content coding of answers: gzip, br, zstd, deflate, identity, a list
    /// of them in the order of application, or auto (what the client prefers)
    #[arg(long, value_name = "CODING", default_value = "identity")]
    encoding: String,

    /// What goes wrong in every answer
    #[arg(long, value_name = "FAULT")]
    fault: Option<Fault>,

    /// Tokens of text in every answer [default: drawn from the request]
    #[arg(long, value_name = "N")]
    tokens: Option<u32>,
}

const REQUEST_HEADERS: &str = "\
Request headers that say how one answer is given:
  x-emulator-delay-ms: MS            wait before the head
  x-emulator-gap-ms: MS              wait before each event but the first
  x-emulator-chunking: event|byte|whole|N
                                     how body bytes are cut into writes
  x-emulator-framing: length|chunked|close
                                     how a plain HTTP/1 body is framed
  x-emulator-encoding: CODING        as --encoding
  x-emulator-fault: reset-mid-stream|error-event|close-early|no-usage|429|529|
                    500-html|slow-headers|early-hints|expect-refuse|none
  x-emulator-fault-times: N          for the first N tries of an SDK's call
  x-emulator-tokens: N               tokens of text, before the request's maximum
  x-emulator-stamp: 1                ': t=<CLOCK_MONOTONIC ns>' before each event
  x-emulator-nonce: TEXT             another answer to the same content

A tool is called when tool_choice insists, or when the user's last words
contain its name or the word 'tool'. Endpoints that test a proxy rather than
a meter are under /emulator/; GET /emulator/ lists them.";

#[derive(Clone, Copy, ValueEnum)]
enum CertificateArgument {
    Sound,
    Expired,
    WrongName,
    UnknownCa,
    SelfSigned,
}

#[derive(Clone, Copy, ValueEnum)]
enum AlpnArgument {
    Both,
    Http1,
    Http2,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum TlsArgument {
    Both,
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClientAuthArgument {
    None,
    Requested,
    Required,
}

impl Arguments {
    fn tls(&self) -> Tls {
        Tls {
            certificate: match self.certificate {
                CertificateArgument::Sound => CertificateKind::Sound,
                CertificateArgument::Expired => CertificateKind::Expired,
                CertificateArgument::WrongName => CertificateKind::WrongName,
                CertificateArgument::UnknownCa => CertificateKind::UnknownCa,
                CertificateArgument::SelfSigned => CertificateKind::SelfSigned,
            },
            alpn: match self.alpn {
                AlpnArgument::Both => Alpn::Both,
                AlpnArgument::Http1 => Alpn::Http1,
                AlpnArgument::Http2 => Alpn::Http2,
                AlpnArgument::None => Alpn::None,
            },
            versions: match self.tls {
                TlsArgument::Both => TlsVersions::Both,
                TlsArgument::Tls12 => TlsVersions::Tls12,
                TlsArgument::Tls13 => TlsVersions::Tls13,
            },
            client_auth: match self.client_auth {
                ClientAuthArgument::None => ClientAuth::None,
                ClientAuthArgument::Requested => ClientAuth::Requested,
                ClientAuthArgument::Required => ClientAuth::Required,
            },
        }
    }

    fn controls(&self) -> Result<Controls> {
        let encoding = match self.encoding.as_str() {
            "auto" => Encoding::Auto,
            codings => Encoding::Fixed(codings.parse::<Codings>().context("--encoding")?),
        };
        Ok(Controls {
            delay: Duration::from_millis(self.delay_ms),
            gap: Duration::from_millis(self.gap_ms),
            encoding,
            fault: self.fault,
            tokens: self.tokens,
            ..Controls::default()
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();

    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let emulator = start(&arguments).await?;
    if let Some(path) = &arguments.ca_out {
        std::fs::write(path, emulator.ca_pem())
            .with_context(|| format!("cannot write the CA to {}", path.display()))?;
    }
    announce(&arguments, &emulator)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    emulator.shutdown().await;
    Ok(())
}

async fn start(arguments: &Arguments) -> Result<Emulator> {
    let tls = arguments.tls();
    let mut builder = Emulator::builder()
        .names(&arguments.names)
        .defaults(arguments.controls()?)
        .ids(if arguments.unique_ids {
            Ids::Unique
        } else {
            Ids::ByContent
        });
    for address in &arguments.listen {
        builder = builder.listener(Listener::tls(*address, tls));
    }
    for address in &arguments.plain {
        builder = builder.listener(Listener::plain(*address));
    }
    if let Some(path) = &arguments.ledger {
        let file = File::create(path);
        let file =
            file.with_context(|| format!("cannot write the ledger to {}", path.display()))?;
        builder = builder.ledger_file(file);
    }
    Ok(builder.start().await?)
}

/// Says that connections are accepted, and where.
fn announce(arguments: &Arguments, emulator: &Emulator) -> Result<()> {
    let addresses: Vec<String> = emulator.addrs().iter().map(ToString::to_string).collect();
    let line = format!("weir-emulator ready on {}\n", addresses.join(" "));
    let mut stdout = std::io::stdout();
    // Nobody may be reading, and that is no reason not to serve.
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .unwrap_or_else(|error| tracing::debug!(%error, "cannot announce on stdout"));
    if let Some(path) = &arguments.ready_file {
        write_whole(path, &line)?;
    }
    if let Some(fd) = arguments.ready_fd {
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("cannot announce on descriptor {fd}"))?;
    }
    Ok(())
}

/// Writes a file that is complete as soon as it is there.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
