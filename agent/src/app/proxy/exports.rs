//! What of the records leaves the process besides metrics: the exchange log, and
//! spans and metrics for a collector.
//!
//! In two steps: files are opened and read while there may still be the rights
//! for it; threads start when these are gone.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use rustls::RootCertStore;

use crate::{
    config::{Destination, TelemetryConfig},
    export::{
        json_lines::{JsonLines, append_to},
        otlp::{Otlp, settings::Settings},
    },
    meter::record::Record,
};

/// How long the log gets at the end. It is local.
const LOG_WAIT: Duration = Duration::from_secs(1);
/// How long a collector gets at the end: less than `weir exec` waits for its
/// proxy, and than a pod waits for its containers.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

/// Where the log goes by `--log-format`, and what standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// That of the sidecar: its own.
    Own,
    /// That of `weir exec`: the command's, and out of reach.
    OfCommand,
}

/// Exports that can be started.
pub(super) struct Planned {
    log: Option<Box<dyn Write + Send>>,
    otlp: Option<(Settings, Arc<RootCertStore>)>,
}

impl Planned {
    /// Reads what is to be exported. `log_asked` is what the command line says.
    pub(super) fn new(
        config: &TelemetryConfig,
        log_asked: bool,
        output: Output,
        roots: &Arc<RootCertStore>,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let usual = match output {
            Output::Own => Destination::Stdout,
            Output::OfCommand => Destination::Stderr,
        };
        let log = config
            .exchange_log
            .clone()
            .or_else(|| log_asked.then_some(usual));
        let log = log.map(|log| open(&log, output)).transpose()?;
        let (mut otlp, said) = Settings::read(&config.otlp, config.semconv, |name| {
            std::env::var(name).ok()
        });
        warnings.extend(said);
        if let Some(settings) = &mut otlp {
            settings.logs = None;
        }
        Ok(Self {
            log,
            otlp: otlp.map(|settings| (settings, Arc::clone(roots))),
        })
    }

    /// Starts them.
    pub(super) fn start(self) -> anyhow::Result<Exports> {
        let log = self.log.map(JsonLines::start).transpose();
        let otlp = self
            .otlp
            .map(|(settings, roots)| Otlp::start(settings, &roots));
        Ok(Exports {
            log: log.context("cannot start the exchange log")?,
            otlp: otlp.transpose()?,
        })
    }
}

fn open(log: &Destination, output: Output) -> anyhow::Result<Box<dyn Write + Send>> {
    Ok(match (log, output) {
        (Destination::Stdout, Output::Own) => Box::new(io::stdout()),
        (Destination::Stdout, Output::OfCommand) => bail!(
            "telemetry.exchange_log: standard output is the command's: write `stderr` or the \
             name of a file"
        ),
        (Destination::Stderr, _) => Box::new(io::stderr()),
        (Destination::File(file), _) => Box::new(append_to(file).with_context(|| {
            format!(
                "cannot write the exchange log to {}: name a writable file in \
                 `telemetry.exchange_log`",
                file.display()
            )
        })?),
    })
}

/// Exports at work.
#[derive(Debug)]
pub(super) struct Exports {
    log: Option<JsonLines>,
    otlp: Option<Otlp>,
}

impl Exports {
    /// Takes the record of an exchange that has ended.
    pub(super) fn offer(&self, record: &Record) {
        if let Some(otlp) = &self.otlp {
            otlp.offer(record);
        }
        if let Some(log) = &self.log {
            log.offer(&Arc::new(record.clone()));
        }
    }

    /// Lets what is under way leave, within bounds.
    pub(super) fn finish(self) {
        if let Some(log) = self.log {
            log.finish(LOG_WAIT);
        }
        if let Some(otlp) = self.otlp {
            otlp.finish(FLUSH_WAIT);
        }
    }
}
