//! The proxy's end of the conversation with its supervisor.

use std::{collections::HashMap, os::unix::net::UnixStream as StdUnixStream};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, oneshot},
};

use super::readiness::Prover;
use crate::{
    bounds::Bound,
    control::{ControlError, FromProxy, Lines, ToProxy, decode, encode},
    proxy::{CanaryError, ProcessQuery},
};

/// Processes asked about at once; connections beyond go without a name.
const ASKED_MAX: usize = 1024;

/// The supervisor, as the proxy sees it.
pub(super) struct Supervised {
    socket: UnixStream,
    lines: Lines,
    questions: mpsc::Receiver<ProcessQuery>,
    asked: HashMap<u32, Vec<oneshot::Sender<Option<String>>>>,
    prover: Prover,
    proving: Option<oneshot::Receiver<Result<(), CanaryError>>>,
}

impl Supervised {
    pub(super) fn new(
        socket: StdUnixStream,
        questions: mpsc::Receiver<ProcessQuery>,
        prover: Prover,
    ) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            lines: Lines::default(),
            questions,
            asked: HashMap::new(),
            prover,
            proving: None,
        })
    }

    pub(super) async fn say(&mut self, message: &FromProxy) -> Result<(), ControlError> {
        Ok(self.socket.write_all(&encode(message)?).await?)
    }

    /// Passes questions on until the supervisor says that it is over, or is
    /// gone. Returns the kernel's flow counters.
    pub(super) async fn until_finish(&mut self) -> Vec<(String, u64)> {
        let mut buffer = [0; 4096];
        loop {
            let result = tokio::select! {
                Some(question) = self.questions.recv() => self.ask(question).await,
                Some(proven) = outcome(&mut self.proving) => self.say_proven(proven).await,
                read = self.socket.read(&mut buffer) => match read {
                    Ok(0) => return Vec::new(),
                    Ok(count) => match self.hear(&buffer[..count]) {
                        Ok(Some(flows)) => return flows,
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error.into()),
                },
            };
            if let Err(error) = result {
                tracing::error!(%error, "lost the supervisor");
                return Vec::new();
            }
        }
    }

    /// Begins to prove that interception works, and goes on for ever.
    fn begin_proving(&mut self) {
        let prover = self.prover.clone();
        let (first, proving) = oneshot::channel();
        self.proving = Some(proving);
        tokio::spawn(async move {
            let _unheard = first.send(prover.prove().await);
            prover.keep_proving().await;
        });
    }

    async fn say_proven(&mut self, proven: Result<(), CanaryError>) -> Result<(), ControlError> {
        self.say(&match proven {
            Ok(()) => FromProxy::Proven,
            Err(error) => FromProxy::Failed {
                message: error.to_string(),
            },
        })
        .await
    }

    async fn ask(&mut self, question: ProcessQuery) -> Result<(), ControlError> {
        if self.asked.len() >= ASKED_MAX {
            Bound::ProcessQueries.hit();
            return Ok(());
        }
        let waiting = self.asked.entry(question.pid).or_default();
        waiting.push(question.answer);
        if waiting.len() > 1 {
            return Ok(());
        }
        self.say(&FromProxy::ResolveExe { pid: question.pid }).await
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<Option<Vec<(String, u64)>>, ControlError> {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next_line()? {
            match decode(&line)? {
                ToProxy::Finish { flows } => return Ok(Some(flows)),
                ToProxy::Configured => self.begin_proving(),
                // Said once, before; the supervisor keeps to it.
                ToProxy::Token { .. } => {}
                ToProxy::Exe { pid, exe } => {
                    for answer in self.asked.remove(&pid).unwrap_or_default() {
                        // The connection may be over already.
                        let _ = answer.send(exe.clone());
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The outcome of what is under way, once; pending if nothing is.
async fn outcome<T>(under_way: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    match under_way {
        None => std::future::pending().await,
        Some(receiver) => {
            let outcome = receiver.await.ok();
            *under_way = None;
            outcome
        }
    }
}
