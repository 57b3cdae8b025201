//! The proxy's side of weir's own socket options: proving itself to the kernel
//! half, leaving something for the next proxy, and reading what was counted. None
//! of them needs a privilege.

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd, BorrowedFd},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use weir_common::{
    DEPOSIT_LEN_MAX, Deposit, FlowReason, SO_WEIR_CANARY, SO_WEIR_CLAIM, SO_WEIR_COUNTERS,
    SO_WEIR_DEPOSIT, SOL_WEIR, TOKEN_LEN,
};

/// The secret that makes a process the proxy. Never shown: whoever has it can
/// exempt itself from capture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Token([u8; TOKEN_LEN]);

impl Token {
    /// A new one, from the kernel's random number generator.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; TOKEN_LEN];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_unspecified| io::Error::other("the random number generator gave nothing"))?;
        Ok(Self(bytes))
    }

    /// The one that the kernel's settings hold; none while they hold none.
    #[must_use]
    pub fn from_bytes(bytes: [u8; TOKEN_LEN]) -> Option<Self> {
        (bytes != [0; TOKEN_LEN]).then_some(Self(bytes))
    }

    /// As the kernel's settings hold it.
    #[must_use]
    pub const fn bytes(&self) -> [u8; TOKEN_LEN] {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(…)")
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.as_bytes();
        if digits.len() != 2 * TOKEN_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(TokenError);
        }
        let mut bytes = [0; TOKEN_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_not_ascii| TokenError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_no_digits| TokenError)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        text.parse()
    }
}

/// A text that is no token. It is not quoted: it may be one, misspelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 hexadecimal digits")]
pub struct TokenError;

/// Why the kernel half did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Nothing answered at weir's own level.
    #[error(
        "weir's eBPF programs do not see this process: run `weir init` on the cgroup that holds it; \
         in a sandbox with a kernel of its own (gVisor, Kata) they cannot"
    )]
    NotSeen,
    /// The programs hold another secret.
    #[error("the kernel refused the claim: the token is not the one that `weir init` set")]
    WrongToken,
    /// Something else failed.
    #[error("cannot claim: {0}")]
    Io(#[source] io::Error),
}

/// Says that this socket is where redirected connections are to go, and that
/// the cgroup of this process is the proxy's.
///
/// # Errors
///
/// Says which of three it was.
pub fn claim(listener: BorrowedFd<'_>, token: &Token) -> Result<(), ClaimError> {
    present(listener, SO_WEIR_CLAIM, token)
}

/// Asks for the next `connect` of this socket to be captured, although it is
/// the proxy's.
///
/// # Errors
///
/// Says which of three it was.
pub fn mark_canary(socket: BorrowedFd<'_>, token: &Token) -> Result<(), ClaimError> {
    present(socket, SO_WEIR_CANARY, token)
}

fn present(socket: BorrowedFd<'_>, option: i32, token: &Token) -> Result<(), ClaimError> {
    let len = libc::socklen_t::try_from(TOKEN_LEN).unwrap_or(0);
    // SAFETY: the value is readable and `len` is its length.
    #[expect(unsafe_code, reason = "a private socket option has no safe wrapper")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_WEIR,
            option,
            token.0.as_ptr().cast(),
            len,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL) => ClaimError::NotSeen,
        Some(libc::EPERM) => ClaimError::WrongToken,
        _ => ClaimError::Io(error),
    })
}

/// Leaves this for the next proxy of the pod, in place of what was left before.
/// The socket is a listener that has claimed.
///
/// # Errors
///
/// The socket has not claimed, or these are not 1 to
/// [`DEPOSIT_LEN_MAX`](weir_common::DEPOSIT_LEN_MAX) bytes.
pub fn leave_deposit(listener: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let deposit = Deposit::of(bytes).ok_or(io::ErrorKind::InvalidInput)?;
    let len = libc::socklen_t::try_from(size_of::<Deposit>()).unwrap_or(0);
    // SAFETY: the value is readable and `len` is its length.
    #[expect(unsafe_code, reason = "a private socket option has no safe wrapper")]
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            SOL_WEIR,
            SO_WEIR_DEPOSIT,
            (&raw const deposit).cast(),
            len,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What an earlier proxy of the pod left; `None` if none did. The socket is a
/// listener that has claimed.
///
/// # Errors
///
/// Whatever else `getsockopt` reports.
pub fn take_deposit(listener: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut deposit = Deposit {
        len: 0,
        reserved: 0,
        bytes: [0; DEPOSIT_LEN_MAX],
    };
    let mut len = libc::socklen_t::try_from(size_of::<Deposit>()).unwrap_or(0);
    // SAFETY: the buffer is writable and `len` is its length in bytes.
    #[expect(unsafe_code, reason = "a private socket option has no safe wrapper")]
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            SOL_WEIR,
            SO_WEIR_DEPOSIT,
            (&raw mut deposit).cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        return Ok(deposit.get().map(<[u8]>::to_vec));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL) => Ok(None),
        _ => Err(error),
    }
}

/// How often each reason was counted, in the order of [`FlowReason::ALL`].
/// `None` where the programs do not see this process, or it has not claimed.
///
/// # Errors
///
/// Whatever else `getsockopt` reports.
pub fn counters(socket: BorrowedFd<'_>) -> io::Result<Option<[u64; FlowReason::COUNT]>> {
    let mut counts = [0_u64; FlowReason::COUNT];
    let size = mem::size_of_val(&counts);
    let mut len = libc::socklen_t::try_from(size).unwrap_or(0);
    // SAFETY: the buffer is writable and `len` is its length in bytes.
    #[expect(unsafe_code, reason = "a private socket option has no safe wrapper")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_WEIR,
            SO_WEIR_COUNTERS,
            counts.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        return Ok(usize::try_from(len)
            .is_ok_and(|len| len == size)
            .then_some(counts));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL) => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd};

    use super::*;

    #[test]
    fn a_token_survives_being_written_down() {
        let token = Token::random().unwrap();
        let text = String::from(token.clone());
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(token));
        assert_ne!(Token::random().unwrap(), Token::random().unwrap());
    }

    #[test]
    fn what_is_no_token_is_refused_and_none_is_shown() {
        for text in [
            "",
            "00",
            "zz000000000000000000000000000000",
            "000000000000000000000000000000000",
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
        let token = Token::random().unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn without_the_programs_a_claim_says_so() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let token = Token::random().unwrap();
        let claimed = claim(listener.as_fd(), &token);
        assert!(matches!(claimed, Err(ClaimError::NotSeen)), "{claimed:?}");
        assert_eq!(counters(listener.as_fd()).unwrap(), None);
        assert_eq!(take_deposit(listener.as_fd()).unwrap(), None);
        assert!(leave_deposit(listener.as_fd(), b"key").is_err());
    }
}
