//! curl as a client: many transfers by one process, each answer in files.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::run::{Ended, Weir};
use crate::world::{PROVIDER, PROVIDER_H2, World};

/// A version of HTTP to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Http {
    /// HTTP/1.1
    H1,
    /// HTTP/2, by ALPN.
    H2,
}

impl Http {
    /// Both.
    pub const ALL: [Self; 2] = [Self::H1, Self::H2];

    /// Where the usual emulator is asked for it.
    #[must_use]
    pub fn provider(self) -> IpAddr {
        match self {
            Self::H1 => PROVIDER,
            Self::H2 => PROVIDER_H2,
        }
    }
}

/// One transfer to come.
#[derive(Clone, Debug)]
pub struct Transfer(Vec<(String, Option<String>)>);

impl Transfer {
    /// A transfer from the usual emulator, whatever the name in the URL.
    #[must_use]
    pub fn of(url: &str, http: Http) -> Self {
        Self::at(url, http.provider(), http)
    }

    /// A transfer from a server at `address`.
    #[must_use]
    pub fn at(url: &str, address: IpAddr, http: Http) -> Self {
        let address = match address {
            IpAddr::V4(four) => four.to_string(),
            IpAddr::V6(six) => format!("[{six}]"),
        };
        Self(Vec::new())
            .set("url", url)
            .set("connect-to", &format!("::{address}:"))
            .flag(match http {
                Http::H1 => "http1.1",
                Http::H2 => "http2",
            })
            .set("max-time", "60")
    }

    /// Sets an option without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.0.push((name.to_owned(), None));
        self
    }

    /// Sets an option.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.set("header", &format!("{name}: {value}"))
    }

    /// Trusts the CA in this file, and no other.
    #[must_use]
    pub fn trusting(self, ca: &Path) -> Self {
        self.set("cacert", &ca.display().to_string())
    }

    /// The words of a command line for this transfer alone, with its body on
    /// standard output as it arrives.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["curl", "-q", "--silent", "--show-error", "--no-buffer"]
            .map(str::to_owned)
            .to_vec();
        for (name, value) in &self.0 {
            words.push(format!("--{name}"));
            words.extend(value.clone());
        }
        words
    }
}

/// What came of a transfer.
#[derive(Clone)]
pub struct Answer {
    /// curl's exit code for it.
    pub exit: u8,
    /// The status of the last response, 0 if there was none.
    pub status: u16,
    /// `1.1` or `2`.
    pub version: String,
    /// Heads of all responses, interim ones too, as curl saw them.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A field of the last head.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let last = self.head.trim_end().rsplit("\r\n\r\n").next()?;
        last.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer")
            .field("exit", &self.exit)
            .field("status", &self.status)
            .field("version", &self.version)
            .field("head", &self.head)
            .field("body", &self.text())
            .finish()
    }
}

/// Several transfers, one after another by one process, with the files in which
/// their answers are.
#[derive(Debug)]
pub struct Batch {
    directory: PathBuf,
    count: usize,
}

/// A value as curl's configuration files have them.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// A line for each transfer, on standard output.
const WRITE_OUT: &str = r"%{exitcode} %{http_code} %{http_version}\n";

impl Batch {
    /// Writes them down. `name` tells batches of one world apart.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(world: &World, name: &str, transfers: &[Transfer]) -> Result<Self> {
        let directory = world.directory().join(name);
        fs::create_dir(&directory).with_context(|| format!("a batch named {name}"))?;
        let mut config = String::new();
        for (number, transfer) in transfers.iter().enumerate() {
            if number > 0 {
                config.push_str("next\n");
            }
            for (name, value) in &transfer.0 {
                match value {
                    None => writeln!(config, "{name}")?,
                    Some(value) => writeln!(config, "{name} = {}", quoted(value))?,
                }
            }
            let file = |kind: &str| directory.join(format!("{number}.{kind}"));
            writeln!(config, "silent\nno-buffer")?;
            writeln!(config, "output = \"{}\"", file("body").display())?;
            writeln!(config, "dump-header = \"{}\"", file("head").display())?;
            writeln!(config, "write-out = \"{WRITE_OUT}\"")?;
        }
        fs::write(directory.join("config"), config)?;
        Ok(Self {
            directory,
            count: transfers.len(),
        })
    }

    /// The command that does them.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let config = self.directory.join("config").display().to_string();
        ["curl", "-q", "--config", &config]
            .map(str::to_owned)
            .to_vec()
    }

    /// Does them in the application's namespace without weir.
    ///
    /// # Errors
    /// There is no curl.
    pub fn direct(&self, world: &World) -> Result<Vec<Answer>> {
        let command = self.command();
        let curl = world.application.spawn(
            Command::new("curl")
                .args(command.get(1..).unwrap_or_default())
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )?;
        self.answers(&String::from_utf8(curl.wait_with_output()?.stdout)?)
    }

    /// Does them under weir.
    ///
    /// # Errors
    /// As [`Weir::run`] and [`Batch::answers`].
    pub fn through(&self, weir: Weir<'_>) -> Result<(Vec<Answer>, Ended)> {
        let ended = weir.run(&self.command())?;
        let answers = self
            .answers(&ended.text())
            .with_context(|| format!("after {ended:?}"))?;
        Ok((answers, ended))
    }

    /// Reads the answers; `said` is curl's standard output.
    ///
    /// # Errors
    /// Not all transfers were tried.
    pub fn answers(&self, said: &str) -> Result<Vec<Answer>> {
        let lines: Vec<&str> = said.lines().collect();
        ensure!(
            lines.len() == self.count,
            "curl says {said:?} of {} transfers",
            self.count
        );
        lines
            .iter()
            .enumerate()
            .map(|(number, line)| self.answer(number, line))
            .collect()
    }

    fn answer(&self, number: usize, line: &str) -> Result<Answer> {
        let mut fields = line.split(' ');
        let mut next = || fields.next().context("three fields");
        // A file that is not there had nothing to hold.
        let read = |kind: &str| {
            fs::read(self.directory.join(format!("{number}.{kind}"))).unwrap_or_default()
        };
        Ok(Answer {
            exit: next()?.parse()?,
            status: next()?.parse()?,
            version: next()?.to_owned(),
            head: String::from_utf8_lossy(&read("head")).into_owned(),
            body: read("body"),
        })
    }
}
