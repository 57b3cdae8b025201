//! The kernels of the matrix: which of Debian's each name stands for.
//!
//! Names are chosen here once and are the same on the command line, in the cache and in the table.
//! Which release a name stands for today is for Debian's index to say ([`super::packages`]).

use std::fmt;

use clap::ValueEnum;

/// A kernel of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Series {
    /// Debian 11, bullseye: the oldest kernel that weir supports.
    #[value(name = "5.10")]
    Bullseye,
    /// Debian 12, bookworm.
    #[value(name = "6.1")]
    Bookworm,
    /// Debian 13, trixie.
    #[value(name = "6.12")]
    Trixie,
    /// What trixie-backports installs today.
    Backports,
    /// The newest in sid and trixie-backports, signed for Secure Boot or not yet.
    Newest,
}

/// How the release is chosen among those that the suites hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one that the suite's metapackage depends on: what people have installed.
    Installed,
    /// The highest version.
    Highest,
}

impl Series {
    /// Kernels tested unless others are asked for. Backports is left out, because it lags behind
    /// the newest by days only.
    pub(crate) const USUAL: [Self; 4] =
        [Self::Bullseye, Self::Bookworm, Self::Trixie, Self::Newest];

    /// The suites of Debian that it comes from.
    pub(crate) fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Bullseye => &["bullseye"],
            Self::Bookworm => &["bookworm"],
            Self::Trixie => &["trixie"],
            Self::Backports => &["trixie-backports"],
            Self::Newest => &["trixie-backports", "sid"],
        }
    }

    /// How its release is chosen.
    pub(crate) fn choice(self) -> Choice {
        match self {
            Self::Newest => Choice::Highest,
            Self::Bullseye | Self::Bookworm | Self::Trixie | Self::Backports => Choice::Installed,
        }
    }

    /// Its name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "5.10",
            Self::Bookworm => "6.1",
            Self::Trixie => "6.12",
            Self::Backports => "backports",
            Self::Newest => "newest",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, ValueEnum};

    use super::Series;

    #[derive(Parser)]
    struct Line {
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Series::USUAL)]
        kernel: Vec<Series>,
    }

    #[test]
    fn a_list_of_kernels_is_read_in_its_order() {
        let kernels = |words: &[&str]| {
            Line::try_parse_from([&["vm"], words].concat()).map(|line| line.kernel)
        };
        assert_eq!(kernels(&[]).unwrap(), Series::USUAL);
        assert_eq!(
            kernels(&["--kernel", "6.12,newest", "--kernel=5.10"]).unwrap(),
            [Series::Trixie, Series::Newest, Series::Bullseye]
        );
        assert!(kernels(&["--kernel", "6.2"]).is_err());
        assert!(kernels(&["--kernel", "5.10,"]).is_err());
    }

    #[test]
    fn the_name_in_the_table_is_the_one_on_the_command_line() {
        for series in Series::value_variants() {
            let word = series.to_possible_value().unwrap();
            assert_eq!(word.get_name(), series.name());
        }
    }
}
