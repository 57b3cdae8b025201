//! `capture`: what the kernel hands to the proxy.

use serde::Deserialize;
use weir_common::{MAX_PORTS, OnProxyDown, Quic};

/// The keys below `capture`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureConfig {
    /// Destination ports that are redirected; default 443 and 80, where every
    /// model API is.
    pub ports: Ports,
    /// UDP towards those ports; refused by default, so that clients that would
    /// use HTTP/3 fall back to TCP, which can be metered.
    #[serde(with = "QuicName")]
    pub quic: Quic,
    /// New connections while the proxy does not listen; closed by default,
    /// because a call that fails is noticed and one that is not metered is not.
    #[serde(with = "OnProxyDownName")]
    pub on_proxy_down: OnProxyDown,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            ports: Ports(vec![443, 80]),
            quic: Quic::Refuse,
            on_proxy_down: OnProxyDown::Closed,
        }
    }
}

#[derive(Deserialize)]
#[serde(remote = "Quic", rename_all = "lowercase")]
enum QuicName {
    Refuse,
    Allow,
}

#[derive(Deserialize)]
#[serde(remote = "OnProxyDown", rename_all = "lowercase")]
enum OnProxyDownName {
    Closed,
    Open,
}

/// Between 1 and [`MAX_PORTS`] different ports, none of them 0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<u16>")]
pub struct Ports(Vec<u16>);

impl Ports {
    /// The ports, host order, in the order they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

impl TryFrom<Vec<u16>> for Ports {
    type Error = PortsError;

    fn try_from(ports: Vec<u16>) -> Result<Self, PortsError> {
        if ports.is_empty() {
            return Err(PortsError::None);
        }
        if ports.len() > MAX_PORTS {
            return Err(PortsError::TooMany { count: ports.len() });
        }
        for (index, port) in ports.iter().enumerate() {
            if *port == 0 {
                return Err(PortsError::Zero);
            }
            if ports.iter().take(index).any(|earlier| earlier == port) {
                return Err(PortsError::Twice { port: *port });
            }
        }
        Ok(Self(ports))
    }
}

/// Why a list of ports was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// The list is empty.
    #[error("no port is given, expected at least one, such as 443")]
    None,
    /// The list is longer than the kernel half unrolls.
    #[error("{count} ports are given, expected at most {MAX_PORTS}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Port 0 is no destination.
    #[error("0 is not a port, expected 1 to 65535")]
    Zero,
    /// The same port again.
    #[error("port {port} is given twice, keep one")]
    Twice {
        /// Which.
        port: u16,
    },
}
