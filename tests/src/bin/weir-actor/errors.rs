//! Errors by the kernel's own names.

use std::io;

use nix::errno::Errno;

/// The name of an error, such as `ECONNREFUSED`; its text if it is not the kernel's.
pub(crate) fn name(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| format!("{:?}", Errno::from_raw(number)),
    )
}

/// What a call came to: `0`, or the error's name.
pub(crate) fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "0".to_owned(),
        Err(error) => name(error),
    }
}
