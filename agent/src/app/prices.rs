//! `weir prices`: shows what a model costs, and makes price files of other tables.
//!
//! Files only: prices are never fetched, as weir makes no connections of its own
//! that nobody asked for.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::replace::{Access, replace};
use crate::cli::{PricesArgs, PricesCommand, ShowPricesArgs, UpdatePricesArgs};
use crate::config::Config;
use crate::meter::prices::PriceTable;
use crate::meter::prices::update::Update;
use crate::meter::timestamp::Timestamp;

/// Upper bound of a table, in bytes: twenty times the largest known.
const TABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A price file holds nothing secret, and weir reads it as another user.
const MODE: u32 = 0o644;

/// Does what was asked for.
///
/// # Errors
/// A file cannot be read or written, or does not say what a table says.
pub fn run(args: &PricesArgs) -> anyhow::Result<ExitCode> {
    let (text, status) = match &args.command {
        PricesCommand::Show(args) => show(args)?,
        PricesCommand::Update(args) => (update(args)?, ExitCode::SUCCESS),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(status)
}

/// The prices in force: the built-in ones, and before them those of `file`.
///
/// # Errors
/// The file cannot be read, or is no price file.
pub(super) fn in_force(file: Option<&Path>) -> anyhow::Result<PriceTable> {
    let table = PriceTable::builtin();
    let Some(file) = file else { return Ok(table) };
    table
        .with_override(&read(file)?)
        .with_context(|| format!("prices {}", file.display()))
}

fn show(args: &ShowPricesArgs) -> anyhow::Result<(String, ExitCode)> {
    let config = Config::load(args.config.as_deref())?;
    let table = in_force(config.prices.file.as_deref())?;
    let sheets = table.sheets(&args.model, args.provider.as_deref());
    if sheets.is_empty() {
        let whose = match &args.provider {
            Some(provider) => format!(" of {provider}"),
            None => String::new(),
        };
        let text = format!(
            "no price of {}{whose} is known: calls are recorded as unpriced; give it one in the \
             file that `prices.file` of the configuration names\n",
            args.model
        );
        return Ok((text, ExitCode::FAILURE));
    }
    let mut text = String::new();
    for sheet in sheets {
        let or_unknown = |value: Option<_>| value.unwrap_or_else(|| "unknown".into());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {}", sheet.provider, sheet.model);
        let width = sheet.rows.keys().map(String::len).max().unwrap_or(0);
        for (row, price) in &sheet.rows {
            let _ = writeln!(text, "  {row:width$}  {price}");
        }
        let _ = writeln!(text, "  as of {}", or_unknown(sheet.date));
        let _ = writeln!(text, "  from {}", or_unknown(sheet.source));
    }
    let _ = writeln!(text, "prices {}", table.version());
    Ok((text, ExitCode::SUCCESS))
}

fn update(args: &UpdatePricesArgs) -> anyhow::Result<String> {
    let output = output(args)?;
    let table = read(&args.table)?;
    let date = match &args.date {
        Some(date) => date.clone(),
        None => last_changed(&args.table)?,
    };
    let existing = match fs::exists(&output) {
        Ok(true) => Some(read(&output)?),
        Ok(false) => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look for {}", output.display()));
        }
    };
    let update = Update::prepare(&table, &date, existing.as_deref())
        .with_context(|| format!("prices {}", args.table.display()))?;
    let mut text = String::new();
    for change in update.changes() {
        let _ = writeln!(text, "{change}");
    }
    let new = update.changes().iter().filter(|change| change.is_new);
    let new = new.count();
    let _ = writeln!(
        text,
        "{new} new, {} changed, {} not in the table and kept; {} in all",
        update.changes().len() - new,
        update.kept(),
        update.models()
    );
    let left_out = update.left_out();
    if left_out != Default::default() {
        let _ = writeln!(
            text,
            "left out: {} of providers that weir does not know, {} without a price that it can apply",
            left_out.of_other_providers, left_out.without_usable_price
        );
    }
    if args.dry_run {
        let _ = writeln!(text, "nothing written");
    } else {
        write(&output, &update.text())
            .with_context(|| format!("cannot write {}", output.display()))?;
        let _ = writeln!(text, "wrote {}", output.display());
    }
    Ok(text)
}

fn output(args: &UpdatePricesArgs) -> anyhow::Result<PathBuf> {
    if let Some(output) = &args.output {
        return Ok(output.clone());
    }
    let config = Config::load(args.config.as_deref())?;
    match config.prices.file {
        Some(file) => Ok(file),
        None => bail!("the configuration names no `prices.file`: name a file with --output"),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read prices {}", file.display());
    let mut text = String::new();
    let opened = fs::File::open(file).with_context(unreadable)?;
    opened
        .take(TABLE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(unreadable)?;
    if text.len() as u64 > TABLE_BYTES_MAX {
        bail!(
            "prices {}: more than {} MiB, which no price table has: name another file",
            file.display(),
            TABLE_BYTES_MAX / 1024 / 1024
        );
    }
    Ok(text)
}

/// The day a file was last changed, in UTC.
fn last_changed(file: &Path) -> anyhow::Result<String> {
    let changed = fs::metadata(file)
        .and_then(|metadata| metadata.modified())
        .with_context(|| {
            format!(
                "cannot tell when {} was changed: say --date",
                file.display()
            )
        })?;
    let timestamp = Timestamp::from(changed).to_string();
    Ok(timestamp.split('T').next().unwrap_or_default().to_owned())
}

/// Writes a price file over what is there, and keeps who may read it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(_none) => MODE,
    };
    // What a link stands for is replaced, not the link.
    let path = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(_none) => path.to_owned(),
    };
    replace(&path, text.as_bytes(), Access { mode, owner: None })
}
