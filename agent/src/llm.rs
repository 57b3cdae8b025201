//! What a model call asked for and what it used, read from a copy of its bytes.
//!
//! Everything here is pure: values in, values out. No sockets, files, clocks or
//! async. Nothing in this room changes a byte that is forwarded, with the one
//! exception of [`stream_usage`], whose edits the proxy applies by rule.
//!
//! Reading order: [`catalogue`] says whose host it is, [`classify`] which API a
//! path is, [`inspect`] follows one exchange and ends in an [`observation`], and
//! [`session`] follows a connection that carries many. What several exchanges
//! say of the same is in [`counted`] (tokens) and [`unanswered`] (calls of tools).
//! Wire formats have one file each (`openai_chat`, `openai_responses`,
//! `anthropic`), which fill one `reading`; the framings they travel in stand
//! beside them ([`decode`] for content codings, [`sse`], [`ndjson`],
//! [`json_array`], [`eventstream`], [`grpc`] and [`websocket`] for streams,
//! [`json`] and [`protobuf`] for documents); [`invariant`] says what holds of
//! them all.

mod anthropic;
mod bedrock_chunk;
mod bedrock_converse;
mod bedrock_invoke;
pub mod catalogue;
pub mod classify;
mod cohere;
pub mod counted;
pub mod decode;
pub mod eventstream;
mod format;
mod gemini;
mod gemini_interactions;
pub mod grpc;
pub mod headers;
pub mod inspect;
pub mod invariant;
pub mod json;
pub mod json_array;
mod json_rpc;
mod kserve;
mod llama_cpp;
mod mistral;
pub mod multipart;
pub mod ndjson;
pub mod observation;
mod ollama;
mod openai_chat;
mod openai_job;
mod openai_responses;
mod openai_task;
mod openai_usage;
pub mod protobuf;
mod reading;
mod request;
pub mod rpc_session;
pub mod session;
pub mod share;
pub mod sse;
pub mod stream_usage;
mod tgi;
pub mod tokens;
pub mod unanswered;
pub mod usage;
pub mod websocket;
mod xai_grpc;
