//! A path at work: provider, proxy and application, as processes, for the length of a case.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::bench::actor::Actor;

use crate::case::{Step, Time};
use crate::ground::{Ground, Processors};
use crate::load::{Done, Load, Order};
use crate::measure::{Seen, SeenOfProxy};
use crate::path::Path;
use crate::programs::{Means, Program};

/// How often calls may fail before figures mean nothing: one in so many.
const FAILURES_ONE_IN: u64 = 1000;

/// The processes of a path.
pub(crate) struct Session {
    pub(crate) path: Path,
    application: Actor,
    program: Program,
    provider: Actor,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// A turn.
    pub(crate) turn: Duration,
    /// From the end of a load until memory is looked at again.
    pub(crate) settle: Duration,
}

impl Session {
    /// Starts them.
    pub(crate) fn start(
        ground: &Ground,
        means: &Means<'_>,
        processors: &Processors,
    ) -> Result<Self> {
        let provider = ground.provider(means.authority, &processors.others)?;
        let program = Program::start(ground, means, &processors.proxy)?;
        let application = ground.application(means.authority, &processors.others)?;
        Ok(Self {
            path: ground.path,
            application,
            program,
            provider,
        })
    }

    /// One turn of a step.
    pub(crate) fn turn(&mut self, step: &Step, times: Times) -> Result<Seen> {
        let processes = self.program.processes()?;
        let Some((call, pattern)) = step.load else {
            let memory = processes.map(|it| it.memory()).transpose()?;
            return Ok(Seen {
                done: Done::default(),
                proxy: memory.map(|memory| SeenOfProxy {
                    cpu_ns: 0,
                    memory,
                    after: None,
                }),
            });
        };
        self.ask(Order::Prepare(Load {
            to: self.path.address(call.host, call.http, step.distance),
            call,
            pattern,
            time: match step.time {
                Time::Told => times.turn,
                Time::Once => Duration::ZERO,
            },
        }))?;
        // Some start processes when they are first used.
        let processes = self.program.processes()?;
        if let Some(processes) = &processes {
            processes.forget_peak()?;
        }
        let cpu = || processes.as_ref().map(|it| it.cpu_ns()).transpose();
        let before = cpu()?;
        let done = self.ask(Order::Run)?;
        let after = cpu()?;
        let memory = processes.as_ref().map(|it| it.memory()).transpose()?;
        self.ask(Order::End)?;
        let mut settled = None;
        if step.looks_back()
            && let Some(processes) = &processes
        {
            sleep(times.settle);
            settled = Some(processes.memory()?);
        }
        let proxy = memory.zip(before.zip(after));
        Ok(Seen {
            done,
            proxy: proxy.map(|(memory, (before, after))| SeenOfProxy {
                cpu_ns: after - before,
                memory,
                after: settled,
            }),
        })
    }

    fn ask(&mut self, order: Order) -> Result<Done> {
        let done: Done = self.application.ask(&order)?;
        let calls = done.calls + done.failures;
        ensure!(
            done.failures * FAILURES_ONE_IN <= calls,
            "{} of {calls} calls failed: {}",
            done.failures,
            done.failure.as_deref().unwrap_or("for no reason")
        );
        Ok(done)
    }

    /// Ends them in order.
    pub(crate) fn finish(self) -> Result<()> {
        let finished = self.application.finish();
        finished.context("the application")?;
        drop(self.program);
        self.provider.finish().context("the provider")
    }
}
