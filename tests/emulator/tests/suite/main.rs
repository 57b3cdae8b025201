//! What the emulator promises its users, seen from outside.
//!
//! The clients are hyper, h2, rustls and bare sockets: none of the
//! emulator's own code reads what it wrote.

mod bedrock;
mod client;
mod coding;
mod content;
mod faults;
mod leaving;
mod program;
mod refusals;
mod tls;
mod transparency;
mod tunnels;
mod usage;
mod vendors;
