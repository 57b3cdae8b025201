//! Which exchanges have a span: the samplers that the specification names.

use crate::meter::trace::{SAMPLED, Trace};

/// A sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a context of the application decides, where there is one.
    follows_parent: bool,
    root: Root,
}

/// What decides about a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    Always,
    Never,
    /// The part of traces, from 0 to 1, by their identifier: every service that
    /// samples in this way agrees about a trace.
    Ratio(f64),
}

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self {
            follows_parent: true,
            root: Root::Always,
        }
    }
}

impl Sampler {
    /// The sampler of that name in `OTEL_TRACES_SAMPLER`, with its argument.
    ///
    /// # Errors
    /// There is none of that name, or the argument is no ratio.
    pub fn named(name: &str, argument: Option<&str>) -> Result<Self, &'static str> {
        let (follows_parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::Always,
            "always_off" => Root::Never,
            "traceidratio" => Root::Ratio(
                argument
                    .map_or(Ok(1.0), str::parse)
                    .ok()
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .ok_or("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1")?,
            ),
            _ => {
                return Err(
                    "expected always_on, always_off, traceidratio, or one of them \
                            after parentbased_",
                );
            }
        };
        Ok(Self {
            follows_parent,
            root,
        })
    }

    /// Whether the exchange has a span.
    #[must_use]
    pub fn takes(&self, trace: &Trace) -> bool {
        match (self.follows_parent, trace.parent_flags) {
            (true, Some(flags)) => flags & SAMPLED != 0,
            (true, None) | (false, _) => match self.root {
                Root::Always => true,
                Root::Never => false,
                Root::Ratio(ratio) => {
                    // The last seven bytes are the random ones.
                    let [.., a, b, c, d, e, f, g] = *trace.trace_id.bytes();
                    let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
                    fraction(random) < ratio
                }
            },
        }
    }
}

/// A number of 56 bits as a part of one, less than one. It is cut to the 53 bits
/// that a float can hold: rounded, the greatest would be one.
#[expect(
    clippy::cast_precision_loss,
    reason = "both are exact: 53 bits, and a power of two"
)]
fn fraction(bits: u64) -> f64 {
    (bits >> 3) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::trace::Parent;

    fn trace(low: u64, flags: Option<u8>) -> Trace {
        let id = 1_u128 << 64 | u128::from(low);
        let parent = flags.map(|flags| {
            let context = format!("00-{id:032x}-00f067aa0ba902b7-{flags:02x}");
            Parent::parse(&context, None).expect("a good context")
        });
        let mut bits = [1, 1, low].into_iter();
        Trace::continuing(parent, || bits.next().expect("three are asked for"))
    }

    #[test]
    fn samplers_decide_as_their_names_say() {
        let (low, high) = (1, u64::MAX);
        // Without a context, with one that is not recorded, and with one that is.
        let cases = [
            ("always_on", None, [true, true, true]),
            ("always_off", None, [false, false, false]),
            ("parentbased_always_on", None, [true, false, true]),
            ("parentbased_always_off", None, [false, false, true]),
            ("traceidratio", Some("0"), [false, false, false]),
            ("traceidratio", Some("0.5"), [true, true, true]),
            ("parentbased_traceidratio", Some("0.5"), [true, false, true]),
        ];
        for (name, argument, expected) in cases {
            let sampler = Sampler::named(name, argument).expect("a sampler");
            let taken = [None, Some(0), Some(1)].map(|flags| sampler.takes(&trace(low, flags)));
            assert_eq!(taken, expected, "{name} {argument:?}");
        }
        let half = Sampler::named("traceidratio", Some("0.5")).expect("a sampler");
        assert!(!half.takes(&trace(high, None)));
        let all = Sampler::named("traceidratio", None).expect("a sampler");
        assert!(all.takes(&trace(high, None)));
        assert_eq!(
            Sampler::named("parentbased_always_on", None),
            Ok(Sampler::default())
        );
        for (name, argument) in [("jaeger_remote", None), ("traceidratio", Some("2"))] {
            assert!(Sampler::named(name, argument).is_err(), "{name}");
        }
    }
}
