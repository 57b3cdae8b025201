//! From the start of the command to the moment weir may end: one loop, waiting
//! for signals, the proxy, the command and those it leaves behind.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use weir_common::OnProxyDown;

use super::cgroups::Cgroups;
use super::proxy::{Alive, Proxy};
use super::say;
use super::signals::{Arrived, Sender, Signals};
use super::terminal::Terminal;
use super::waiting::{Source, Wake, wait};
use crate::sys::cgroup::hierarchy::is_within;
use crate::sys::process::{Change, End, Process};

/// How long after the command its children may take to end before weir says
/// that it waits for them. Those of a shell pipeline end at about the same time.
const NOTICE_AFTER: Duration = Duration::from_millis(200);
/// How many processes are named in that notice.
const NAMES_MAX: usize = 4;

/// What the loop watches over.
pub(super) struct Watch<'a> {
    pub(super) signals: &'a Signals,
    pub(super) cgroups: &'a Cgroups,
    pub(super) terminal: &'a Terminal,
    pub(super) proxy: &'a mut Proxy,
    pub(super) proxy_alive: Alive,
    pub(super) on_proxy_down: OnProxyDown,
}

impl Watch<'_> {
    /// Until the command has ended.
    pub(super) fn command(&mut self, command: &Process) -> io::Result<End> {
        loop {
            let mut sources = vec![
                Source::Readable(self.signals.as_fd()),
                Source::Readable(command.as_fd()),
            ];
            if self.proxy_alive == Alive::Yes {
                sources.push(Source::Readable(self.proxy.control()));
            }
            wait(&sources, None)?;

            // Signals first: one that came before the end is still the command's.
            while let Some(arrived) = self.signals.next()? {
                self.pass_on(arrived, command)?;
            }
            match command.change()? {
                Some(Change::Ended(end)) => {
                    self.terminal.take_back();
                    return Ok(end);
                }
                // The shell that started weir waits for weir, and must see it
                // stop. SIGCONT to the group starts both again.
                Some(Change::Stopped { .. }) if self.terminal.exists() => {
                    raise(Signal::SIGSTOP)?;
                }
                // Without a terminal nobody does job control, and whoever
                // stopped the command alone will start it alone.
                Some(Change::Stopped { .. }) | None => {}
            }
            self.serve_proxy();
        }
    }

    /// Until nothing that the command started is left, or weir is told to end.
    pub(super) fn descendants(&mut self, end: End, linger: Option<Duration>) -> io::Result<()> {
        let app = self.cgroups.app();
        let mut events = app.events()?;
        let began = Instant::now();
        let last = linger.and_then(|linger| began.checked_add(linger));
        let mut notice = Some(began + NOTICE_AFTER);
        while events.populated()? {
            let deadline = match (notice, last) {
                (Some(notice), Some(last)) => Some(notice.min(last)),
                (notice, last) => notice.or(last),
            };
            let mut sources = vec![
                Source::Readable(self.signals.as_fd()),
                Source::Changed(events.as_fd()),
            ];
            if self.proxy_alive == Alive::Yes {
                sources.push(Source::Readable(self.proxy.control()));
            }
            let woken = wait(&sources, deadline)?;
            while let Some(arrived) = self.signals.next()? {
                if ends_weir(arrived.signal) {
                    return Ok(());
                }
                if arrived.signal == Signal::SIGTSTP {
                    raise(Signal::SIGSTOP)?;
                }
            }
            self.serve_proxy();
            if woken == Wake::Deadline {
                let now = Instant::now();
                if last.is_some_and(|last| last <= now) {
                    let left = self.left_behind()?;
                    if !left.is_empty() {
                        say(&format!(
                            "the command {end}; {} and {} no longer intercepted",
                            still_running(&left),
                            if left.len() == 1 { "is" } else { "are" },
                        ));
                    }
                    return Ok(());
                }
                if notice.take().is_some() {
                    let left = self.left_behind()?;
                    if !left.is_empty() {
                        say(&format!(
                            "the command {end}; {} and {} intercepted: press Ctrl-C to end weir now",
                            still_running(&left),
                            if left.len() == 1 { "stays" } else { "stay" },
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn pass_on(&self, arrived: Arrived, command: &Process) -> io::Result<()> {
        match (arrived.signal, arrived.sender) {
            // What became of the children is asked for anyway.
            (Signal::SIGCHLD, _) => Ok(()),
            // The terminal told the whole group.
            (_, Sender::Kernel) => Ok(()),
            // It would get back what it sent to its group, or to its parent.
            (_, Sender::Process(pid)) if is_within(pid, self.cgroups.app().path()) => Ok(()),
            (signal, Sender::Process(_)) => command.signal(signal),
        }
    }

    fn serve_proxy(&mut self) {
        if self.proxy_alive == Alive::No || self.proxy.serve() == Alive::Yes {
            return;
        }
        self.proxy_alive = Alive::No;
        say(match self.on_proxy_down {
            OnProxyDown::Closed => {
                "the proxy has ended unexpectedly: the command's new connections to captured ports now fail, and the report is lost"
            }
            OnProxyDown::Open => {
                "the proxy has ended unexpectedly: the command's new connections now go direct, unmetered, and the report is lost"
            }
        });
    }

    fn left_behind(&self) -> io::Result<Vec<String>> {
        let pids = self.cgroups.app().processes()?;
        Ok(pids
            .into_iter()
            .map(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .map_or_else(|_| pid.to_string(), |name| name.trim_end().to_owned())
            })
            .collect())
    }
}

/// Whether a signal tells weir to end once the command is gone.
fn ends_weir(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
    )
}

fn still_running(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    let mut shown = shown.join(", ");
    if names.len() > NAMES_MAX {
        shown.push_str(", …");
    }
    match names.len() {
        1 => format!("1 process it started still runs ({shown})"),
        count => format!("{count} processes it started still run ({shown})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_and_named() {
        for (names, expected) in [
            (&["redis"][..], "1 process it started still runs (redis)"),
            (&["a", "b"], "2 processes it started still run (a, b)"),
            (
                &["a", "b", "c", "d", "e"],
                "5 processes it started still run (a, b, c, d, …)",
            ),
        ] {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(still_running(&names), expected);
        }
    }
}
