//! A path at work: provider, proxy and application, as processes, for the length of a case.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use weir_tests::bench::actor::Actor;
use weir_tests::metrics::Metrics;
use weir_tests::output::eventually;
use weir_tests::pod::ADMIN;

use crate::case::{Step, Time};
use crate::ground::{Ground, Processors};
use crate::load::{Done, Host, Load, Order};
use crate::measure::{Seen, SeenOfProxy, number};
use crate::path::Path;
use crate::processes::Memory;
use crate::programs::{Means, Program};

/// How often calls may fail before figures mean nothing: one in so many.
const FAILURES_ONE_IN: u64 = 1000;

/// The processes of a path.
pub(crate) struct Session<'a> {
    pub(crate) path: Path,
    ground: &'a Ground,
    /// Made so far, of which weir should have a record.
    calls: u64,
    /// Of the proxy, before anybody called.
    idle: Option<Memory>,
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

impl<'a> Session<'a> {
    /// Starts them.
    pub(crate) fn start(
        ground: &'a Ground,
        means: &Means<'_>,
        processors: &Processors,
    ) -> Result<Self> {
        let provider = ground.provider(means.authority, &processors.others)?;
        let program = Program::start(ground, means, &processors.proxy)?;
        let idle = program.processes()?.map(|it| it.memory()).transpose()?;
        let application = ground.application(means.authority, &processors.others)?;
        Ok(Self {
            path: ground.path,
            ground,
            calls: 0,
            idle,
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
                    idle: self.idle,
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
        if call.host == Host::Api {
            self.calls += done.calls;
        }
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
                idle: self.idle,
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

    /// Fails unless weir has done what it is measured at: recorded each call, and
    /// read what it used where it reads bodies.
    fn check(&self) -> Result<()> {
        let is_metered = match self.path {
            Path::Weir | Path::WeirUnruled => true,
            Path::WeirUnmetered => false,
            Path::Direct | Path::Nginx | Path::Haproxy | Path::Envoy | Path::Mitmproxy => {
                return Ok(());
            }
        };
        let calls = number(self.calls);
        let mut recorded = Err(anyhow!("it was not asked"));
        // Records are made behind the path, a moment later.
        let waited = eventually("weir has a record of each call", || {
            recorded = Metrics::within(&self.ground.pod.namespace, ADMIN).map(|metrics| {
                let exchanges = metrics.sum("weir_exchanges_total", &[("outcome", "complete")]);
                let tokens = metrics.sum("weir_tokens_total", &[("provenance", "measured")]);
                (exchanges, tokens)
            });
            recorded
                .as_ref()
                .is_ok_and(|(exchanges, _)| *exchanges >= calls)
        });
        let (exchanges, tokens) = recorded?;
        waited.with_context(|| format!("{calls} were made, and {exchanges} recorded"))?;
        ensure!(
            calls == 0.0 || (tokens > 0.0) == is_metered,
            "weir has measured {tokens} tokens of {calls} calls"
        );
        Ok(())
    }

    /// Ends them in order.
    pub(crate) fn finish(self) -> Result<()> {
        self.check()?;
        let finished = self.application.finish();
        finished.context("the application")?;
        drop(self.program);
        self.provider.finish().context("the provider")
    }
}
