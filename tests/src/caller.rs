//! An application that calls again and again, with a connection for each call, so
//! that a test can look at what weir made of one before there is the next.

use std::io::Write;

use anyhow::{Context, Result};

use crate::metrics::Metrics;
use crate::output::eventually;
use crate::run::{Ended, Running, Weir};
use crate::world::World;

/// Calls as often as it is told to, each time with a process of its own.
const CALLER: &str = r#"while read -r number; do "$@"; echo "call $number: $?"; done"#;

/// Such an application, under weir.
#[derive(Debug)]
pub struct Caller<'world> {
    world: &'world World,
    /// The run it is in.
    pub running: Running,
    calls: usize,
}

impl<'world> Caller<'world> {
    /// One whose every call is this command.
    ///
    /// # Errors
    /// As [`Weir::start`].
    pub fn start<S: AsRef<str>>(
        world: &'world World,
        weir: Weir<'_>,
        command: &[S],
    ) -> Result<Self> {
        let mut words = vec!["sh", "-c", CALLER, "-"];
        words.extend(command.iter().map(AsRef::as_ref));
        Ok(Self {
            world,
            running: weir.start(&words)?,
            calls: 0,
        })
    }

    /// Calls, and says with which status the command ended.
    ///
    /// # Errors
    /// The application is gone.
    pub fn call(&mut self) -> Result<i32> {
        self.begin()?;
        self.end()
    }

    /// Begins a call.
    ///
    /// # Errors
    /// The application is gone.
    pub fn begin(&mut self) -> Result<()> {
        self.calls += 1;
        let input = self.running.input.as_mut().context("the input is open")?;
        writeln!(input, "{}", self.calls)?;
        Ok(())
    }

    /// Waits for the end of the call that was begun, and says with which status the
    /// command ended.
    ///
    /// # Errors
    /// The application is gone, or it takes too long.
    pub fn end(&mut self) -> Result<i32> {
        let mark = format!("call {}: ", self.calls);
        loop {
            let line = self.running.stdout.line()?;
            if let Some((_, status)) = line.split_once(&mark) {
                return Ok(status.trim().parse()?);
            }
        }
    }

    /// Waits until weir keeps so many connections to providers.
    ///
    /// # Errors
    /// It takes too long.
    pub fn wait_for_kept(&self, count: u32) -> Result<()> {
        eventually(&format!("{count} connections are kept"), || {
            let kept = Metrics::of(self.world)
                .ok()
                .and_then(|it| it.value("weir_upstream_connections_kept", &[]));
            kept == Some(f64::from(count))
        })
    }

    /// Connections to providers that were made, and that were used again.
    ///
    /// # Errors
    /// weir does not say.
    pub fn connections(&self) -> Result<(f64, f64)> {
        Ok((
            self.connections_from("new")?,
            self.connections_from("kept")?,
        ))
    }

    /// Connections to providers from this source.
    ///
    /// # Errors
    /// weir does not say.
    pub fn connections_from(&self, source: &str) -> Result<f64> {
        let metrics = Metrics::of(self.world)?;
        Ok(metrics.sum("weir_upstream_connections_total", &[("source", source)]))
    }

    /// Ends it.
    ///
    /// # Errors
    /// As [`Running::finish`].
    pub fn finish(self) -> Result<Ended> {
        self.running.finish()
    }
}
