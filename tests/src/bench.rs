//! What benchmarks share: parts of what is measured as processes of their own,
//! a client's TLS, the times that the emulator stamps on events, and what
//! figures depend on.

pub mod actor;
pub mod clock;
pub mod delays;
pub mod machine;
pub mod tls;
