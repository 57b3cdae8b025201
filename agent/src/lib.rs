//! weir: transparent interception, metering and policy for model traffic.

pub mod export;
pub mod llm;
pub mod meter;
