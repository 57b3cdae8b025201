//! One call by Rust. Usage: `client native-tls|rustls [ROOTS]`. Prints the call's total of tokens.

use std::error::Error;
use std::fs;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

const BODY: &str = r#"{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"What holds a river back?"}]}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let provider = match arguments.next().as_deref() {
        Some("native-tls") => TlsProvider::NativeTls,
        _ => TlsProvider::Rustls,
    };
    let roots = match arguments.next() {
        // Where the platform has its roots, or SSL_CERT_FILE says.
        None => RootCerts::PlatformVerifier,
        Some(file) => {
            let pem = fs::read(file)?;
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            RootCerts::from(certificates)
        }
    };
    let tls = TlsConfig::builder().provider(provider).root_certs(roots).build();
    let agent = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
    let answer = agent
        .post("https://api.openai.com/v1/chat/completions")
        .header("authorization", "Bearer test-0123456789")
        .content_type("application/json")
        .send(BODY)?
        .body_mut()
        .read_to_string()?;
    let total = answer
        .split_once("\"total_tokens\":")
        .and_then(|(_, rest)| rest.trim_start().split(|c: char| !c.is_ascii_digit()).next())
        .ok_or("no usage in the answer")?;
    println!("{total}");
    Ok(())
}
