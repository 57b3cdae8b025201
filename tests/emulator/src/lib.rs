//! A test part, never in the product: an HTTPS server that answers like the
//! model providers, for weir's tests, its demo and its benchmarks. Every
//! answer says so in the header `x-weir-emulator: 1`.
//!
//! It has the real shapes of OpenAI's chat completions, responses and embeddings,
//! of Anthropic's messages, of Bedrock's Converse and Invoke with signatures that
//! must hold, and of what Gemini, Cohere, Mistral and Ollama offer for the same,
//! plain and streamed, over HTTP/1.1 and HTTP/2.
//! Tokens are counted by a real tokenizer, from what was received and sent,
//! and a [ledger](Told) says what each client was told. What an answer
//! contains follows from its request alone, so that a body that came through
//! a proxy can be compared byte for byte with one that did not. How it is
//! given, and what goes wrong, is asked for by [headers](controls).
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let emulator = weir_emulator::Emulator::builder()
//!     .names(["api.openai.com"])
//!     .listen("127.0.0.1:0".parse().unwrap())
//!     .start()
//!     .await
//!     .unwrap();
//! println!("trust {} and call {}", emulator.ca_pem(), emulator.addrs()[0]);
//! for told in emulator.shutdown().await {
//!     println!("{} tokens to {:?}", told.output_tokens, told.response_id);
//! }
//! # });
//! ```
//!
//! In reading order: a connection becomes exchanges (`emulator`, `serve`,
//! `wire`), a request becomes an answer (`api`, on `prose`, `seed` and
//! `tokens`), an answer goes on the wire (`delivery`, `coding`) and into the
//! book (`ledger`). `sockets` says the same over WebSockets. `utility` holds the endpoints that test a proxy rather
//! than a meter.
//!
//! What it does not imitate: the wording of a model, the tokens with which
//! providers mark roles and turns, rate limits, credentials (any will do, except
//! that what AWS would have signed is signed with [its key](ACCESS_KEY_ID)).

mod answer;
mod api;
mod builder;
mod ca;
mod coding;
pub mod controls;
mod delivery;
mod emulator;
mod fault;
mod ledger;
mod listener;
mod prose;
mod seed;
mod serve;
mod sockets;
pub mod tokens;
mod utility;
mod wire;

pub use api::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
pub use builder::{Builder, Ids, StartError};
pub use ca::{Ca, CaError, CertificateKind, Identity};
pub use coding::{Coding, Codings, UnknownCoding};
pub use controls::Controls;
pub use emulator::Emulator;
pub use fault::{Fault, UnknownFault};
pub use ledger::{Api, Ended, LedgerTimeout, Told, UsageTold};
pub use listener::{Alpn, ClientAuth, Listener, Tls, TlsError, TlsVersions};
