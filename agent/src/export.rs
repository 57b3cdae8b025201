//! Where measurements leave the process.

pub mod prometheus;
