//! One line for an exchange, as it ends.

use super::amounts::{NONE, cost, duration, printable, tokens};
use crate::meter::reason::Decision;
use crate::meter::record::{Process, Record};

/// One line for an exchange that has just ended, without a line ending.
#[must_use]
pub fn live_line(record: &Record) -> String {
    let host = record.host.as_deref().unwrap_or("unknown host");
    let line = match record.decision {
        Decision::Splice => format!("not inspected: {host} ({})", record.reason),
        Decision::Refuse => {
            let error = record.error.as_deref().map(|error| format!(": {error}"));
            format!(
                "refused: {host} ({}){}",
                record.reason,
                error.unwrap_or_default()
            )
        }
        Decision::Intercept => exchange(record, host),
    };
    printable(&line)
}

fn exchange(record: &Record, host: &str) -> String {
    let mut words = vec![
        record.provider.as_deref().unwrap_or(host).to_owned(),
        model(record).unwrap_or(NONE).to_owned(),
        record.operation.as_deref().unwrap_or(NONE).to_owned(),
    ];
    words.push(match record.stream {
        Some(true) => "stream".to_owned(),
        Some(false) | None => NONE.to_owned(),
    });
    words.push(
        record
            .status
            .map_or(NONE.to_owned(), |status| status.to_string()),
    );
    words.push(format!("in {}", tokens_of(record, record.input_tokens)));
    if let Some(cached) = record.cache_read_tokens.filter(|cached| *cached > 0) {
        words.push(format!("({} cached)", tokens_of(record, Some(cached))));
    }
    words.push(format!("out {}", tokens_of(record, record.output_tokens)));
    words.push(cost_of(record));
    if let Some(first) = record.time_to_first_chunk_ms {
        words.push(format!("first {}", duration(first)));
    }
    words.push(format!("total {}", duration(record.duration_ms)));
    if let Some(process) = record.process.as_ref().and_then(process) {
        words.push(process);
    }
    if let Some(error) = &record.error {
        words.push(format!("[{error}]"));
    }
    words.join("  ")
}

/// A count of a record; a dash where nothing was to be counted.
pub(super) fn tokens_of(record: &Record, count: Option<u64>) -> String {
    if count.is_none() && was_refused_or_free(record) {
        return NONE.to_owned();
    }
    tokens(count, record.tokens_provenance)
}

/// The cost of a record; a dash where nothing was to be charged.
pub(super) fn cost_of(record: &Record) -> String {
    if record.cost_usd.is_none() && was_refused_or_free(record) {
        return NONE.to_owned();
    }
    cost(
        record.cost_usd,
        record.cost_provenance,
        record.tokens_provenance,
    )
}

/// Whether the provider answered, and with something it does not charge for.
fn was_refused_or_free(record: &Record) -> bool {
    record.status.is_some() && !record.is_billable()
}

/// The model that answered, or else was asked for.
pub(super) fn model(record: &Record) -> Option<&str> {
    record
        .response_model
        .as_deref()
        .or(record.request_model.as_deref())
}

/// `python3[123]`, as far as it is known.
pub(super) fn process(process: &Process) -> Option<String> {
    let name = process
        .exe
        .as_deref()
        .and_then(|exe| exe.rsplit('/').next());
    match (name, process.pid) {
        (Some(name), Some(pid)) => Some(format!("{name}[{pid}]")),
        (Some(name), None) => Some(name.to_owned()),
        (None, Some(pid)) => Some(format!("[{pid}]")),
        (None, None) => None,
    }
}
