//! What becomes of an application's connections under `weir exec`, seen from all
//! four sides: the application, the provider, the records, the metrics.
//!
//! Each test has a world of its own (namespaces, emulator), so that they run
//! side by side and one that fails says nothing about another.

mod addresses;
mod certificates;
mod endings;
mod kept;
mod many;
mod metering;
mod misdirected;
mod ports;
mod privacy;
mod processes;
mod proxy_down;
mod refusers;
mod sockets;
mod splice;
mod straight;
mod udp;
