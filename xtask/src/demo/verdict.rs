//! Whether all three agree: every answer that the emulator sent has exactly one record, with the
//! same numbers, and every client got every answer that it was to get.
//!
//! A plain function over values. What it does not agree with is a finding, in words that can be
//! acted on; no finding, no failure.

use anyhow::{Result, bail};

use crate::demo::evidence::{Api, Http, Mode, Record, Report, Sent, Told, Totals};
use crate::demo::network::UNLISTED;
use crate::demo::session::Session;

/// A call that is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    client: &'static str,
    api: Api,
    mode: Mode,
    http: Http,
}

const fn call(client: &'static str, api: Api, mode: Mode, http: Http) -> Call {
    Call {
        client,
        api,
        mode,
        http,
    }
}

/// What the scripts in `xtask/demo` do, in the order of the table.
const EXPECTED: [Call; 18] = [
    call("python openai", Api::Chat, Mode::Plain, Http::H1),
    call("python openai", Api::Chat, Mode::Stream, Http::H1),
    call("python openai", Api::Responses, Mode::Plain, Http::H1),
    call("python openai", Api::Responses, Mode::Stream, Http::H1),
    call("python openai async", Api::Chat, Mode::Plain, Http::H1),
    call("python openai async", Api::Chat, Mode::Stream, Http::H1),
    call("python openai async", Api::Responses, Mode::Plain, Http::H1),
    call(
        "python openai async",
        Api::Responses,
        Mode::Stream,
        Http::H1,
    ),
    call("python anthropic", Api::Messages, Mode::Plain, Http::H1),
    call("python anthropic", Api::Messages, Mode::Stream, Http::H1),
    call("node openai", Api::Chat, Mode::Plain, Http::H1),
    call("node openai", Api::Chat, Mode::Stream, Http::H1),
    call("node openai", Api::Responses, Mode::Plain, Http::H1),
    call("node openai", Api::Responses, Mode::Stream, Http::H1),
    call("curl", Api::Chat, Mode::Stream, Http::H1),
    call("curl", Api::Chat, Mode::Stream, Http::H2),
    call("curl", Api::Messages, Mode::Plain, Http::H1),
    call("curl", Api::Messages, Mode::Plain, Http::H2),
];

/// One exchange, as each party has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// None if no client said that it got this answer.
    pub(crate) client: Option<String>,
    pub(crate) sent: Sent,
    /// None if there is no record, or more than one.
    pub(crate) record: Option<Record>,
    /// Whether the record has all the numbers that were sent.
    pub(crate) agreement: Agreement,
}

/// Whether weir's numbers are the emulator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    Equal,
    Different,
}

/// What came of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) rows: Vec<Row>,
    /// Connections that were passed on undecrypted.
    pub(crate) spliced: Vec<Record>,
    pub(crate) totals: Totals,
    /// What is not as it should be.
    pub(crate) findings: Vec<String>,
}

impl Verdict {
    /// Compares.
    pub(crate) fn reach(session: &Session, report: &Report, sent: &[Sent]) -> Self {
        let mut findings = Vec::new();
        if !session.status.success() {
            findings.push(format!(
                "a client failed, or weir did ({}): what they said is above",
                session.status
            ));
        }
        let mut rows = rows(&session.told, report, sent, &mut findings);
        rows.sort_by_key(place);
        missing_and_unexpected(&rows, &mut findings);
        unmatched(&session.told, report, sent, &mut findings);
        let spliced = spliced(report, sent, &mut findings);
        let mut verdict = Self {
            rows,
            spliced,
            totals: report.totals.clone(),
            findings,
        };
        verdict.check_totals();
        verdict
    }

    /// Exchanges with all the numbers that were sent.
    pub(crate) fn equal(&self) -> usize {
        let equal = |row: &&Row| row.agreement == Agreement::Equal;
        self.rows.iter().filter(equal).count()
    }

    /// The sum of a count over all that was sent.
    pub(crate) fn sum(&self, count: fn(&Sent) -> u64) -> u64 {
        self.rows.iter().map(|row| count(&row.sent)).sum()
    }

    fn check_totals(&mut self) {
        let totals = &self.totals;
        let exchanges = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        let sums = [
            ("exchanges", Some(totals.exchanges), exchanges),
            (
                "input tokens",
                totals.input_tokens,
                self.sum(|sent| sent.input_tokens),
            ),
            (
                "output tokens",
                totals.output_tokens,
                self.sum(|sent| sent.output_tokens),
            ),
            (
                "cache read tokens",
                Some(totals.cache_read_tokens.unwrap_or(0)),
                self.sum(|sent| sent.cache_read_tokens),
            ),
        ];
        for (what, total, sent) in sums {
            if total != Some(sent) {
                let total = total.map_or("none".to_owned(), |total| total.to_string());
                self.findings.push(format!(
                    "in total: weir counted {total} {what}, and {sent} were sent"
                ));
            }
        }
    }

    /// The demo's result.
    ///
    /// # Errors
    /// When there are findings.
    pub(crate) fn judge(&self) -> Result<()> {
        match self.findings.len() {
            0 => Ok(()),
            1 => bail!("the demo failed: see the finding above"),
            count => bail!("the demo failed: see the {count} findings above"),
        }
    }
}

impl Row {
    /// What the call was, in words.
    fn name(&self) -> String {
        format!(
            "{} {} {} over {}",
            self.client.as_deref().unwrap_or("an unknown client"),
            self.sent.api.as_str(),
            Mode::of(self.sent.stream).as_str(),
            self.sent.http.as_str()
        )
    }

    fn is(&self, call: &Call) -> bool {
        self.client.as_deref() == Some(call.client)
            && self.sent.api == call.api
            && Mode::of(self.sent.stream) == call.mode
            && self.sent.http == call.http
    }
}

fn rows(told: &[Told], report: &Report, sent: &[Sent], findings: &mut Vec<String>) -> Vec<Row> {
    let mut rows = Vec::new();
    for sent in sent.iter().filter(|sent| sent.api != Api::Other) {
        let of_this = |id: &str| sent.response_id.as_deref() == Some(id);
        let mut row = Row {
            client: told
                .iter()
                .find(|told| of_this(&told.id))
                .map(|told| told.client.clone()),
            sent: sent.clone(),
            record: None,
            agreement: Agreement::Different,
        };
        if row.client.is_none() {
            findings.push(format!("{}: no client got this answer", row.name()));
        }
        let mut records = report
            .exchanges
            .iter()
            .filter(|record| record.response_id.as_deref().is_some_and(of_this));
        match (records.next(), records.count()) {
            (Some(record), 0) => {
                row.agreement = compare(&row.name(), record, sent, findings);
                row.record = Some(record.clone());
            }
            (Some(_), more) => findings.push(format!(
                "{}: weir has {} records of this exchange, not one",
                row.name(),
                more + 1
            )),
            (None, _) => findings.push(format!(
                "{}: weir has no record of this exchange",
                row.name()
            )),
        }
        rows.push(row);
    }
    rows
}

/// Adds what a record should not say, and tells whether its numbers are equal.
fn compare(name: &str, record: &Record, sent: &Sent, findings: &mut Vec<String>) -> Agreement {
    let mut agreement = Agreement::Equal;
    // An API without a kind of token has none; a count that is always there must be there.
    let numbers = [
        ("input", record.input_tokens, sent.input_tokens),
        ("output", record.output_tokens, sent.output_tokens),
        (
            "cache read",
            Some(record.cache_read_tokens.unwrap_or(0)),
            sent.cache_read_tokens,
        ),
        (
            "cache write",
            Some(record.cache_write_tokens.unwrap_or(0)),
            sent.cache_write_tokens,
        ),
        (
            "reasoning",
            Some(record.reasoning_tokens.unwrap_or(0)),
            sent.reasoning_tokens,
        ),
    ];
    for (kind, counted, sent) in numbers {
        if counted != Some(sent) {
            agreement = Agreement::Different;
            let counted = counted.map_or("no".to_owned(), |count| count.to_string());
            findings.push(format!(
                "{name}: weir counted {counted} {kind} tokens, and {sent} were sent"
            ));
        }
    }
    let stream = record.stream.map(Mode::of).map_or("?", Mode::as_str);
    let mut words = vec![
        ("decision", record.decision.as_str(), "intercept"),
        ("tokens' provenance", &record.tokens_provenance, "measured"),
        ("cost's provenance", &record.cost_provenance, "priced"),
        ("mode", stream, Mode::of(sent.stream).as_str()),
        ("protocol", record.protocol.as_str(), sent.http.as_str()),
        (
            "host",
            record.host.as_deref().unwrap_or("?"),
            sent.authority.as_deref().unwrap_or("none"),
        ),
        ("outcome", &record.outcome, "complete"),
        ("error", record.error.as_deref().unwrap_or("none"), "none"),
    ];
    // A client may leave at the last event of a stream, before its body ends: OpenAI's does. weir
    // knows that event and calls the answer complete; the emulator saw only somebody leave.
    if !(sent.stream && sent.ended == "client_gone") {
        words.push(("end at the emulator", &sent.ended, "complete"));
    }
    for (what, is, should) in words {
        if is != should {
            findings.push(format!("{name}: the {what} is {is}, not {should}"));
        }
    }
    if record.cost_usd.is_none() {
        findings.push(format!("{name}: the cost is not known"));
    }
    agreement
}

/// Its place in the table; what nobody expected comes last.
fn place(row: &Row) -> usize {
    EXPECTED
        .iter()
        .position(|call| row.is(call))
        .unwrap_or(EXPECTED.len())
}

fn missing_and_unexpected(rows: &[Row], findings: &mut Vec<String>) {
    for call in &EXPECTED {
        let seen = rows.iter().filter(|row| row.is(call)).count();
        if seen != 1 {
            findings.push(format!(
                "{} {} {} over {}: seen {seen} times, not once",
                call.client,
                call.api.as_str(),
                call.mode.as_str(),
                call.http.as_str()
            ));
        }
    }
    for row in rows {
        if row.client.is_some() && place(row) == EXPECTED.len() {
            findings.push(format!("{}: nobody was to make this call", row.name()));
        }
    }
}

/// Records and answers that belong to nothing that was sent.
fn unmatched(told: &[Told], report: &Report, sent: &[Sent], findings: &mut Vec<String>) {
    let was_sent = |id: &str| {
        sent.iter()
            .any(|sent| sent.response_id.as_deref() == Some(id))
    };
    for told in told.iter().filter(|told| !was_sent(&told.id)) {
        findings.push(format!(
            "{}: got an answer that the emulator did not send: {}",
            told.client, told.id
        ));
    }
    for record in &report.exchanges {
        let host = record.host.as_deref().unwrap_or("an unknown host");
        let error = record.error.as_deref().unwrap_or(&record.outcome);
        match (record.decision.as_str(), record.response_id.as_deref()) {
            ("splice", _) => {}
            ("intercept", Some(id)) if was_sent(id) => {}
            ("intercept", _) => findings.push(format!(
                "weir has a record of an exchange with {host} that was not sent ({error})"
            )),
            (decision, _) => findings.push(format!(
                "a connection to {host}: {decision}, {} ({error})",
                record.reason
            )),
        }
    }
}

/// The connection to the host that is in no catalogue: passed on, and answered.
fn spliced(report: &Report, sent: &[Sent], findings: &mut Vec<String>) -> Vec<Record> {
    let spliced: Vec<Record> = report
        .exchanges
        .iter()
        .filter(|record| record.decision == "splice")
        .cloned()
        .collect();
    for record in &spliced {
        if record.host.as_deref() != Some(UNLISTED) {
            let host = record.host.as_deref().unwrap_or("an unknown host");
            findings.push(format!(
                "a connection to {host} was not inspected: {}",
                record.reason
            ));
        }
    }
    if spliced.is_empty() {
        findings.push(format!("{UNLISTED}: weir has no record of passing it on"));
    }
    let was_answered = sent
        .iter()
        .any(|sent| sent.authority.as_deref() == Some(UNLISTED));
    if !was_answered {
        findings.push(format!("{UNLISTED}: no request arrived there"));
    }
    spliced
}

#[cfg(test)]
mod tests;
