//! The two hosts, the cable between them, and the names that the application host knows.
//!
//! Addresses are of the ranges kept for documentation (RFC 5737, RFC 3849), so that a packet that
//! got out by mistake would go nowhere.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Result;

use crate::demo::directory::{self, RunDirectory};
use crate::demo::host::Host;
use crate::demo::remains::Trace;
use crate::step::Steps;
use crate::workspace::Workspace;

/// A name that the provider host answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) address4: Ipv4Addr,
    /// Clients prefer it where there is one.
    pub(crate) address6: Option<Ipv6Addr>,
}

/// A host that weir's catalogue does not list.
pub(crate) const UNLISTED: &str = "docs.example.org";

/// One provider is reached over IPv6 and the other over IPv4, so that both are shown.
pub(crate) const SITES: [Site; 3] = [
    Site {
        name: "api.openai.com",
        address4: Ipv4Addr::new(203, 0, 113, 10),
        address6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10)),
    },
    Site {
        name: "api.anthropic.com",
        address4: Ipv4Addr::new(203, 0, 113, 20),
        address6: None,
    },
    Site {
        name: UNLISTED,
        address4: Ipv4Addr::new(203, 0, 113, 30),
        address6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x30)),
    },
];
const APPLICATION4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const APPLICATION6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    OnlyIpv4,
}

/// Two hosts, joined.
pub(crate) struct Network {
    application: Host,
    provider: Host,
    families: Families,
}

impl Network {
    /// Makes both hosts, the cable and the names.
    ///
    /// # Errors
    /// When the kernel or a file of the application host does not allow it.
    pub(crate) fn create(
        workspace: &Workspace,
        files: &RunDirectory,
        trace: &mut Trace,
    ) -> Result<Self> {
        let network = Self {
            application: Host::create(workspace, "application")?,
            provider: Host::create(workspace, "provider")?,
            families: Families::of_this_kernel(),
        };
        trace.watch_namespace(&network.application)?;
        trace.watch_namespace(&network.provider)?;
        let families = network.families;
        // The cable first; the provider's end then, because an IPv6 address works only once its
        // end has a carrier, and the emulator listens on it.
        network
            .application
            .ip(&application_links(network.provider.pid(), families))?;
        network.provider.ip(&provider_links(families))?;

        let hosts = files.write(directory::HOSTS, &hosts(families))?;
        network.application.show(&hosts, "/etc/hosts")?;
        // Where names are asked of a service before /etc/hosts, it would answer for this machine.
        let path = "/etc/nsswitch.conf";
        if let Ok(services) = fs::read_to_string(Path::new(path)) {
            let services = only_files(&services);
            let file = files.write(directory::NAME_SERVICES, &services)?;
            network.application.show(&file, path)?;
        }
        Ok(network)
    }

    /// The host of the clients.
    pub(crate) fn application(&self) -> &Host {
        &self.application
    }

    /// The host of the emulator.
    pub(crate) fn provider(&self) -> &Host {
        &self.provider
    }

    /// Where the emulator listens.
    pub(crate) fn listen_addresses(&self) -> Vec<String> {
        let mut addresses = Vec::new();
        for site in SITES {
            addresses.push(format!("{}:443", site.address4));
            if let Some(address) = site.address6.filter(|_| self.families == Families::Both) {
                addresses.push(format!("[{address}]:443"));
            }
        }
        addresses
    }

    /// Says what was made.
    pub(crate) fn describe(&self, steps: &Steps) {
        steps.note("two hosts joined by a cable, in network namespaces that end with this demo");
        if self.families == Families::OnlyIpv4 {
            steps.note("this kernel has no IPv6: over IPv4 only");
        }
        for site in SITES {
            let address = match site.address6 {
                Some(address) if self.families == Families::Both => {
                    format!("{address}, {}", site.address4)
                }
                _ => site.address4.to_string(),
            };
            steps.note(&format!("  {:17}  {address}", site.name));
        }
    }
}

impl Families {
    fn of_this_kernel() -> Self {
        if Path::new("/proc/net/if_inet6").exists() {
            Self::Both
        } else {
            Self::OnlyIpv4
        }
    }
}

/// The application's end, and with it the cable to the host of process `provider`.
fn application_links(provider: u32, families: Families) -> String {
    let mut script = format!(
        "link set lo up\n\
         link add eth0 type veth peer name eth0 netns {provider}\n\
         address add {APPLICATION4}/24 dev eth0\n"
    );
    if families == Families::Both {
        script.push_str(&address6(APPLICATION6));
    }
    script.push_str("link set eth0 up\n");
    script
}

fn provider_links(families: Families) -> String {
    let mut script = String::from("link set lo up\n");
    for site in SITES {
        script.push_str(&format!("address add {}/24 dev eth0\n", site.address4));
        if let Some(address) = site.address6.filter(|_| families == Families::Both) {
            script.push_str(&address6(address));
        }
    }
    script.push_str("link set eth0 up\n");
    script
}

/// Without the search for duplicates, during which the address cannot be used.
fn address6(address: Ipv6Addr) -> String {
    format!("address add {address}/64 dev eth0 nodad\n")
}

fn hosts(families: Families) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for site in SITES {
        text.push_str(&format!("{} {}\n", site.address4, site.name));
        if let Some(address) = site.address6.filter(|_| families == Families::Both) {
            text.push_str(&format!("{address} {}\n", site.name));
        }
    }
    text
}

/// nsswitch.conf(5) with `/etc/hosts` as the only source of hosts.
fn only_files(services: &str) -> String {
    let others = services
        .lines()
        .filter(|line| !line.trim_start().starts_with("hosts:"));
    let mut text = String::from("hosts: files\n");
    for line in others {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Families, application_links, hosts, only_files, provider_links};

    #[test]
    fn names_are_asked_of_nobody_but_the_file() {
        let services = "passwd: files systemd\nhosts: resolve [!UNAVAIL=return] files dns\n";
        assert_eq!(
            only_files(services),
            "hosts: files\npasswd: files systemd\n"
        );
    }

    #[test]
    fn without_ipv6_no_address_of_it_is_used() {
        let families = Families::OnlyIpv4;
        for script in [
            application_links(1, families),
            provider_links(families),
            hosts(families).replace("::1 localhost\n", ""),
        ] {
            assert!(!script.contains("::"), "{script}");
            assert!(script.contains("203.0.113."), "{script}");
        }
    }
}
