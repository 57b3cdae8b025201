//! The world of a test: an application's network namespace, a provider's, and
//! a link between them.
//!
//! ```text
//!  application                          provider
//!  weir exec, its command    veth       emulator and servers of the test
//!  203.0.113.1          ────────────    203.0.113.7 … 203.0.113.14
//!  2001:db8::1                          2001:db8::7 … 2001:db8::e
//! ```
//!
//! All of it goes with the value, also when a test panics.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use weir::tls::bundle;
use weir_emulator::{Builder, Emulator, Listener};

use crate::namespace::Namespace;
use crate::provider::Provider;
use crate::run::Weir;

/// The application's address.
pub const APPLICATION: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The provider's first address, where the usual emulator is.
pub const PROVIDER: IpAddr = provider4(0);
/// The second, where it is too: curl would ask for HTTP/2 on a connection that
/// it has made for HTTP/1.1, were it to the same address.
pub const PROVIDER_H2: IpAddr = provider4(1);
/// The provider's first IPv6 address.
pub const PROVIDER6: IpAddr = provider6(0);
/// How many addresses the provider has, in each family.
pub const ADDRESSES: u8 = 8;
/// A name that is in no catalogue of model providers.
pub const OTHER_HOST: &str = "files.example.org";

/// The provider's address of that number, from 0.
#[must_use]
pub const fn provider4(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7 + number))
}

/// The provider's IPv6 address of that number, from 0.
#[must_use]
pub const fn provider6(number: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(
        0x2001,
        0xdb8,
        0,
        0,
        0,
        0,
        0,
        7 + number as u16,
    ))
}

/// Both namespaces and what is in them.
#[derive(Debug)]
pub struct World {
    /// Where weir and its command run.
    pub application: Namespace,
    /// Where the emulator listens, and a test's own servers.
    pub provider: Namespace,
    /// The emulator.
    pub emulator: Provider,
    /// For files of a test.
    directory: TempDir,
}

impl World {
    /// A world with the [`usual`] emulator.
    ///
    /// # Errors
    /// Not without root.
    pub fn new() -> Result<Self> {
        Self::with(usual())
    }

    /// A world with an emulator of the test's own.
    ///
    /// # Errors
    /// Not without root; or the emulator does not start.
    pub fn with(emulator: Builder) -> Result<Self> {
        let application = Namespace::new()?;
        let provider = Namespace::new()?;
        let mut batch = format!(
            "link set lo up\n\
             link add app type veth peer name provider netns {}\n\
             link set app addrgenmode none\n\
             addr add {APPLICATION}/24 dev app\n\
             addr add 2001:db8::1/64 dev app nodad\n\
             link set app up\n",
            provider.path().display()
        );
        application.ip(&batch)?;
        batch = "link set lo up\nlink set provider addrgenmode none\n".to_owned();
        for number in 0..ADDRESSES {
            writeln!(batch, "addr add {}/24 dev provider", provider4(number))?;
            let six = provider6(number);
            writeln!(batch, "addr add {six}/64 dev provider nodad")?;
        }
        batch.push_str("link set provider up\n");
        provider.ip(&batch)?;

        let directory = tempfile::Builder::new().prefix("weir-world-").tempdir()?;
        let emulator = Provider::start(&provider, emulator)?;
        fs::write(directory.path().join("ca.pem"), emulator.ca_pem())
            .context("cannot write the emulator's CA")?;
        Ok(Self {
            application,
            provider,
            emulator,
            directory,
        })
    }

    /// A world where `names` are the emulator's, and lead the application to it.
    ///
    /// # Errors
    /// Not without root; or the emulator does not start.
    pub fn naming(names: &[&str], emulator: Builder) -> Result<Self> {
        let mut world = Self::with(emulator.names(names.iter().copied()))?;
        let files = world.directory.path();
        world.application.resolve(names, PROVIDER, files)?;
        Ok(world)
    }

    /// Runs a command in the application's namespace, without weir: it trusts the
    /// emulator by the variables that weir would set. Returns what it printed.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn run_direct<S: AsRef<OsStr>>(&self, command: &[S]) -> Result<String> {
        let trust = self.directory.path().join("trust");
        fs::create_dir_all(&trust)?;
        for file in [bundle::BUNDLE_FILE, bundle::EXTRA_FILE] {
            fs::write(trust.join(file), self.emulator.ca_pem())?;
        }
        let [program, arguments @ ..] = command else {
            bail!("a command has a program");
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(bundle::environment(&BTreeMap::new(), &trust))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = self.application.spawn(&mut command)?.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{command:?} failed without weir: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).context("the command does not print text")
    }

    /// `weir exec` in the application's namespace, trusting the emulator.
    #[must_use]
    pub fn weir(&self) -> Weir<'_> {
        Weir::new(self)
    }

    /// The emulator's CA, in a file.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A directory for files of a test, which goes with the world.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The usual emulator: both providers and [`OTHER_HOST`], with TLS on port 443
/// and without on port 80, over IPv4 and IPv6.
#[must_use]
pub fn usual() -> Builder {
    Emulator::builder()
        .names(["api.openai.com", "api.anthropic.com", OTHER_HOST])
        .listener(Listener::https(SocketAddr::new(PROVIDER, 443)))
        .listener(Listener::https(SocketAddr::new(PROVIDER_H2, 443)))
        .listener(Listener::https(SocketAddr::new(PROVIDER6, 443)))
        .listener(Listener::plain(SocketAddr::new(PROVIDER, 80)))
        .listener(Listener::plain(SocketAddr::new(PROVIDER6, 80)))
}
