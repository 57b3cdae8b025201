//! What to export, where to and how: from `weir.yaml` and the variables that the
//! OpenTelemetry specification defines.
//!
//! A variable that makes no sense is named in a warning and taken as not set, as
//! the specification asks: telemetry is no reason not to start. Header values
//! are credentials: they are never shown.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};

use super::sampler::Sampler;
use crate::config::{OtlpConfig, OtlpProtocol, Semconv};

/// One kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records: captured payloads.
    Logs,
}

impl Signal {
    const fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// Where its requests go by HTTP, below the endpoint.
    pub(super) const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
        }
    }

    /// The method that takes them by gRPC.
    pub(super) const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

/// How one signal is exported.
#[derive(Clone)]
pub struct Endpoint {
    /// Where to: with scheme, host and, for HTTP, the whole path.
    pub uri: Uri,
    /// How.
    pub protocol: OtlpProtocol,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an export may take, with everything that is tried again.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub compression: Compression,
    /// PEM file of the roots for this endpoint; none for those of the proxy.
    pub certificate: Option<PathBuf>,
}

/// Names only.
impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Endpoint")
            .field("uri", &self.uri)
            .field("protocol", &self.protocol)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Whether requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are not.
    None,
    /// With gzip.
    Gzip,
}

/// Whether metrics say what happened since the start, or since the last export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Since the start. The default.
    #[default]
    Cumulative,
    /// Since the last export.
    Delta,
}

/// Everything about exports to a collector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Spans, if they are exported.
    pub traces: Option<Endpoint>,
    /// Metrics, if they are exported.
    pub metrics: Option<Endpoint>,
    /// Captured payloads, if anything is captured and they are exported.
    pub logs: Option<Endpoint>,
    /// Attributes of the resource, by name.
    pub resource: BTreeMap<String, String>,
    /// Which exchanges have a span.
    pub sampler: Sampler,
    /// Names of spans and metrics.
    pub semconv: Semconv,
    /// What metrics count from.
    pub temporality: Temporality,
    /// Spans waiting to be sent.
    pub queue_max: usize,
    /// Spans sent in one request.
    pub batch_max: usize,
    /// How long spans wait for others.
    pub batch_wait: Duration,
    /// Time between exports of metrics.
    pub metrics_interval: Duration,
}

impl Settings {
    /// Reads them. `variable` gives the value of an environment variable.
    ///
    /// Returns none if nothing is to be exported; the warnings are for a person.
    #[must_use]
    pub fn read(
        config: &OtlpConfig,
        semconv: Option<Semconv>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> (Option<Self>, Vec<String>) {
        let mut reader = Reader {
            variable: &variable,
            warnings: Vec::new(),
        };
        let settings = reader.settings(config, semconv);
        (settings, reader.warnings)
    }
}

/// Most spans that may wait, whatever the variable says: each is some kilobytes.
const QUEUE_MOST: usize = 65_536;

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self, config: &OtlpConfig, semconv: Option<Semconv>) -> Option<Settings> {
        if self
            .get("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return None;
        }
        let traces = self.endpoint(config, Signal::Traces);
        let metrics = self.endpoint(config, Signal::Metrics);
        let logs = self.endpoint(config, Signal::Logs);
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return None;
        }
        let queue_max = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048).max(1);
        let queue_max = usize::try_from(queue_max)
            .unwrap_or(QUEUE_MOST)
            .min(QUEUE_MOST);
        let batch_max = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).max(1);
        Some(Settings {
            traces,
            metrics,
            logs,
            resource: self.resource(),
            sampler: self.sampler(),
            semconv: semconv.unwrap_or_else(|| self.semconv()),
            temporality: self.temporality(),
            queue_max,
            batch_max: usize::try_from(batch_max)
                .unwrap_or(queue_max)
                .min(queue_max),
            batch_wait: Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 5_000).max(1)),
            metrics_interval: Duration::from_millis(
                self.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000).max(100),
            ),
        })
    }

    fn endpoint(&mut self, config: &OtlpConfig, signal: Signal) -> Option<Endpoint> {
        let name = signal.variable();
        match self.get(&format!("OTEL_{name}_EXPORTER")).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                self.warnings.push(format!(
                    "OTEL_{name}_EXPORTER={other}: weir exports by `otlp`, or `none`"
                ));
                return None;
            }
        }
        let protocol = config.protocol.unwrap_or_else(|| self.protocol(name));
        // The endpoint of one signal is taken as it is; a common one is the root
        // of the three paths.
        let own = self.get(&format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT"));
        let (text, whole) = match (&config.endpoint, own) {
            (Some(text), _) => (text.clone(), false),
            (None, Some(own)) => (own, true),
            (None, None) => (self.get("OTEL_EXPORTER_OTLP_ENDPOINT")?, false),
        };
        let uri = match target(&text, protocol, signal, whole, self.is_insecure(name)) {
            Ok(uri) => uri,
            Err(why) => {
                self.warnings.push(format!(
                    "nothing is exported to the OTLP endpoint {text:?}: {why}"
                ));
                return None;
            }
        };
        let certificate = match &config.certificate {
            Some(file) => Some(file.clone()),
            None => self.of_signal(name, "CERTIFICATE").map(PathBuf::from),
        };
        if self.of_signal(name, "CLIENT_KEY").is_some() {
            self.warnings.push(
                "OTEL_EXPORTER_OTLP_CLIENT_KEY: weir does not present client certificates".into(),
            );
        }
        Some(Endpoint {
            uri,
            protocol,
            headers: self.headers(name),
            timeout: Duration::from_millis(self.timeout(name).max(1)),
            compression: self.compression(name),
            certificate,
        })
    }

    fn protocol(&mut self, name: &str) -> OtlpProtocol {
        match self.of_signal(name, "PROTOCOL").as_deref() {
            None | Some("http/protobuf") => OtlpProtocol::Http,
            Some("grpc") => OtlpProtocol::Grpc,
            Some(other) => {
                self.warnings.push(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL={other}: weir speaks `http/protobuf`, which is \
                     used instead, or `grpc`"
                ));
                OtlpProtocol::Http
            }
        }
    }

    /// For endpoints of gRPC without a scheme.
    fn is_insecure(&self, name: &str) -> bool {
        self.of_signal(name, "INSECURE")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn compression(&mut self, name: &str) -> Compression {
        match self.of_signal(name, "COMPRESSION").as_deref() {
            None | Some("none") => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some(other) => {
                self.warnings.push(format!(
                    "OTEL_EXPORTER_OTLP_COMPRESSION={other}: expected `gzip` or `none`"
                ));
                Compression::None
            }
        }
    }

    fn timeout(&mut self, name: &str) -> u64 {
        let own = format!("OTEL_EXPORTER_OTLP_{name}_TIMEOUT");
        let common = self.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
        self.number(&own, common)
    }

    fn headers(&mut self, name: &str) -> Vec<(HeaderName, HeaderValue)> {
        let Some(list) = self.of_signal(name, "HEADERS") else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
            let parsed = pair.split_once('=').and_then(|(name, value)| {
                let mut value = HeaderValue::from_str(&decoded(value.trim())?).ok()?;
                value.set_sensitive(true);
                Some((name.trim().to_ascii_lowercase().parse().ok()?, value))
            });
            match parsed {
                Some(header) => headers.push(header),
                None => self.warnings.push(
                    "OTEL_EXPORTER_OTLP_HEADERS: one of them is not of the form name=value \
                     and is left out"
                        .into(),
                ),
            }
        }
        headers
    }

    fn resource(&mut self) -> BTreeMap<String, String> {
        let mut resource = BTreeMap::new();
        let list = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
            let parsed = pair
                .split_once('=')
                .and_then(|(name, value)| Some((decoded(name.trim())?, decoded(value.trim())?)));
            match parsed {
                Some((name, value)) if !name.is_empty() => {
                    resource.insert(name, value);
                }
                _ => self.warnings.push(format!(
                    "OTEL_RESOURCE_ATTRIBUTES: {pair:?} is not of the form name=value"
                )),
            }
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            resource.insert("service.name".to_owned(), name);
        }
        resource
            .entry("service.name".to_owned())
            .or_insert_with(|| "weir".to_owned());
        resource
    }

    fn sampler(&mut self) -> Sampler {
        let Some(name) = self.get("OTEL_TRACES_SAMPLER") else {
            return Sampler::default();
        };
        let argument = self.get("OTEL_TRACES_SAMPLER_ARG");
        match Sampler::named(&name, argument.as_deref()) {
            Ok(sampler) => sampler,
            Err(why) => {
                self.warnings
                    .push(format!("OTEL_TRACES_SAMPLER={name}: {why}"));
                Sampler::default()
            }
        }
    }

    fn semconv(&self) -> Semconv {
        let chosen = self.get("OTEL_SEMCONV_STABILITY_OPT_IN");
        let is_latest = chosen.is_some_and(|list| {
            list.split(',')
                .any(|one| one.trim() == "gen_ai_latest_experimental")
        });
        if is_latest {
            Semconv::Draft
        } else {
            Semconv::Current
        }
    }

    fn temporality(&mut self) -> Temporality {
        const NAME: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let Some(preference) = self.get(NAME) else {
            return Temporality::Cumulative;
        };
        match preference.to_ascii_lowercase().as_str() {
            "cumulative" => Temporality::Cumulative,
            // `lowmemory` is delta for all instruments there are here.
            "delta" | "lowmemory" => Temporality::Delta,
            _ => {
                self.warnings.push(format!(
                    "{NAME}={preference}: expected `cumulative`, `delta` or `lowmemory`"
                ));
                Temporality::Cumulative
            }
        }
    }

    /// The variable of a signal, or else that of all.
    fn of_signal(&self, name: &str, what: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_{name}_{what}"))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    fn number(&mut self, name: &str, default: u64) -> u64 {
        let Some(text) = self.get(name) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            self.warnings
                .push(format!("{name}={text}: expected a whole number"));
            default
        })
    }

    /// An empty variable is one that is not set, by the specification.
    fn get(&self, name: &str) -> Option<String> {
        let value = (self.variable)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

/// The address of an endpoint.
fn target(
    text: &str,
    protocol: OtlpProtocol,
    signal: Signal,
    whole: bool,
    insecure: bool,
) -> Result<Uri, String> {
    let text = if text.contains("://") {
        text.to_owned()
    } else if protocol == OtlpProtocol::Grpc {
        format!("{}://{text}", if insecure { "http" } else { "https" })
    } else {
        return Err("expected a URL such as http://collector:4318".to_owned());
    };
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let path = match protocol {
        OtlpProtocol::Grpc => signal.grpc_path().to_owned(),
        OtlpProtocol::Http if whole => uri.path().to_owned(),
        OtlpProtocol::Http => {
            format!(
                "{}/{}",
                uri.path().trim_end_matches('/'),
                signal.http_path()
            )
        }
    };
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("credentials belong into OTEL_EXPORTER_OTLP_HEADERS".to_owned());
    }
    match uri.scheme_str() {
        Some(scheme @ ("http" | "https")) => Uri::builder()
            .scheme(scheme)
            .authority(authority.as_str())
            .path_and_query(path)
            .build()
            .map_err(|error| error.to_string()),
        _ => Err("expected http:// or https://".to_owned()),
    }
}

/// Takes percent-encoding off, as lists of the W3C baggage form have it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &OtlpConfig, variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        Settings::read(config, None, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn of_variables(variables: &[(&str, &str)]) -> Settings {
        let (settings, warnings) = read(&OtlpConfig::default(), variables);
        assert_eq!(warnings, Vec::<String>::new());
        settings.expect("an endpoint is named")
    }

    #[test]
    fn nothing_is_exported_unless_somebody_says_where_to() {
        let quiet = [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                ("OTEL_SDK_DISABLED", "TRUE"),
            ],
        ];
        for variables in quiet {
            let (settings, warnings) = read(&OtlpConfig::default(), variables);
            assert!(settings.is_none() && warnings.is_empty(), "{variables:?}");
        }
    }

    #[test]
    fn a_common_endpoint_is_the_root_and_one_of_a_signal_is_whole() {
        let settings = of_variables(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://other/push"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ]);
        let uri = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|it| it.uri.to_string());
        assert_eq!(
            uri(&settings.traces).as_deref(),
            Some("http://collector:4318/otlp/v1/traces")
        );
        assert_eq!(
            uri(&settings.metrics).as_deref(),
            Some("https://other/push")
        );
        assert_eq!(uri(&settings.logs), None);
    }

    #[test]
    fn grpc_has_its_own_paths_and_a_scheme_by_default() {
        for (endpoint, insecure, expected) in [
            ("http://c:4317", "", "http://c:4317"),
            ("c:4317", "", "https://c:4317"),
            ("c:4317", "true", "http://c:4317"),
        ] {
            let settings = of_variables(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
            ]);
            let traces = settings.traces.expect("exported");
            assert_eq!(traces.protocol, OtlpProtocol::Grpc);
            assert_eq!(
                traces.uri.to_string(),
                format!("{expected}{}", Signal::Traces.grpc_path())
            );
        }
    }

    #[test]
    fn the_file_goes_before_the_variables() {
        let config = OtlpConfig {
            endpoint: Some("http://file:4317".into()),
            protocol: Some(OtlpProtocol::Grpc),
            certificate: None,
        };
        let (settings, _) = read(
            &config,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable:4318"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://variable:4318"),
            ],
        );
        let traces = settings.and_then(|it| it.traces).expect("exported");
        assert_eq!(traces.uri.host(), Some("file"));
        assert_eq!(traces.protocol, OtlpProtocol::Grpc);
    }

    #[test]
    fn headers_and_attributes_are_decoded_and_never_shown() {
        let settings = of_variables(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "Authorization=Bearer%20secret-1, x-key=secret-2",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=ignored,team=a%2Cb",
            ),
            ("OTEL_SERVICE_NAME", "agent"),
        ]);
        assert_eq!(settings.resource["service.name"], "agent");
        assert_eq!(settings.resource["team"], "a,b");
        let traces = settings.traces.as_ref().expect("exported");
        let values: Vec<_> = traces
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        assert_eq!(
            values,
            [("authorization", "Bearer secret-1"), ("x-key", "secret-2")]
        );
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn what_makes_no_sense_is_named_and_not_used() {
        let (settings, warnings) = read(
            &OtlpConfig::default(),
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
                ("OTEL_TRACES_SAMPLER", "sometimes"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
                ("OTEL_METRICS_EXPORTER", "prometheus"),
            ],
        );
        let settings = settings.expect("the rest is good");
        assert_eq!(settings.sampler, Sampler::default());
        let traces = settings.traces.expect("exported");
        assert_eq!(traces.timeout, Duration::from_secs(10));
        assert_eq!(traces.protocol, OtlpProtocol::Http);
        assert!(settings.metrics.is_none());
        for name in [
            "PROTOCOL",
            "TIMEOUT",
            "SAMPLER",
            "HEADERS",
            "METRICS_EXPORTER",
        ] {
            assert!(
                warnings.iter().any(|warning| warning.contains(name)),
                "{name} is not in {warnings:?}"
            );
        }
        assert!(!warnings.concat().contains("secret"));
        for bad in [
            "collector:4318",
            "ftp://c",
            "http://user:secret@c",
            "http:///",
        ] {
            let (settings, warnings) = read(
                &OtlpConfig::default(),
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)],
            );
            assert!(settings.is_none(), "{bad}");
            assert!(!warnings.is_empty(), "{bad}");
        }
    }

    #[test]
    fn the_newer_conventions_are_opted_into() {
        let settings = of_variables(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            (
                "OTEL_SEMCONV_STABILITY_OPT_IN",
                "http,gen_ai_latest_experimental",
            ),
        ]);
        assert_eq!(settings.semconv, Semconv::Draft);
    }
}
