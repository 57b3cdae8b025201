//! What actors say to one another: a question of one line, an answer of one line.
//!
//! The client speaks first, because weir's proxy looks at what a client says
//! before it dials.

use std::io::{self, Read, Write};

/// The question.
const QUESTION: &[u8] = b"?\n";
/// Longest line that is read, in bytes: two addresses and a word.
const LINE_MAX: usize = 128;

/// Asks, and gives the answer without its end.
///
/// # Errors
/// The stream broke, or ended before the line did.
pub fn ask(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(QUESTION)?;
    read_line(stream)
}

/// Reads a line; the other side says nothing behind it until it is answered.
///
/// # Errors
/// The stream broke, or ended before the line did, or has too long a line.
pub fn read_line(mut stream: impl Read) -> io::Result<String> {
    let mut line = [0; LINE_MAX];
    let mut length = 0;
    loop {
        let rest = line.get_mut(length..).unwrap_or_default();
        length += match stream.read(rest) {
            Ok(0) if length == LINE_MAX => return Err(io::Error::other("the line is too long")),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            // A ring of io_uring interrupts the thread that made it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        if let Some(text) = line.get(..length).and_then(|read| read.strip_suffix(b"\n")) {
            return String::from_utf8(text.to_vec()).map_err(io::Error::other);
        }
    }
}
