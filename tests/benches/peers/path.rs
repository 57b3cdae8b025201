//! The paths that calls take from the application to the provider.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use serde::Serialize;
use weir_tests::curl::Http;

use crate::ground::{FAR, NEAR};
use crate::load::Host;
use crate::upstream::PORT;

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Path {
    /// From the application to the provider, and nothing between.
    Direct,
    /// Through weir as it is by default: redirected by its programs, metered.
    Weir,
    /// The same with bodies left unread.
    WeirUnmetered,
    /// Metered, with no rule that changes a call: streams are not asked for their usage.
    WeirUnruled,
    Nginx,
    Haproxy,
    Envoy,
    Mitmproxy,
}

/// How far the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distance {
    /// A link between two namespaces.
    Near,
    /// One with a round trip that takes time.
    Far,
}

/// Where a proxy listens that the application has to be told of.
pub(crate) mod listen {
    use std::net::{Ipv4Addr, SocketAddrV4};

    const fn at(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    /// HTTP/1.1 on both legs.
    pub(crate) const NEAR: SocketAddrV4 = at(8443);
    /// Bytes that it does not look into.
    pub(crate) const OPAQUE: SocketAddrV4 = at(8444);
    /// HTTP/1.1 to the provider that is far away.
    pub(crate) const FAR: SocketAddrV4 = at(8445);
    /// HTTP/2, on both legs where it can.
    pub(crate) const NEAR_H2: SocketAddrV4 = at(8446);
}

impl Path {
    pub(crate) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Weir,
        Self::WeirUnmetered,
        Self::WeirUnruled,
        Self::Nginx,
        Self::Haproxy,
        Self::Envoy,
        Self::Mitmproxy,
    ];

    pub(crate) fn is_weir(self) -> bool {
        matches!(self, Self::Weir | Self::WeirUnmetered | Self::WeirUnruled)
    }

    /// What its `weir.yaml` says.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::WeirUnmetered => "models: {bodies: leave}",
            Self::WeirUnruled => "models: {stream_usage: leave}",
            Self::Direct
            | Self::Weir
            | Self::Nginx
            | Self::Haproxy
            | Self::Envoy
            | Self::Mitmproxy => "",
        }
    }

    /// Where the application connects to.
    pub(crate) fn address(self, host: Host, http: Http, distance: Distance) -> SocketAddr {
        let provider = |address: Ipv4Addr| SocketAddr::from((address, PORT));
        match (self, distance) {
            // It is none of the application's business that there is a proxy.
            (
                Self::Direct | Self::Weir | Self::WeirUnmetered | Self::WeirUnruled,
                Distance::Near,
            ) => provider(NEAR),
            (
                Self::Direct | Self::Weir | Self::WeirUnmetered | Self::WeirUnruled,
                Distance::Far,
            ) => provider(FAR),
            (Self::Nginx | Self::Haproxy | Self::Envoy | Self::Mitmproxy, distance) => {
                match (host, http, distance) {
                    (Host::Other, _, _) => listen::OPAQUE,
                    (Host::Api, _, Distance::Far) => listen::FAR,
                    (Host::Api, Http::H1, Distance::Near) => listen::NEAR,
                    (Host::Api, Http::H2, Distance::Near) => listen::NEAR_H2,
                }
                .into()
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Direct => "direct",
            Self::Weir => "weir",
            Self::WeirUnmetered => "unmetered",
            Self::WeirUnruled => "no rules",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Mitmproxy => "mitmproxy",
        })
    }
}
