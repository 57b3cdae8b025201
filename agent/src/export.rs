//! Where measurements leave the process, and how nobody has to wait for it.
//!
//! [`prometheus`] is asked for; [`json_lines`], [`otlp`] and [`capture`] send, off
//! unless configured, through queues that have a bound and count what did not fit.

pub mod capture;
pub mod invariant;
pub mod json_lines;
pub mod otlp;
pub mod pattern;
pub mod prometheus;
mod semconv;
