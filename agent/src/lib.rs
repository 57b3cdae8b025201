//! weir: transparent interception, metering and policy for model traffic.

pub mod admin;
pub mod app;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod export;
pub mod llm;
pub mod meter;
pub mod proxy;
pub mod sniff;
pub mod sys;
pub mod tap;
pub mod tls;
