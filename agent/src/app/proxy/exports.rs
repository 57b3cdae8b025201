//! What leaves the process besides metrics: the exchange log, spans and metrics
//! for a collector, captured payloads.
//!
//! In two steps: files are opened and read while there may still be the rights
//! for it; threads start when these are gone.

use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use rustls::RootCertStore;

use crate::{
    config::{CaptureDestination, Destination, PayloadConfig, TelemetryConfig},
    export::{
        capture::{self, Capture},
        json_lines::{JsonLines, append_to},
        otlp::{Otlp, settings::Settings},
    },
    meter::{payload::PayloadSink, record::Record},
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
    capture: Option<(PayloadConfig, Option<File>)>,
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
        let capture = payloads(&config.capture)?;
        if let Some(settings) = &mut otlp
            && !matches!(capture, Some((_, None)))
        {
            settings.logs = None;
        }
        if matches!(capture, Some((_, None))) && otlp.as_ref().is_none_or(|it| it.logs.is_none()) {
            bail!(
                "telemetry.capture: payloads have nowhere to go: name a file in \
                 `telemetry.capture.to`, or a collector in `telemetry.otlp.endpoint`"
            );
        }
        Ok(Self {
            log,
            otlp: otlp.map(|settings| (settings, Arc::clone(roots))),
            capture,
        })
    }

    /// Starts them.
    pub(super) fn start(self) -> anyhow::Result<Exports> {
        let log = self.log.map(JsonLines::start).transpose();
        let otlp = self
            .otlp
            .map(|(settings, roots)| Otlp::start(settings, &roots));
        let otlp = otlp.transpose()?;
        let capture = self.capture.and_then(|(config, file)| {
            let to = match file {
                Some(file) => capture::Destination::File(file),
                None => capture::Destination::Otlp(otlp.as_ref()?.payloads()?),
            };
            Some(Capture::start(&config, to).map(Arc::new))
        });
        Ok(Exports {
            log: log.context("cannot start the exchange log")?,
            otlp,
            capture: capture.transpose().context("cannot start to capture")?,
        })
    }
}

/// What is captured, and the file it goes to if it does not go to a collector.
fn payloads(config: &PayloadConfig) -> anyhow::Result<Option<(PayloadConfig, Option<File>)>> {
    if config.rules.is_empty() {
        return Ok(None);
    }
    let file = match &config.to {
        CaptureDestination::Otlp => None,
        CaptureDestination::File(file) => Some(append_to(file).with_context(|| {
            format!(
                "cannot write captured payloads to {}: name a writable file in \
                 `telemetry.capture.to`",
                file.display()
            )
        })?),
    };
    Ok(Some((config.clone(), file)))
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
    capture: Option<Arc<Capture>>,
}

impl Exports {
    /// What captures payloads, if anything does.
    pub(super) fn payloads(&self) -> Option<Arc<dyn PayloadSink>> {
        let capture = self.capture.clone()?;
        Some(capture)
    }

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
        // Before the collector, to which it may have something to send.
        if let Some(capture) = self.capture {
            capture.finish(LOG_WAIT);
        }
        if let Some(otlp) = self.otlp {
            otlp.finish(FLUSH_WAIT);
        }
    }
}
