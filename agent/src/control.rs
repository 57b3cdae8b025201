//! What the supervisor of `weir exec` and the proxy say to each other: JSON
//! lines over a pair of Unix stream sockets.
//!
//! This file owns the messages, the line codec both sides share, and the
//! supervisor's blocking end; the proxy reads the same lines with tokio. The
//! end of the stream is a message too: it tells the proxy that the supervisor
//! is gone, and the supervisor that the proxy is.
//!
//! The proxy has no privileges and reads hostile bytes, so the supervisor
//! believes nothing it says beyond what the types hold, and bounds every line.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::capture::Listening;
use crate::sys::claim::Token;

/// Upper bound of a line without its newline, in bytes. The largest message is
/// `Ready`: a certificate of about 1 KiB and a handful of warnings.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long a write may take. The messages fit into the socket's buffer, so
/// that only a peer which stopped reading gets here.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What the proxy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromProxy {
    /// It listens, has made its CA and given up its privileges. Said once.
    Ready {
        /// Where it listens for redirected connections.
        listening: Listening,
        /// Where metrics and health are served, unless that is off.
        admin: Option<SocketAddr>,
        /// The certificate of its CA, PEM. The key never leaves the proxy.
        ca_pem: String,
        /// What the user should know; one line each.
        warnings: Vec<String>,
    },
    /// A connection of its own was redirected and arrived with its destination:
    /// interception works. Said once, after [`ToProxy::Configured`].
    Proven,
    /// It could not start, or interception does not work, and it exits. Said
    /// instead of `Ready` or `Proven`.
    Failed {
        /// Cause and remedy, one line.
        message: String,
    },
    /// Which program is this process? Only the supervisor may look.
    ResolveExe {
        /// Process id of the application, in the initial pid namespace.
        pid: u32,
    },
}

/// What the supervisor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToProxy {
    /// The secret that the kernel half was given. Said first, and once: on a
    /// command line or in the environment others could read it.
    Token {
        /// The secret.
        token: Token,
    },
    /// The kernel half knows where the proxy listens. Said after `Ready`.
    Configured,
    /// The answer to [`FromProxy::ResolveExe`].
    Exe {
        /// The process asked about.
        pid: u32,
        /// Its executable; none if it ended or is not one of the application's.
        exe: Option<String>,
    },
    /// The command has ended: finish what is under way, report, exit.
    Finish {
        /// The kernel's flow counters, by the reasons' names.
        flows: Vec<(String, u64)>,
    },
}

/// Why the conversation broke.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A line is longer than [`LINE_BYTES_MAX`].
    #[error("a control message is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Another message was due.
    #[error("the supervisor did not say the token first")]
    NoToken,
    /// A line is not a message.
    #[error("a control message is not understood: {0}")]
    NotAMessage(#[source] serde_json::Error),
    /// The socket failed.
    #[error("the control socket failed: {0}")]
    Io(#[from] io::Error),
}

/// A message as one line, newline included.
///
/// # Errors
/// The message is longer than a line may be.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, ControlError> {
    let mut line = serde_json::to_vec(message).map_err(ControlError::NotAMessage)?;
    if line.len() > LINE_BYTES_MAX {
        return Err(ControlError::TooLong);
    }
    line.push(b'\n');
    Ok(line)
}

/// The message of one line, given without its newline.
///
/// # Errors
/// The line is not such a message.
pub fn decode<M: DeserializeOwned>(line: &[u8]) -> Result<M, ControlError> {
    serde_json::from_slice(line).map_err(ControlError::NotAMessage)
}

/// Waits for the supervisor's first message, the token. Reads nothing past it.
///
/// # Errors
/// The supervisor is gone, or says something else.
pub fn receive_token(socket: &mut UnixStream) -> Result<Token, ControlError> {
    let mut lines = Lines::default();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        lines.push(&byte);
        if let Some(line) = lines.next_line()? {
            return match decode(&line)? {
                ToProxy::Token { token } => Ok(token),
                ToProxy::Configured | ToProxy::Exe { .. } | ToProxy::Finish { .. } => {
                    Err(ControlError::NoToken)
                }
            };
        }
    }
}

/// Cuts what arrives into lines, never holding more than one line and what was
/// read past it.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete line without its newline, if there is one.
    ///
    /// # Errors
    /// The line, complete or not, is longer than a line may be.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, ControlError> {
        let end = memchr::memchr(b'\n', &self.pending);
        if end.unwrap_or(self.pending.len()) > LINE_BYTES_MAX {
            return Err(ControlError::TooLong);
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let mut line: Vec<u8> = self.pending.drain(..=end).collect();
        line.pop();
        Ok(Some(line))
    }
}

/// What the supervisor's end gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(FromProxy),
    /// Nothing yet: wait until the socket is readable.
    NotYet,
    /// The proxy has closed its end.
    Closed,
}

/// The supervisor's end.
#[derive(Debug)]
pub struct SupervisorEnd {
    socket: UnixStream,
    lines: Lines,
}

impl SupervisorEnd {
    /// Makes both ends; the proxy's is handed to its process.
    ///
    /// # Errors
    /// The kernel gives no sockets.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let end = Self {
            socket: ours,
            lines: Lines::default(),
        };
        Ok((end, theirs.into()))
    }

    /// The next message, without waiting for one.
    ///
    /// # Errors
    /// What arrived is not a message, or the socket failed.
    pub fn receive(&mut self) -> Result<Received, ControlError> {
        loop {
            if let Some(line) = self.lines.next_line()? {
                return decode(&line).map(Received::Message);
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.lines.push(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::NotYet);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that died with our bytes unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Received::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says something to the proxy, waiting a little if it does not read.
    ///
    /// # Errors
    /// The proxy is gone or does not read.
    pub fn send(&mut self, message: &ToProxy) -> Result<(), ControlError> {
        let line = encode(message)?;
        self.socket.set_nonblocking(false)?;
        self.socket.set_write_timeout(Some(WRITE_WAIT_MAX))?;
        let written = self.socket.write_all(&line);
        self.socket.set_nonblocking(true)?;
        Ok(written?)
    }
}

impl AsFd for SupervisorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ready() -> FromProxy {
        FromProxy::Ready {
            listening: Listening {
                port: 15001,
                count: 16,
                ipv6: false,
            },
            admin: Some("127.0.0.1:15020".parse().expect("an address")),
            ca_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            warnings: vec!["a\nb".to_owned()],
        }
    }

    #[test]
    fn the_token_comes_first_and_nothing_behind_it_is_lost() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        let token = Token::random().expect("randomness");
        let said = ToProxy::Token {
            token: token.clone(),
        };
        ours.write_all(&encode(&said).expect("short"))
            .expect("open");
        ours.write_all(&encode(&ToProxy::Configured).expect("short"))
            .expect("open");
        assert_eq!(receive_token(&mut theirs).expect("a token"), token);
        let next = receive_token(&mut theirs);
        assert!(matches!(next, Err(ControlError::NoToken)), "{next:?}");
    }

    #[test]
    fn a_message_survives_every_split() {
        let bytes = [
            encode(&ready()).expect("short"),
            encode(&FromProxy::ResolveExe { pid: 7 }).expect("short"),
        ]
        .concat();
        for split in 0..=bytes.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in [&bytes[..split], &bytes[split..]] {
                lines.push(part);
                while let Some(line) = lines.next_line().expect("short") {
                    seen.push(decode::<FromProxy>(&line).expect("a message"));
                }
            }
            assert_eq!(seen, [ready(), FromProxy::ResolveExe { pid: 7 }]);
        }
    }

    #[test]
    fn the_wire_form_is_one_tagged_object_a_line() {
        let line = encode(&ToProxy::Finish {
            flows: vec![("redirected".to_owned(), 3)],
        })
        .expect("short");
        assert_eq!(
            line,
            b"{\"type\":\"finish\",\"flows\":[[\"redirected\",3]]}\n"
        );
        let line = encode(&ToProxy::Exe { pid: 7, exe: None }).expect("short");
        assert_eq!(line, b"{\"type\":\"exe\",\"pid\":7,\"exe\":null}\n");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        lines.push(&[b'x'; LINE_BYTES_MAX]);
        assert!(matches!(lines.next_line(), Ok(None)));
        lines.push(b"x");
        assert!(matches!(lines.next_line(), Err(ControlError::TooLong)));
    }

    #[test]
    fn what_is_not_a_message_is_refused() {
        for line in [
            &b"{}"[..],
            b"[]",
            b"",
            b"{\"type\":\"ready\"}",
            b"\xff",
            b"{\"type\":\"stop\"}",
        ] {
            assert!(matches!(
                decode::<FromProxy>(line),
                Err(ControlError::NotAMessage(_))
            ));
        }
    }

    #[test]
    fn the_supervisor_hears_and_answers() {
        let (mut ours, theirs) = SupervisorEnd::pair().expect("sockets");
        let mut theirs = UnixStream::from(theirs);
        assert_eq!(ours.receive().expect("open"), Received::NotYet);
        theirs
            .write_all(&encode(&ready()).expect("short"))
            .expect("open");
        assert_eq!(ours.receive().expect("open"), Received::Message(ready()));
        ours.send(&ToProxy::Exe { pid: 1, exe: None })
            .expect("open");
        let mut answer = [0; 64];
        let count = theirs.read(&mut answer).expect("open");
        assert_eq!(
            &answer[..count],
            b"{\"type\":\"exe\",\"pid\":1,\"exe\":null}\n"
        );
        drop(theirs);
        assert_eq!(ours.receive().expect("closed in order"), Received::Closed);
        assert!(ours.send(&ToProxy::Finish { flows: vec![] }).is_err());
    }
}
