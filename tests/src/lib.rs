//! The harness of weir's suites.
//!
//! A suite that needs privileges is a test target behind the feature
//! `privileged`; what it shares with others is here. The harness fails loudly
//! when something it needs is missing: a test that did not run must not look
//! like one that passed.
//!
//! # A tour, in reading order
//!
//! - [`world`] is where a test happens: an application's network namespace, a
//!   provider's, and the provider emulator in it. It stands on [`namespace`] and
//!   [`provider`]; [`server`] is for what the emulator does not speak, [`service`] a
//!   server as it is released.
//!   Names can lead to it for every program, and [`clients`] are SDKs as they are released.
//! - [`run`] is `weir exec` in a world, with its report read back as records.
//! - [`calls`] are calls of model APIs, and [`curl`] makes them: through weir
//!   and direct, so that both can be compared. [`raw`] says bytes that curl would not.
//!   [`caller`] is an application that calls when it is told to.
//!   [`metrics`] asks weir itself, [`collector`] is told by it.
//! - [`exec`] is `weir exec` where only the command matters, on this machine's
//!   own network; [`remains`] says whether a run left anything behind,
//!   [`terminal`] has keys to press.
//! - [`pod`] is `weir init` and `weir proxy` in a network namespace and cgroups of
//!   their own, down to the kernel's programs and maps; what runs in it is the
//!   program `weir-actor`.
//! - [`output`] and [`processes`] are what all of them look at; [`bench`] is what
//!   benchmarks share, and [`spread`] what they make of their figures.

pub mod bench;
pub mod caller;
pub mod calls;
pub mod clients;
pub mod collector;
pub mod curl;
pub mod exec;
pub mod metrics;
mod names;
pub mod namespace;
pub mod output;
pub mod pod;
pub mod processes;
pub mod provider;
pub mod raw;
pub mod remains;
pub mod run;
pub mod server;
pub mod service;
pub mod spread;
pub mod terminal;
pub mod world;
