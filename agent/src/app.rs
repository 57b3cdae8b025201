//! Wiring, and the order of starting and stopping.

pub mod detach;
pub mod doctor;
pub mod exec;
pub mod init;
pub mod inject;
pub mod log;
mod paragraph;
pub mod prices;
pub mod proxy;
mod replace;
mod requirements;
mod socket;
pub mod state;
pub mod status;
pub mod trace;
pub mod wait;

use std::io::{self, Write};

/// Tells the user something, as one line. Standard error may be gone, which is
/// no reason to end.
fn say(line: &str) {
    let line = line.replace(['\n', '\r'], " ");
    let _unheard = writeln!(io::stderr(), "weir: {line}");
}
