//! What the emulator told its clients: the figures that a meter must match.
//!
//! One entry an exchange, written when the exchange ends, whatever ends it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fault::Fault;

/// Entries kept in memory. A benchmark makes more; the oldest go first, and
/// [`Ledger::forgotten`] says how many have gone.
const ENTRIES_MAX: usize = 100_000;

/// Which surface answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `POST /v1/chat/completions`, of OpenAI and of Mistral
    Chat,
    /// `POST /v1/responses`
    Responses,
    /// `GET /v1/responses/{id}`: tells usage again, bills nothing.
    ResponsesFetch,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`: counts, bills nothing.
    CountTokens,
    /// `POST /model/{id}/converse` and `/converse-stream`
    Converse,
    /// `POST /model/{id}/invoke` and `/invoke-with-response-stream`
    InvokeModel,
    /// `POST /model/{id}/count-tokens`: counts, bills nothing.
    BedrockCountTokens,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST …:generateContent` and `…:streamGenerateContent`
    GeminiGenerate,
    /// `POST …:embedContent` and `…:batchEmbedContents`
    GeminiEmbed,
    /// `POST …:countTokens`: counts, bills nothing.
    GeminiCountTokens,
    /// `POST /v2/chat`
    CohereChat,
    /// `POST /v2/embed`
    CohereEmbed,
    /// `POST /v2/rerank`: bills searches, not tokens.
    CohereRerank,
    /// `POST /api/chat`
    OllamaChat,
    /// `POST /api/generate`
    OllamaGenerate,
    /// `POST /api/embed`
    OllamaEmbed,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/responses` as a WebSocket: an entry for it, and for each response
    ResponsesSocket,
    /// `GET /v1/realtime` as a WebSocket: the same
    Realtime,
    /// `GET …BidiGenerateContent` as a WebSocket: the same, for each turn
    GeminiLive,
    /// `/emulator/…`
    Utility,
    /// Anything else.
    Unknown,
}

/// What of the usage figures reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageTold {
    /// None.
    No,
    /// The input side only: the beginning of a Messages stream.
    Input,
    /// All of it.
    Complete,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All of the answer was written.
    Complete,
    /// The client left before that.
    ClientGone,
    /// A fault that was asked for replaced the answer or cut it short.
    Fault,
    /// The emulator was shut down before that.
    Stopped,
}

/// One exchange.
///
/// Token counts follow one rule for all surfaces: `input_tokens` includes
/// what was read from and written to a cache, `output_tokens` includes
/// reasoning. After an early end `output_tokens` is what was sent by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Exchanges are numbered from 0 as they begin.
    pub number: u64,
    /// The surface.
    pub api: Api,
    /// The method and the path, without the query.
    pub request: String,
    /// `1.0`, `1.1` or `2`.
    pub http: String,
    /// `Host` or `:authority` as received.
    pub authority: Option<String>,
    /// The server name of the ClientHello.
    pub server_name: Option<String>,
    /// The response's own id (`chatcmpl-…`, `resp_…`, `msg_…`), or that of the
    /// call, where responses have none.
    pub response_id: Option<String>,
    /// The model as told.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The status that was sent; absent if none was.
    pub status: Option<u16>,
    /// Tokens of the prompt, all of them.
    pub input_tokens: u32,
    /// Tokens generated, as far as they were sent.
    pub output_tokens: u32,
    /// Of the input: read from the cache.
    pub cache_read_tokens: u32,
    /// Of the input: written to the cache.
    pub cache_write_tokens: u32,
    /// Of the output: reasoning.
    pub reasoning_tokens: u32,
    /// Whether the client was told these figures.
    pub usage_told: UsageTold,
    /// The fault that was asked for.
    pub fault: Option<Fault>,
    /// How it ended.
    pub ended: Ended,
}

/// The wait for a ledger condition ran out.
#[derive(Debug, thiserror::Error)]
#[error("the ledger condition did not come true within {waited:?}; the ledger holds {told:#?}")]
pub struct LedgerTimeout {
    /// How long it was waited for.
    pub waited: Duration,
    /// What the ledger held at the end.
    pub told: Vec<Told>,
}

/// The book of all exchanges.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    written: watch::Sender<u64>,
}

struct Book {
    entries: VecDeque<Told>,
    forgotten: u64,
    next_number: u64,
    file: Option<Box<dyn Write + Send>>,
}

impl Ledger {
    /// An empty ledger, which writes each entry to `file` as a JSON line too.
    pub(crate) fn new(file: Option<Box<dyn Write + Send>>) -> Self {
        Self {
            book: Mutex::new(Book {
                entries: VecDeque::new(),
                forgotten: 0,
                next_number: 0,
                file,
            }),
            written: watch::Sender::new(0),
        }
    }

    /// The number for an exchange that begins.
    pub(crate) fn number(&self) -> u64 {
        let mut book = self.book();
        let number = book.next_number;
        book.next_number += 1;
        number
    }

    /// The entries, oldest first.
    pub(crate) fn entries(&self) -> Vec<Told> {
        self.book().entries.iter().cloned().collect()
    }

    /// How many entries have been dropped to keep the bound.
    pub(crate) fn forgotten(&self) -> u64 {
        self.book().forgotten
    }

    /// Waits until `condition` holds for the entries, and returns them.
    pub(crate) async fn wait(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&[Told]) -> bool,
    ) -> Result<Vec<Told>, LedgerTimeout> {
        let mut written = self.written.subscribe();
        let reached = async {
            loop {
                written.mark_unchanged();
                let entries = self.entries();
                if condition(&entries) {
                    return entries;
                }
                if written.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(limit, reached)
            .await
            .map_err(|_elapsed| LedgerTimeout {
                waited: limit,
                told: self.entries(),
            })
    }

    fn write(&self, told: Told) {
        let mut book = self.book();
        if let Err(error) = book.append(&told) {
            tracing::error!(%error, "cannot write the ledger file");
        }
        if book.entries.len() == ENTRIES_MAX {
            book.entries.pop_front();
            book.forgotten += 1;
        }
        book.entries.push_back(told);
        drop(book);
        self.written.send_modify(|count| *count += 1);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that holds the lock leaves the book half changed.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn append(&mut self, told: &Told) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.flush()
    }
}

/// An exchange under way; becomes one ledger entry, also when it is dropped.
pub(crate) struct Entry {
    ledger: Arc<Ledger>,
    /// `None` once written.
    told: Option<Told>,
}

impl Entry {
    /// Opens an entry whose figures are filled in as they are told.
    pub(crate) fn open(ledger: Arc<Ledger>, told: Told) -> Self {
        Self {
            ledger,
            told: Some(told),
        }
    }

    /// The entry as far as it is known.
    pub(crate) fn told(&mut self) -> &mut Told {
        self.told
            .as_mut()
            .expect("an entry is only written when it is consumed or dropped")
    }

    /// Writes the entry.
    pub(crate) fn end(mut self, ended: Ended) {
        self.told().ended = ended;
        // `Drop` writes.
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            self.ledger.write(told);
        }
    }
}
