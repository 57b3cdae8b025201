//! Names that lead where a test wants, for every program and however it asks.
//!
//! `/etc/hosts` says so in a mount namespace, and `nsswitch.conf` that nobody
//! else is asked. Both are files of the test that are shown in their places; the
//! machine's own do not change, and nothing has to be cleared away.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chroot, fchdir};

const HOSTS: &str = "/etc/hosts";
const SERVICES: &str = "/etc/nsswitch.conf";

/// A mount namespace in which names are known.
#[derive(Debug)]
pub(crate) struct Names {
    namespace: File,
    /// The root of this process, which a chroot(2) may have changed, and its
    /// directory: both as seen in the namespace.
    root: File,
    directory: File,
}

impl Names {
    /// Makes one in which `names` lead to `address`; its files are in `files`.
    /// The calling thread is in it from then on, and must not serve anything else.
    pub(crate) fn new(names: &[&str], address: IpAddr, files: &Path) -> Result<Self> {
        let hosts = files.join("hosts");
        fs::write(&hosts, hosts_of(names, address))?;
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
        let made = Self {
            namespace: File::open("/proc/thread-self/ns/mnt")?,
            root: File::open("/")?,
            directory: File::open(".")?,
        };
        // Entering leads to the root of all mounts, which a chroot is not.
        setns(&made.namespace, CloneFlags::CLONE_NEWNS).context("cannot enter the mounts")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .context("cannot keep mounts from showing elsewhere")?;
        made.take_root()?;
        show(&hosts, HOSTS)?;
        if let Ok(services) = fs::read_to_string(SERVICES) {
            let file = files.join("nsswitch.conf");
            fs::write(&file, only_files(&services))?;
            show(&file, SERVICES)?;
        }
        Ok(made)
    }

    /// Takes the calling thread, and what it starts, into the namespace.
    pub(crate) fn enter(&self) -> Result<()> {
        // A thread may only enter mounts with a root and a directory of its own.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).context("cannot enter the mounts")?;
        self.take_root()
    }

    fn take_root(&self) -> Result<()> {
        fchdir(&self.root)?;
        chroot(".").context("cannot take the root along")?;
        fchdir(&self.directory)?;
        Ok(())
    }
}

fn show(file: &Path, place: &str) -> Result<()> {
    let none = None::<&str>;
    mount(Some(file), place, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("cannot show another {place}"))
}

fn hosts_of(names: &[&str], address: IpAddr) -> String {
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for name in names {
        // Infallible: it writes to memory.
        let _written = writeln!(hosts, "{address} {name}");
    }
    hosts
}

/// nsswitch.conf(5) with `/etc/hosts` as the only source of hosts.
fn only_files(services: &str) -> String {
    let others = services
        .lines()
        .filter(|line| !line.trim_start().starts_with("hosts:"));
    ["hosts: files"]
        .into_iter()
        .chain(others)
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{hosts_of, only_files};
    use crate::world::PROVIDER;

    #[test]
    fn names_are_asked_of_nobody_but_the_file() {
        let services = "passwd: files systemd\nhosts: resolve [!UNAVAIL=return] files dns\n";
        let expected = "hosts: files\npasswd: files systemd\n";
        assert_eq!(only_files(services), expected);
    }

    #[test]
    fn every_name_leads_to_the_address() {
        let hosts = hosts_of(&["one.example", "two.example"], PROVIDER);
        let ours = hosts
            .lines()
            .filter(|line| line.starts_with("203.0.113.7 "));
        assert_eq!(ours.count(), 2, "{hosts}");
    }
}
