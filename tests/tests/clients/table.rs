//! The table.

use std::fmt::{self, Write as _};

use crate::client::{Client, Expected, Mode};
use crate::fate::Fate;

/// A client's line.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    tls: &'static str,
    version: String,
    expected: Expected,
    fates: [Option<Fate>; Mode::ALL.len()],
}

impl Row {
    pub(crate) fn of(client: &Client) -> Self {
        Self {
            name: client.name,
            tls: client.tls,
            version: client.version.clone(),
            expected: client.expected,
            fates: [const { None }; Mode::ALL.len()],
        }
    }

    pub(crate) fn take(&mut self, mode: Mode, fate: &Fate) {
        self.fates[mode as usize] = Some(fate.clone());
    }

    /// As installed it is inspected, or let through where nothing can make it
    /// trust; with roots of its own it is always let through.
    pub(crate) fn is_as_expected(&self) -> bool {
        let [installed, own] = &self.fates;
        let installed = match (installed, self.expected) {
            (Some(Fate::Inspected), Expected::Inspected)
            | (Some(Fate::LetThrough { .. }), Expected::LetThrough) => true,
            (Some(Fate::Inspected | Fate::LetThrough { .. } | Fate::Otherwise(_)) | None, _) => {
                false
            }
        };
        installed && matches!(own, None | Some(Fate::LetThrough { .. }))
    }

    fn cell(&self, mode: Mode) -> String {
        let fate = &self.fates[mode as usize];
        fate.as_ref().map_or("–".to_owned(), Fate::to_string)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:28}", self.name)?;
        for mode in Mode::ALL {
            write!(out, " {:34}", self.cell(mode))?;
        }
        if !self.is_as_expected() {
            out.write_str(" NOT AS EXPECTED")?;
        }
        Ok(())
    }
}

/// What the table means, for those who find it without this program.
const INTRODUCTION: &str = "\
# What clients make of weir

Made by `cargo xtask clients -- --markdown deploy/clients.md`, which installs these clients, lets each
make calls through `weir exec`, and fails if one comes out otherwise than expected.

- **as installed**: it takes its roots from where weir's variables lead, or from the system alone.
- **with roots of its own**: it was given roots that no variable extends, as a program has that pins a
  certificate or was compiled with its roots. `–` where the variables reach those too.
- **inspected**: every call was metered, and came out as without weir.
- **let through after N**: that many connections were refused by the client, with a TLS alert or in
  silence, and recorded so; all later ones passed uninspected, and came out as without weir.

";

pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(INTRODUCTION);
    text.push_str(
        "| client | TLS | version | as installed | with roots of its own |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let [installed, own] = Mode::ALL.map(|mode| row.cell(mode));
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {installed} | {own} |",
            row.name, row.tls, row.version
        );
    }
    text
}
