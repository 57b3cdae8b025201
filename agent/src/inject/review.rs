//! Admission: the question of an API server, and the answer.
//!
//! `admission.k8s.io/v1`, and `v1beta1`, which clusters before 1.22 speak. The
//! question is read leniently, as a newer server may say more; the answer has
//! the version of the question.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::options::Options;
use super::pod;
use super::workload::{Choice, workloads};

/// Namespaces of the cluster's own, whose pods must start when nothing else
/// works.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// The most warnings of an answer, and how long each may be: longer ones are
/// cut by the API server, from which on it drops the rest.
const WARNINGS_MAX: usize = 16;
const WARNING_CHARS_MAX: usize = 240;

/// What a review was about and what came of it.
#[derive(Debug)]
pub struct Reviewed {
    /// What to answer.
    pub answer: Answer,
    /// For the count of reviews.
    pub verdict: Verdict,
}

/// What came of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod is injected.
    Injected,
    /// It was already, in just this form.
    Unchanged,
    /// It is not a pod that is being made.
    NotAPod,
    /// It is of a namespace that is never injected.
    SystemNamespace,
    /// Its label says that it is not to be.
    Disabled,
    /// weir cannot work in it, and its namespace asked: it starts without.
    Skipped,
    /// weir cannot work in it, and it asked itself: it does not start.
    Denied,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Injected,
        Self::Unchanged,
        Self::NotAPod,
        Self::SystemNamespace,
        Self::Disabled,
        Self::Skipped,
        Self::Denied,
    ];

    /// Its name in a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::NotAPod => "not_a_pod",
            Self::SystemNamespace => "system_namespace",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
            Self::Denied => "denied",
        }
    }
}

/// Why a request is not a review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is no JSON, or lacks what a review has.
    #[error("not an AdmissionReview: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Of another version.
    #[error("an AdmissionReview of {0}, expected admission.k8s.io/v1 or v1beta1")]
    Version(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    api_version: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    object: Value,
}

/// The answer, as it is sent.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    api_version: String,
    kind: &'static str,
    response: Response,
}

#[derive(Debug, Default, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Answers a review; `own_namespace` is where the webhook itself runs, whose
/// pods it never changes.
///
/// # Errors
/// The body is not a review that can be answered.
pub fn review(
    body: &[u8],
    own_namespace: Option<&str>,
    defaults: &Options,
) -> Result<Reviewed, ReviewError> {
    let question: Question = serde_json::from_slice(body)?;
    if !["admission.k8s.io/v1", "admission.k8s.io/v1beta1"].contains(&question.api_version.as_str())
    {
        return Err(ReviewError::Version(question.api_version));
    }
    let Request {
        uid,
        namespace,
        operation,
        mut object,
    } = question.request;
    let mut response = Response {
        uid,
        allowed: true,
        ..Response::default()
    };
    let verdict = if SYSTEM_NAMESPACES.contains(&namespace.as_str())
        || own_namespace == Some(namespace.as_str())
    {
        Verdict::SystemNamespace
    } else if operation == "CREATE" {
        judge(&mut object, defaults, &mut response)?
    } else {
        Verdict::NotAPod
    };
    Ok(Reviewed {
        answer: Answer {
            api_version: question.api_version,
            kind: "AdmissionReview",
            response,
        },
        verdict,
    })
}

fn judge(
    object: &mut Value,
    defaults: &Options,
    response: &mut Response,
) -> Result<Verdict, ReviewError> {
    let before = object.clone();
    let mut found = workloads(object);
    // The path of a pod's own template is empty; nothing else is injected here,
    // since what it makes comes by as a pod.
    let Some(workload) = found.iter_mut().find(|workload| workload.path.is_empty()) else {
        return Ok(Verdict::NotAPod);
    };
    let choice = workload.choice;
    if choice == Choice::Disabled {
        return Ok(Verdict::Disabled);
    }
    match pod::inject(workload, defaults) {
        Ok(notes) => {
            response.warnings = warnings(&notes);
            drop(found);
            let patch = json_patch::diff(&before, object);
            if patch.0.is_empty() {
                return Ok(Verdict::Unchanged);
            }
            response.patch_type = Some("JSONPatch");
            response.patch = Some(STANDARD.encode(serde_json::to_vec(&patch)?));
            Ok(Verdict::Injected)
        }
        Err(refusals) => {
            let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            if choice == Choice::Enabled {
                response.allowed = false;
                response.status = Some(Status {
                    code: 422,
                    reason: "Invalid",
                    message: format!("weir: {}", lines.join("; ")),
                });
                return Ok(Verdict::Denied);
            }
            response.warnings = warnings(&lines);
            response.warnings.insert(
                0,
                "weir: this pod is not injected, and its calls are not metered".to_owned(),
            );
            Ok(Verdict::Skipped)
        }
    }
}

fn warnings(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .take(WARNINGS_MAX)
        .map(|line| {
            let line = format!("weir: {line}");
            if line.chars().count() <= WARNING_CHARS_MAX {
                return line;
            }
            let cut: String = line.chars().take(WARNING_CHARS_MAX - 1).collect();
            format!("{cut}…")
        })
        .collect()
}
