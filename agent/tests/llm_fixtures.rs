//! Shows the exchanges in `tests/fixtures/llm` to the inspector and to the rule
//! `stream_usage`, in every way their bytes can arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir::llm::catalogue::Provider;
use weir::llm::classify::{ROWS, Target, classify};
use weir::llm::counted::Counted;
use weir::llm::headers::Headers;
use weir::llm::inspect::Inspector;
use weir::llm::observation::{Claim, Ending, Observation, Rpc};
use weir::llm::share::Split;
use weir::llm::stream_usage::{Ask, UsageFilter, ask};
use weir::llm::tokens::Method;
use weir::llm::usage::{Provenance, Usage};

struct Fixture {
    name: String,
    target: Target,
    meta: Meta,
    request: Vec<u8>,
    request_asked: Option<Vec<u8>>,
    response: Vec<u8>,
    response_unasked: Option<Vec<u8>>,
    expected: Observation,
    ending: Ending,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    method: String,
    path: String,
    /// `gen_ai.provider.name` of the host, where the path leaves the API open.
    provider: Option<String>,
    /// Of the request.
    #[serde(default)]
    request_headers: BTreeMap<String, String>,
    status: u16,
    content_type: String,
    /// Of the response.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Behind its body.
    #[serde(default)]
    trailers: BTreeMap<String, String>,
}

impl Meta {
    fn target(&self) -> Target {
        let provider = self.provider.as_deref().map(Provider::named);
        let headers = self.request_headers(None);
        classify(&self.method, &self.path, provider.as_ref(), &headers)
    }

    fn request_headers(&self, encoding: Option<&str>) -> Headers {
        Headers::of_request(|name| match name {
            "content-encoding" => encoding.map(str::to_owned),
            _ => self.request_headers.get(name).cloned(),
        })
    }

    fn response_headers(&self, encoding: Option<&str>) -> Headers {
        Headers::of_response(|name| match name {
            "content-type" => Some(self.content_type.clone()),
            "content-encoding" => encoding.map(str::to_owned),
            _ => self.headers.get(name).cloned(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    request_model: Option<String>,
    response_model: Option<String>,
    response_id: Option<String>,
    stream: Option<bool>,
    finish_reason: Option<String>,
    service_tier: Option<String>,
    speed: Option<String>,
    inference_geo: Option<String>,
    usage: Usage,
    provenance: Provenance,
    method: Option<Method>,
    provider_error: Option<String>,
    stated_cost: Option<Decimal>,
    rpc: Option<Rpc>,
    split: Option<Box<Split>>,
    #[serde(default)]
    is_charged_otherwise: bool,
}

impl From<Expected> for Observation {
    fn from(expected: Expected) -> Self {
        Self {
            request_model: expected.request_model,
            response_model: expected.response_model,
            response_id: expected.response_id,
            stream: expected.stream,
            finish_reason: expected.finish_reason,
            service_tier: expected.service_tier,
            speed: expected.speed,
            inference_geo: expected.inference_geo,
            usage: expected.usage,
            provenance: expected.provenance,
            method: expected.method,
            provider_error: expected.provider_error,
            stated_cost: expected.stated_cost,
            rpc: expected.rpc,
            part: None,
            claim: Claim::Sole,
            split: expected.split,
            is_charged_otherwise: expected.is_charged_otherwise,
            problems: Vec::new(),
        }
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).expect("the fixtures are part of the sources");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .filter(|path| path.is_dir())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn json<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/llm");
    let cases = folders(&root)
        .into_iter()
        .flat_map(|format| folders(&format));
    let fixtures: Vec<Fixture> = cases
        .map(|folder| {
            let optional = |file| fs::read(folder.join(file)).ok();
            let meta: Meta = json(&folder.join("response.meta.json"));
            let name = folder
                .strip_prefix(&root)
                .expect("below it")
                .display()
                .to_string();
            let response = optional("response.sse").or_else(|| optional("response.body"));
            let is_cut = name.contains("cut");
            Fixture {
                target: meta.target(),
                request: optional("request.json")
                    .or_else(|| optional("request.body"))
                    .expect("a request"),
                request_asked: optional("request.asked.json"),
                response: response.expect("a response"),
                response_unasked: optional("response.unasked.sse"),
                expected: json::<Expected>(&folder.join("expected.json")).into(),
                ending: if is_cut {
                    Ending::Cut
                } else {
                    Ending::Complete
                },
                meta,
                name,
            }
        })
        .collect();
    assert!(
        fixtures.len() >= 30,
        "only {} fixtures found",
        fixtures.len()
    );
    fixtures
}

/// An exchange as it is shown to the inspector.
struct Show<'a> {
    request: Vec<&'a [u8]>,
    request_ends: bool,
    request_encoding: Option<&'a str>,
    response: Vec<&'a [u8]>,
    response_encoding: Option<&'a str>,
    ending: Ending,
}

impl Fixture {
    fn show(&self) -> Show<'_> {
        Show {
            request: vec![&self.request],
            request_ends: true,
            request_encoding: None,
            response: vec![&self.response],
            response_encoding: None,
            ending: self.ending,
        }
    }

    fn observe(&self, show: Show<'_>) -> Observation {
        let headers = self.meta.request_headers(show.request_encoding);
        let mut inspector = Inspector::new(self.target.clone(), &headers);
        for piece in show.request {
            inspector.request_body(piece);
        }
        if show.request_ends {
            inspector.request_end();
        }
        let headers = self.meta.response_headers(show.response_encoding);
        inspector.response_head(self.meta.status, &headers);
        for piece in show.response {
            inspector.response_body(piece);
        }
        if show.ending == Ending::Complete && !self.meta.trailers.is_empty() {
            inspector.response_trailers(&Headers::of_response(|name| {
                self.meta.trailers.get(name).cloned()
            }));
        }
        let mut seen = inspector.finish(show.ending);
        // As if nothing had been seen before.
        Counted::default().settle("", &mut seen);
        seen.claim = Claim::Sole;
        // It concerns other exchanges.
        seen.part = None;
        seen
    }

    /// What must hold of an exchange that was cut anywhere: nothing that is
    /// called measured differs from the truth, and no name is made up.
    #[track_caller]
    fn check_cut(&self, seen: &Observation, at: usize) {
        let Self { name, expected, .. } = self;
        if seen.provenance == Provenance::Measured {
            assert_eq!(
                expected.provenance,
                Provenance::Measured,
                "{name} cut at {at}"
            );
            assert_eq!(seen.usage, expected.usage, "{name} cut at {at}");
        }
        if self.meta.status >= 300 {
            assert_eq!(seen.provenance, Provenance::Unknown, "{name} cut at {at}");
        }
        assert!(seen.stated_cost.is_none() || seen.stated_cost == expected.stated_cost);
        for (seen, expected) in [
            (&seen.request_model, &expected.request_model),
            (&seen.response_model, &expected.response_model),
            (&seen.response_id, &expected.response_id),
        ] {
            // Of a repeated member the last counts, which a cut may hide.
            let is_first = seen.as_deref() == Some("first");
            assert!(
                seen.is_none() || is_first || seen == expected,
                "{name} cut at {at}: {seen:?}"
            );
        }
    }
}

#[test]
fn every_row_of_the_classifier_has_an_exchange() {
    let shown: BTreeSet<usize> = load()
        .iter()
        .filter_map(|fixture| fixture.target.row)
        .collect();
    let missing: Vec<String> = ROWS
        .iter()
        .enumerate()
        .filter(|(index, _)| !shown.contains(index))
        .map(|(_, row)| format!("{} {} {:?}", row.methods, row.path, row.when))
        .collect();
    assert!(missing.is_empty(), "without an exchange: {missing:#?}");
}

#[test]
fn each_exchange_is_read_as_expected() {
    let mut wrong = Vec::new();
    for fixture in load() {
        let seen = fixture.observe(fixture.show());
        if seen != fixture.expected {
            let Fixture { name, expected, .. } = fixture;
            wrong.push(format!("{name}\n seen {seen:?}\n not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn it_does_not_matter_how_bytes_are_split() {
    for fixture in load() {
        let Fixture {
            name,
            request,
            response,
            expected,
            ..
        } = &fixture;
        for at in 0..=response.len() {
            let (head, tail) = response.split_at(at);
            let seen = fixture.observe(Show {
                response: vec![head, tail],
                ..fixture.show()
            });
            assert_eq!(seen, *expected, "{name}, response split at {at}");
        }
        for at in 0..=request.len() {
            let (head, tail) = request.split_at(at);
            let seen = fixture.observe(Show {
                request: vec![head, tail],
                ..fixture.show()
            });
            assert_eq!(seen, *expected, "{name}, request split at {at}");
        }
        let seen = fixture.observe(Show {
            request: request.chunks(1).collect(),
            response: response.chunks(1).collect(),
            ..fixture.show()
        });
        assert_eq!(seen, *expected, "{name}, byte by byte");
    }
}

#[test]
fn a_cut_never_makes_a_wrong_measurement() {
    for fixture in load() {
        for at in 0..fixture.response.len() {
            let response = vec![&fixture.response[..at]];
            let seen = fixture.observe(Show {
                response,
                ending: Ending::Cut,
                ..fixture.show()
            });
            fixture.check_cut(&seen, at);
        }
        for at in 0..fixture.request.len() {
            let request = vec![&fixture.request[..at]];
            for request_ends in [false, true] {
                let show = Show {
                    request: request.clone(),
                    request_ends,
                    ..fixture.show()
                };
                let seen = fixture.observe(show);
                fixture.check_cut(&seen, at);
            }
        }
    }
}

#[test]
fn a_changed_byte_is_survived() {
    for fixture in load() {
        let bytes = [0, b'"', b'{', b'\n', 0xff].into_iter().cycle();
        for (at, byte) in (0..fixture.response.len()).zip(bytes) {
            let mut response = fixture.response.clone();
            response[at] = byte;
            fixture.observe(Show {
                response: vec![&response],
                ..fixture.show()
            });
        }
    }
}

const CODINGS: [&str; 7] = [
    "identity",
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, gzip",
];

/// Encodes as a server that flushes after every event does.
fn encode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    fn flushed(encoder: &mut impl Write, bytes: &[u8]) {
        for event in bytes.split_inclusive(|byte| *byte == b'\n') {
            encoder.write_all(event).expect("memory takes all");
            encoder.flush().expect("memory takes all");
        }
    }
    coding.split(", ").fold(bytes.to_vec(), |bytes, coding| {
        let level = flate2::Compression::default();
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                flushed(&mut encoder, &bytes);
                encoder.finish().expect("memory takes all")
            }
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                flushed(&mut encoder, &bytes);
                encoder.finish().expect("memory takes all")
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 18);
                flushed(&mut encoder, &bytes);
                encoder.into_inner()
            }
            "zstd" => {
                let mut encoder =
                    zstd::stream::write::Encoder::new(Vec::new(), 1).expect("a known level");
                flushed(&mut encoder, &bytes);
                encoder.finish().expect("memory takes all")
            }
            _ => bytes,
        }
    })
}

#[test]
fn content_codings_make_no_difference() {
    for fixture in load() {
        let Fixture { name, expected, .. } = &fixture;
        for coding in CODINGS {
            let response = encode(coding, &fixture.response);
            let request = encode(coding, &fixture.request);
            let observe = |response: Vec<&[u8]>, ending| {
                fixture.observe(Show {
                    request: vec![&request],
                    request_encoding: Some(coding),
                    response,
                    response_encoding: Some(coding),
                    ending,
                    ..fixture.show()
                })
            };
            // Of a stream that was cut, the coding was cut, too; here it ends.
            let ending = fixture.ending;
            assert_eq!(
                observe(vec![&response], ending),
                *expected,
                "{name} in {coding}"
            );
            let seen = observe(response.chunks(1).collect(), ending);
            assert_eq!(seen, *expected, "{name} in {coding}, byte by byte");
            // Every byte of a coded stream is a split somewhere in the data: a
            // prime step reaches all residues without taking minutes.
            for at in (0..response.len()).step_by(13) {
                let (head, tail) = response.split_at(at);
                let seen = observe(vec![head, tail], ending);
                assert_eq!(seen, *expected, "{name} in {coding}, split at {at}");
                fixture.check_cut(&observe(vec![head], Ending::Cut), at);
            }
        }
    }
}

#[test]
fn usage_is_asked_for_where_the_application_did_not() {
    let mut edited = 0;
    for Fixture {
        name,
        target,
        request,
        request_asked,
        ..
    } in load()
    {
        match (ask(target.api, &request), request_asked) {
            (Ask::Unchanged, None) => {}
            (Ask::Edited(asked), Some(expected)) => {
                edited += 1;
                assert_eq!(asked, expected, "{name}");
            }
            (Ask::Unchanged, Some(_)) => panic!("{name}: not asked"),
            (Ask::Edited(_), None) => panic!("{name}: asked"),
        }
    }
    assert!(edited >= 4, "only {edited} fixtures are edited");
}

#[test]
fn the_application_sees_the_stream_it_asked_for() {
    let filtered = |pieces: &[&[u8]]| {
        let (mut filter, mut out) = (UsageFilter::new(), Vec::new());
        for piece in pieces {
            filter.push(piece, &mut out);
        }
        filter.finish(&mut out);
        out
    };
    let mut compared = 0;
    for Fixture {
        name,
        target,
        request,
        response,
        response_unasked,
        ..
    } in load()
    {
        if ask(target.api, &request) == Ask::Unchanged {
            assert!(response_unasked.is_none(), "{name}: nothing is filtered");
            continue;
        }
        compared += 1;
        // A server that ignores the option sends nothing that is to be removed.
        let expected = response_unasked.as_ref().unwrap_or(&response);
        for at in 0..=response.len() {
            let (head, tail) = response.split_at(at);
            assert!(
                filtered(&[head, tail]) == *expected,
                "{name}, split at {at}"
            );
        }
        let pieces: Vec<&[u8]> = response.chunks(1).collect();
        assert!(filtered(&pieces) == *expected, "{name}, byte by byte");
    }
    assert!(compared >= 4, "only {compared} fixtures are filtered");
}

#[test]
fn nothing_that_could_be_content_is_observed() {
    for fixture in load() {
        let seen = format!("{:?}", fixture.observe(fixture.show()));
        for content in ["weir do", "Be brief", "slows", "Too many", "lone half"] {
            assert!(!seen.contains(content), "{}: {seen}", fixture.name);
        }
    }
}
