//! The providers' SDKs as they are released, under `weir exec`, against the
//! emulator: of each call, what the SDK says was used, what the emulator's ledger
//! says it told, and what weir recorded are the same numbers. An application sees
//! the same answers through weir as direct. What the emulator does not speak has a
//! server of its own SDK.

mod application;

mod a2a;
mod anthropic;
mod bedrock;
mod cohere;
mod google;
mod grpc;
mod mcp;
mod mistral;
mod ollama;
mod openai;
mod triton;
