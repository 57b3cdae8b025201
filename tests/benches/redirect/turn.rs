//! One turn of a way: fresh processes, each measure once.

use anyhow::{Result, ensure};

use crate::bed::Way;
use crate::client::{Done, Task};
use crate::figures::Figures;
use crate::measure::Measure;
use crate::{relay, server};
use weir_tests::bench::actor::Actor;
use weir_tests::bench::clock::microseconds;

/// Connections that are made before any counts.
const UNCOUNTED: Task = Task::Connect { count: 200 };
/// One connection after the other.
const ALONE: Task = Task::Connect { count: 2000 };
/// Enough at once that nobody waits while there is work, and no more: what is
/// asked is what a connection costs, not how well the scheduler copes.
const CROWD: Task = Task::Crowd {
    threads: 4,
    count: 750,
};
/// A short request, as of a chat turn without its history.
const SMALL: Task = Task::Exchange {
    bytes: 200,
    count: 4000,
};
/// A longer one, of two segments on a link of 1500 bytes.
const LARGE: Task = Task::Exchange {
    bytes: 2048,
    count: 4000,
};

/// A part of a turn. The ways alternate after each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    WarmUp,
    Alone,
    Crowd,
    Small,
    Large,
}

impl Step {
    /// In the order of a turn.
    pub(crate) const ALL: [Self; 5] = [
        Self::WarmUp,
        Self::Alone,
        Self::Crowd,
        Self::Small,
        Self::Large,
    ];

    const fn task(self) -> Task {
        match self {
            Self::WarmUp => UNCOUNTED,
            Self::Alone => ALONE,
            Self::Crowd => CROWD,
            Self::Small => SMALL,
            Self::Large => LARGE,
        }
    }

    fn figures(self, measured: &Measured) -> Result<Vec<(Measure, f64)>> {
        let Done {
            connect, answer, ..
        } = &measured.done;
        Ok(match self {
            Self::WarmUp => Vec::new(),
            Self::Alone => vec![
                (Measure::ConnectMedian, connect.quantile_us(50)?),
                (Measure::ConnectP99, connect.quantile_us(99)?),
                (Measure::FirstByteMedian, answer.quantile_us(50)?),
                (Measure::FirstByteP99, answer.quantile_us(99)?),
            ],
            Self::Crowd => vec![
                (Measure::ConnectionRate, measured.rate()?),
                (Measure::ConnectionCpu, measured.cpu_us()?),
            ],
            Self::Small => vec![
                (Measure::SmallMedian, answer.quantile_us(50)?),
                (Measure::SmallP99, answer.quantile_us(99)?),
                (Measure::SmallCpu, measured.cpu_us()?),
            ],
            Self::Large => vec![
                (Measure::LargeMedian, answer.quantile_us(50)?),
                (Measure::LargeP99, answer.quantile_us(99)?),
                (Measure::LargeCpu, measured.cpu_us()?),
            ],
        })
    }
}

/// The processes of one turn, and what they have measured so far.
pub(crate) struct Turn {
    pub(crate) way: Way,
    pub(crate) client: Actor,
    pub(crate) relay: Option<Actor>,
    pub(crate) server: Actor,
    pub(crate) figures: Figures,
}

impl Turn {
    /// Goes one step on.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub(crate) fn step(&mut self, step: Step) -> Result<()> {
        let measured = self.task(step.task())?;
        self.figures.extend(step.figures(&measured)?);
        Ok(())
    }

    /// Has the client do something.
    ///
    /// # Errors
    /// It cannot; or its connections did not go the way they should.
    pub(crate) fn task(&mut self, task: Task) -> Result<Measured> {
        let before = self.usage()?;
        let done: Done = self.client.ask(&task)?;
        let after = self.usage()?;
        let relayed = after.relayed - before.relayed;
        let connections = match (self.way, task) {
            (Way::Direct, _) => 0,
            (_, Task::Exchange { .. }) => 1,
            (_, Task::Connect { .. } | Task::Crowd { .. }) => u64::try_from(task.total())?,
        };
        ensure!(
            relayed == connections,
            "{relayed} connections came to the relay, {connections} should have"
        );
        Ok(Measured {
            cpu_ns: done.cpu_ns + after.cpu_ns - before.cpu_ns,
            done,
            task,
        })
    }

    /// What relay and server have done so far.
    fn usage(&mut self) -> Result<Usage> {
        let server: server::Usage = self.server.ask(&())?;
        let mut usage = Usage {
            cpu_ns: server.cpu_ns,
            relayed: 0,
        };
        if let Some(relay) = &mut self.relay {
            let relay: relay::Usage = relay.ask(&())?;
            ensure!(relay.failures == 0, "the relay failed: {relay:?}");
            usage.cpu_ns += relay.cpu_ns;
            usage.relayed = relay.connections;
        }
        Ok(usage)
    }

    /// Ends the processes in order, and gives what they measured.
    pub(crate) fn finish(self) -> Result<Figures> {
        self.client.finish()?;
        if let Some(relay) = self.relay {
            relay.finish()?;
        }
        self.server.finish()?;
        Ok(self.figures)
    }
}

struct Usage {
    cpu_ns: u64,
    relayed: u64,
}

/// What came of a task.
pub(crate) struct Measured {
    task: Task,
    done: Done,
    /// Of client, relay and server together.
    cpu_ns: u64,
}

impl Measured {
    fn total(&self) -> Result<f64> {
        Ok(u32::try_from(self.task.total())?.into())
    }

    /// Processor time of one connection or exchange.
    fn cpu_us(&self) -> Result<f64> {
        Ok(microseconds(self.cpu_ns) / self.total()?)
    }

    /// Connections or exchanges per second.
    fn rate(&self) -> Result<f64> {
        Ok(self.total()? / (microseconds(self.done.elapsed_ns) / 1e6))
    }
}
