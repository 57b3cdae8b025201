//! weir's admin port, asked from inside the namespace it serves.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};

use crate::namespace::Namespace;
use crate::output::PATIENCE;
use crate::run::ADMIN;
use crate::world::World;

/// An answer of the admin port.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks `address` for `path`, naming `host`.
///
/// # Errors
/// There is no answer.
pub fn get(world: &World, address: &str, path: &str, host: &str) -> Result<Answer> {
    ask(&world.application, address, path, host)
}

/// Asks `address` in this namespace for `path`, naming `host`.
///
/// # Errors
/// There is no answer.
pub fn ask(namespace: &Namespace, address: &str, path: &str, host: &str) -> Result<Answer> {
    let text = namespace.inside(|| -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })?;
    let text = text.with_context(|| format!("no answer from {address}"))?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok(Answer {
        status: status.parse()?,
        body: body.to_owned(),
    })
}

/// What `/metrics` said.
pub struct Metrics(String);

impl Metrics {
    /// Asks for them.
    ///
    /// # Errors
    /// There is no answer.
    pub fn of(world: &World) -> Result<Self> {
        Self::within(&world.application, ADMIN)
    }

    /// Asks for them in this namespace, at this address.
    ///
    /// # Errors
    /// There is no answer.
    pub fn within(namespace: &Namespace, admin: &str) -> Result<Self> {
        Ok(Self(ask(namespace, admin, "/metrics", admin)?.body))
    }

    /// The series of that name whose labels include these.
    fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labelled, value) = rest.rsplit_once(' ')?;
            let is_it = labelled.is_empty() || labelled.starts_with('{');
            let has =
                |(label, value): &(&str, &str)| labelled.contains(&format!("{label}=\"{value}\""));
            (is_it && labels.iter().all(has)).then(|| value.parse().ok())?
        })
    }

    /// The value of the only series of that name with these labels.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut series = self.series(name, labels);
        series.next().filter(|_| series.next().is_none())
    }

    /// The sum over all series of that name with these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).sum()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
