//! What is measured of each way.

use std::fmt;

use serde::Serialize;

/// A figure of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Measure {
    ConnectMedian,
    ConnectP99,
    FirstByteMedian,
    FirstByteP99,
    ConnectionRate,
    ConnectionCpu,
    SmallMedian,
    SmallP99,
    SmallCpu,
    LargeMedian,
    LargeP99,
    LargeCpu,
}

impl Measure {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 12] = [
        Self::ConnectMedian,
        Self::ConnectP99,
        Self::FirstByteMedian,
        Self::FirstByteP99,
        Self::ConnectionRate,
        Self::ConnectionCpu,
        Self::SmallMedian,
        Self::SmallP99,
        Self::SmallCpu,
        Self::LargeMedian,
        Self::LargeP99,
        Self::LargeCpu,
    ];

    /// Whether more of it is better.
    pub(crate) fn better(self) -> Better {
        match self {
            Self::ConnectionRate => Better::More,
            Self::ConnectMedian
            | Self::ConnectP99
            | Self::FirstByteMedian
            | Self::FirstByteP99
            | Self::ConnectionCpu
            | Self::SmallMedian
            | Self::SmallP99
            | Self::SmallCpu
            | Self::LargeMedian
            | Self::LargeP99
            | Self::LargeCpu => Better::Less,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::ConnectMedian => "connect() p50, µs",
            Self::ConnectP99 => "connect() p99, µs",
            Self::FirstByteMedian => "first byte p50, µs",
            Self::FirstByteP99 => "first byte p99, µs",
            Self::ConnectionRate => "connections/s",
            Self::ConnectionCpu => "CPU/connection, µs",
            Self::SmallMedian => "200 B p50, µs",
            Self::SmallP99 => "200 B p99, µs",
            Self::SmallCpu => "CPU/200 B, µs",
            Self::LargeMedian => "2 KB p50, µs",
            Self::LargeP99 => "2 KB p99, µs",
            Self::LargeCpu => "CPU/2 KB, µs",
        })
    }
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}
