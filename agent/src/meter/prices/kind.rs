//! What there is a price of.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What a price is of. Prices of tokens are in US dollars per million;
        /// those that are per something else in US dollars each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// The keys of a price file, in the order they are written.
            pub(super) const NAMES: &'static [&'static str] = &[$($name,)*];

            /// Its key in a price file.
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Prompt tokens that nothing below is said of.
    Input => "input",
    /// Generated tokens that nothing below is said of.
    Output => "output",
    /// Prompt tokens read from a cache. Absent: they cost what input costs.
    CacheRead => "cache_read",
    /// Those written to one for five or thirty minutes. Absent: as input.
    CacheWrite => "cache_write",
    /// Those written for an hour. Absent: as `cache_write`.
    CacheWrite1h => "cache_write_1h",
    /// Those written for twelve hours. Absent: as `cache_write`.
    CacheWrite12h => "cache_write_12h",
    /// Tokens generated as reasoning. Absent: as output.
    Reasoning => "reasoning",
    /// Prompt tokens that stand for sound. Absent: as input.
    InputAudio => "input_audio",
    /// Prompt tokens that stand for images. Absent: as input.
    InputImage => "input_image",
    /// Sound that was read from a cache.
    CacheReadAudio => "cache_read_audio",
    /// Images that were read from a cache.
    CacheReadImage => "cache_read_image",
    /// Tokens generated as sound. Absent: as output.
    OutputAudio => "output_audio",
    /// Tokens generated as images. Absent: as output.
    OutputImage => "output_image",
    /// A second of sound or video, where that is billed.
    PerSecond => "per_second",
    /// A search that the provider made, or a query that it ranked by.
    PerSearch => "per_search",
    /// An image, whatever its size, where it is not billed by tokens.
    PerImage => "per_image",
    /// A character of text, in place of all tokens.
    PerCharacter => "per_character",
    /// A page of a document.
    PerPage => "per_page",
}

impl Kind {
    /// Whether it is a price of tokens.
    pub(super) fn is_of_tokens(self) -> bool {
        !matches!(
            self,
            Self::PerSecond | Self::PerSearch | Self::PerImage | Self::PerCharacter | Self::PerPage
        )
    }

    /// What it is a kind of, and costs the same as if nothing is said of it.
    pub(super) fn of(self) -> Option<Self> {
        match self {
            Self::CacheRead | Self::CacheWrite | Self::InputAudio | Self::InputImage => {
                Some(Self::Input)
            }
            Self::CacheWrite1h | Self::CacheWrite12h => Some(Self::CacheWrite),
            Self::CacheReadAudio | Self::CacheReadImage => Some(Self::CacheRead),
            Self::Reasoning | Self::OutputAudio | Self::OutputImage => Some(Self::Output),
            Self::Input
            | Self::Output
            | Self::PerSecond
            | Self::PerSearch
            | Self::PerImage
            | Self::PerCharacter
            | Self::PerPage => None,
        }
    }

    /// Whether it is a price of generated tokens.
    pub(super) fn is_of_output(self) -> bool {
        self == Self::Output || self.of() == Some(Self::Output)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
