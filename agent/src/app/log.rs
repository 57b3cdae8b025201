//! The log: one line an event on standard error, for weir's own events.
//!
//! Libraries are heard from `warn` on, whatever level is asked for: below that,
//! some of them print header fields, and with them keys.

use std::io::IsTerminal;

use anyhow::bail;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Names the level of weir's own events: `error`, `warn`, `info`, `debug`,
/// `trace` or `off`.
pub const LEVEL_VARIABLE: &str = "WEIR_LOG";

/// Begins to log, at `warn` unless the environment says otherwise.
///
/// # Errors
///
/// The variable does not hold a level.
pub fn start() -> anyhow::Result<()> {
    let own = match std::env::var(LEVEL_VARIABLE) {
        Err(_) => LevelFilter::WARN,
        Ok(level) => match level.parse() {
            Ok(level) => level,
            Err(_) => {
                bail!("{LEVEL_VARIABLE}={level}: expected off, error, warn, info, debug or trace")
            }
        },
    };
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colour))
        .with(levels(own))
        .init();
    Ok(())
}

fn levels(own: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN.min(own))
        .with_target("weir", own)
}

#[cfg(test)]
mod tests {
    use tracing::{Level, level_filters::LevelFilter};

    use super::levels;

    #[test]
    fn libraries_are_never_heard_below_warn() {
        for own in [LevelFilter::WARN, LevelFilter::DEBUG, LevelFilter::TRACE] {
            let levels = levels(own);
            for library in ["h2::codec", "hyper", "rustls::client", "tokio_rustls"] {
                assert!(levels.would_enable(library, &Level::WARN));
                assert!(
                    !levels.would_enable(library, &Level::INFO),
                    "{library} at {own}"
                );
                assert!(
                    !levels.would_enable(library, &Level::TRACE),
                    "{library} at {own}"
                );
            }
        }
        assert!(levels(LevelFilter::TRACE).would_enable("weir::proxy::h1", &Level::TRACE));
        assert!(!levels(LevelFilter::OFF).would_enable("h2", &Level::ERROR));
    }
}
