//! The cases: which loads, what is measured of each, and what is aimed at.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use weir_tests::curl::Http;

use crate::answer::Answer;
use crate::load::{Call, Host, Pattern};
use crate::measure::Measure;
use crate::path::{Distance, Path};

/// A case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// Memory of proxies that have just started.
    Idle,
    /// Answers of 1 KB on connections that are kept, HTTP/1.1.
    Unary,
    /// The same over HTTP/2.
    UnaryH2,
    /// Answers of 64 and 400 KB.
    Sizes,
    /// A connection for each call.
    Dial,
    /// The same to a provider that is far away.
    DialFar,
    /// Events as they come, 16 and 100 streams.
    Streams,
    /// Events back to back.
    Events,
    /// 2,000 streams with an event a second each.
    Slow,
    /// 10,000 of them, or as many as a process may have files for.
    SlowMany,
    /// Requests of 1 and 20 MB.
    Upload,
    /// 1 GB that nobody looks into.
    Splice,
    /// What metering and the rules for streams cost, beside weir without either.
    Costs,
}

/// What a figure of weir should be at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// This part of another path's.
    Beside(Path, f64),
    Absolute(f64),
    /// None: it is shown beside that path.
    Shown(Path),
}

/// A load of a case.
pub(crate) struct Step {
    pub(crate) name: String,
    /// None: the proxy is only looked at.
    pub(crate) load: Option<(Call, Pattern)>,
    pub(crate) distance: Distance,
    pub(crate) time: Time,
    pub(crate) measures: Vec<(Measure, Option<Aim>)>,
}

/// How long a turn of a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// As long as it is told.
    Told,
    /// Until each connection has made a call.
    Once,
}

/// Events of a stream whose delay is measured, at the pace of a fast model.
const PACED: Answer = Answer::Events {
    count: 40,
    gap: Duration::from_millis(25),
};
const KILOBYTE: usize = 1000;

impl Case {
    pub(crate) const ALL: [Self; 13] = [
        Self::Idle,
        Self::Unary,
        Self::UnaryH2,
        Self::Sizes,
        Self::Dial,
        Self::DialFar,
        Self::Streams,
        Self::Events,
        Self::Slow,
        Self::SlowMany,
        Self::Upload,
        Self::Splice,
        Self::Costs,
    ];

    /// Whether a path has anything to do with it.
    pub(crate) fn concerns(self, path: Path) -> bool {
        if self == Self::Costs {
            path.is_weir()
        } else {
            path != Path::WeirUnruled
        }
    }

    /// Why a path is left out of it.
    pub(crate) fn leaves_out(self, path: Path) -> Option<&'static str> {
        match (self, path) {
            (Self::SlowMany, Path::Mitmproxy) => Some("opening them would take minutes"),
            (Self::Splice, Path::Mitmproxy) => Some("it looks into all TLS"),
            _ => None,
        }
    }

    /// How many rounds are too many unless asked for, because each takes long.
    pub(crate) fn rounds_max(self) -> usize {
        match self {
            Self::Idle | Self::SlowMany => 1,
            Self::Slow => 3,
            Self::Unary
            | Self::UnaryH2
            | Self::Sizes
            | Self::Dial
            | Self::DialFar
            | Self::Streams
            | Self::Events
            | Self::Upload
            | Self::Splice
            | Self::Costs => usize::MAX,
        }
    }

    /// Its loads, where a process may have so many files open.
    pub(crate) fn steps(self, files: u64) -> Vec<Step> {
        use Measure::*;
        let beside = |path, part| Some(Aim::Beside(path, part));
        let nginx = |part| beside(Path::Nginx, part);
        match self {
            Self::Idle => vec![Step {
                name: "at rest".to_owned(),
                load: None,
                distance: Distance::Near,
                time: Time::Once,
                measures: vec![(Resident, Some(Aim::Absolute(10.0)))],
            }],
            Self::Unary => vec![
                Step::of(
                    unary(Http::H1, KILOBYTE),
                    Pattern::Closed { at_once: 1 },
                    "1 connection",
                )
                .measure(LatencyMedian, nginx(1.0))
                .measure(LatencyP99, nginx(1.0))
                .measure(CpuPerCall, None),
                Step::of(
                    unary(Http::H1, KILOBYTE),
                    Pattern::Open {
                        at_once: 64,
                        per_second: 1000,
                    },
                    "1,000 calls/s when due",
                )
                .measure(LatencyMedian, None)
                .measure(LatencyP99, None),
                Step::of(
                    unary(Http::H1, KILOBYTE),
                    Pattern::Closed { at_once: 32 },
                    "32 connections",
                )
                .measure(CallRate, None)
                .measure(CpuPerCall, nginx(1.0)),
                Step::of(
                    unary(Http::H1, KILOBYTE),
                    Pattern::Closed { at_once: 64 },
                    "64 connections",
                )
                .measure(CallRate, None)
                .measure(CpuPerCall, nginx(1.0)),
            ],
            Self::UnaryH2 => vec![
                Step::of(
                    unary(Http::H2, KILOBYTE),
                    Pattern::Closed { at_once: 1 },
                    "1 stream",
                )
                .measure(LatencyMedian, beside(Path::Haproxy, 1.0))
                .measure(LatencyP99, beside(Path::Haproxy, 1.0))
                .measure(CpuPerCall, None),
                Step::of(
                    unary(Http::H2, KILOBYTE),
                    Pattern::Closed { at_once: 32 },
                    "32 streams of a connection",
                )
                .measure(CallRate, None)
                .measure(CpuPerCall, beside(Path::Haproxy, 1.0)),
            ],
            Self::Sizes => [64, 400]
                .into_iter()
                .flat_map(|size| {
                    let call = unary(Http::H1, size * KILOBYTE);
                    [
                        Step::of(
                            call,
                            Pattern::Closed { at_once: 1 },
                            &format!("{size} KB, 1 connection"),
                        )
                        .measure(LatencyMedian, None)
                        .measure(LatencyP99, None),
                        Step::of(
                            call,
                            Pattern::Closed { at_once: 8 },
                            &format!("{size} KB, 8 connections"),
                        )
                        .measure(MegabyteRate, None)
                        .measure(CpuPerMegabyte, nginx(1.0)),
                    ]
                })
                .collect(),
            Self::Dial => vec![
                Step::of(unary(Http::H1, KILOBYTE), dial(1, false), "1 at a time")
                    .measure(LatencyMedian, None)
                    .measure(LatencyP99, None)
                    .measure(CpuPerCall, nginx(0.7)),
                Step::of(unary(Http::H1, KILOBYTE), dial(8, false), "8 at a time")
                    .measure(CallRate, None)
                    .measure(CpuPerCall, nginx(0.7)),
                Step::of(
                    unary(Http::H1, KILOBYTE),
                    dial(8, true),
                    "8 at a time, sessions resumed",
                )
                .measure(CallRate, None)
                .measure(CpuPerCall, None),
            ],
            Self::DialFar => vec![
                Step::of(unary(Http::H1, KILOBYTE), dial(4, false), "4 at a time")
                    .far()
                    .measure(LatencyMedian, beside(Path::Direct, 0.5))
                    .measure(LatencyP99, None),
            ],
            Self::Streams => [16, 100]
                .into_iter()
                .map(|at_once| {
                    let name = format!("{at_once} streams, an event every 25 ms");
                    Step::of(events(PACED), Pattern::Streams { at_once }, &name)
                        .measure(FirstMedian, nginx(0.9))
                        .measure(FirstP99, nginx(0.9))
                        .measure(DelayMedian, nginx(0.9))
                        .measure(DelayP99, nginx(0.9))
                        .measure(CpuPerEvent, None)
                })
                .collect(),
            Self::Events => vec![
                back_to_back("8 streams")
                    .measure(EventRate, None)
                    .measure(CpuPerEvent, beside(Path::Haproxy, 2.0)),
            ],
            Self::Costs => {
                let shown = |path| Some(Aim::Shown(path));
                let unary = unary(Http::H1, KILOBYTE);
                let at_once = Pattern::Closed { at_once: 64 };
                vec![
                    Step::of(unary, at_once, "metering, 64 connections")
                        .measure(CpuPerCall, shown(Path::WeirUnmetered)),
                    back_to_back("metering, 8 streams")
                        .measure(CpuPerEvent, shown(Path::WeirUnmetered)),
                    back_to_back("usage asked of streams, 8 streams")
                        .measure(CpuPerEvent, shown(Path::WeirUnruled)),
                ]
            }
            Self::Slow => vec![held(2000, 60.0)],
            Self::SlowMany => {
                // Two connections of a proxy for each stream, and some files for itself.
                let possible = usize::try_from(files / 2).unwrap_or(usize::MAX);
                vec![held(possible.saturating_sub(250).min(10_000), 300.0)]
            }
            Self::Upload => [(1, 4), (20, 2)]
                .into_iter()
                .map(|(size, at_once)| {
                    let call = Call {
                        request: size * KILOBYTE * KILOBYTE,
                        ..unary(Http::H1, KILOBYTE)
                    };
                    let name = format!("{size} MB, {at_once} connections");
                    Step::of(call, Pattern::Closed { at_once }, &name)
                        .measure(MegabyteRate, None)
                        .measure(CpuPerMegabyte, nginx(1.0))
                        .measure(Peak, None)
                })
                .collect(),
            Self::Splice => {
                let call = Call {
                    host: Host::Other,
                    http: Http::H1,
                    answer: Answer::Bytes {
                        count: 1_000_000_000,
                    },
                    request: 200,
                };
                let mut step = Step::of(call, Pattern::Closed { at_once: 1 }, "1 GB down")
                    .measure(MegabyteRate, None)
                    .measure(CpuPerMegabyte, nginx(1.0))
                    .measure(Peak, None);
                step.time = Time::Once;
                vec![step]
            }
        }
    }
}

fn unary(http: Http, bytes: usize) -> Call {
    Call {
        host: Host::Api,
        http,
        answer: Answer::Document { bytes },
        request: 300,
    }
}

fn events(answer: Answer) -> Call {
    Call {
        host: Host::Api,
        http: Http::H1,
        answer,
        request: 300,
    }
}

/// Streams of events without a pause.
fn back_to_back(name: &str) -> Step {
    let answer = Answer::Events {
        count: 2000,
        gap: Duration::ZERO,
    };
    Step::of(events(answer), Pattern::Closed { at_once: 8 }, name)
}

fn dial(at_once: usize, resumed: bool) -> Pattern {
    Pattern::Dial { at_once, resumed }
}

fn held(at_once: usize, megabytes: f64) -> Step {
    let answer = Answer::Events {
        count: 1_000_000,
        gap: Duration::from_secs(1),
    };
    Step::of(
        events(answer),
        Pattern::Held { at_once },
        &format!("{at_once} streams, 1 event/s each"),
    )
    .measure(Measure::Resident, Some(Aim::Absolute(megabytes)))
    .measure(Measure::ResidentAfter, None)
    .measure(Measure::AfterOverIdle, Some(Aim::Absolute(1.2)))
    .measure(Measure::CpuShare, None)
    .measure(Measure::EventRate, None)
    .measure(Measure::DelayMedian, None)
    .measure(Measure::DelayP99, None)
}

impl Step {
    fn of(call: Call, pattern: Pattern, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            load: Some((call, pattern)),
            distance: Distance::Near,
            time: Time::Told,
            measures: Vec::new(),
        }
    }

    fn far(mut self) -> Self {
        self.distance = Distance::Far;
        self
    }

    fn measure(mut self, measure: Measure, aim: Option<Aim>) -> Self {
        self.measures.push((measure, aim));
        self
    }

    /// Whether memory is looked at once more a while after it.
    pub(crate) fn looks_back(&self) -> bool {
        let mut measures = self.measures.iter();
        measures.any(|(measure, _)| *measure == Measure::ResidentAfter)
    }
}
