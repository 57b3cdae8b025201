//! `weir wait`: ask a proxy for its health until it is well.
//!
//! For images that hold no shell and no curl: as the `postStart` hook of the
//! sidecar, which keeps the application from starting before it, and as a probe.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::say;
use crate::cli::{EXIT_NOT_YET, Health, WaitArgs};

/// Between two questions: a pod starts no later than that for it.
const INTERVAL: Duration = Duration::from_millis(20);
/// One question, over loopback, to a process that may have no processor now.
const QUESTION_WAIT: Duration = Duration::from_secs(2);
/// The whole answer: a line of status, a few fields, and a reason.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Waits.
///
/// # Errors
///
/// Whatever answers is not weir's proxy.
pub fn run(args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let path = match args.health {
        Health::Ready => "/readyz",
        Health::Alive => "/healthz",
    };
    let deadline = Instant::now() + args.timeout;
    loop {
        let why = match ask(args.admin, path) {
            Ok(Answer { status: 200, .. }) => return Ok(ExitCode::SUCCESS),
            Ok(Answer { status: 503, body }) => body,
            Ok(Answer { status, .. }) => {
                bail!(
                    "{} answered {path} with {status}: that is not weir",
                    args.admin
                )
            }
            Err(error) => format!("nobody answers on {}: {error}", args.admin),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            say(&format!("not {}: {}", args.health, why.trim()));
            return Ok(ExitCode::from(EXIT_NOT_YET));
        }
        thread::sleep(INTERVAL.min(left));
    }
}

struct Answer {
    status: u16,
    body: String,
}

fn ask(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut tcp = TcpStream::connect_timeout(&addr, QUESTION_WAIT)?;
    tcp.set_read_timeout(Some(QUESTION_WAIT))?;
    tcp.set_write_timeout(Some(QUESTION_WAIT))?;
    // HTTP/1.0: the answer ends with the connection.
    write!(tcp, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n")?;
    let mut text = Vec::new();
    tcp.take(ANSWER_BYTES_MAX).read_to_end(&mut text)?;
    read_answer(&text).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn read_answer(text: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    version.starts_with("HTTP/1.").then(|| Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::read_answer;

    #[test]
    fn an_answer_is_its_status_and_its_reason() {
        let text = b"HTTP/1.0 503 Service Unavailable\r\ncontent-length: 8\r\n\r\nnot yet\n";
        let answer = read_answer(text).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "not yet\n"));
        for other in [
            "",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 soon\r\n\r\n",
            "HTTP/1.1 200 OK",
        ] {
            assert!(read_answer(other.as_bytes()).is_none(), "{other}");
        }
    }
}
