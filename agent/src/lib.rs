//! weir: transparent interception, metering and policy for model traffic.
//!
//! # A tour, in reading order
//!
//! - [`sniff`] looks at the first bytes of a connection and says what it speaks.
//! - [`tls`] has both handshakes: a leaf of our own CA for the application, a
//!   verified connection to the provider.
//! - [`proxy`] serves a connection from acceptance to its end, and relays
//!   HTTP/1, HTTP/2 or opaque bytes.
//! - [`tap`] is what happens to bodies on the way: shown, and changed only by a
//!   rule that says so.
//! - [`llm`] knows the providers' wire formats: which API, what was asked, what
//!   was used.
//! - [`meter`] makes one record of each exchange, and prices it.
//! - [`export`] and [`admin`] show records as metrics, and serve them.
//! - [`inject`] writes weir into the manifests of pods.
//! - [`capture`] is the kernel half seen from here; [`sys`] what it stands on.
//! - [`app`] wires it all: `weir exec`, its guard, the proxy process; with
//!   [`cli`], [`config`], the words between the processes, [`control`], and the
//!   counts of silent bounds, [`bounds`].
//! - [`invariant`] lists what must hold of everything that reads what others
//!   send, whatever they send.
//!
//! # What is absent, on purpose
//!
//! - `sniff`, `llm`, `meter` and `inject` do no input or output and read no clock: they
//!   are functions of bytes and values, and tested as such.
//! - Nothing outside `sys` is `unsafe`; nothing outside `capture` knows aya.
//! - There is no switch that turns upstream verification off, and no way for
//!   the CA's key to leave the process but sealed, for the next one of its pod.
//! - The inspector returns nothing to the relay: it cannot stall, fail or change
//!   what passes.

pub mod admin;
pub mod app;
pub mod bounds;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod export;
pub mod inject;
pub mod invariant;
pub mod llm;
pub mod meter;
pub mod proxy;
pub mod sniff;
pub mod sys;
pub mod tap;
pub mod tls;
