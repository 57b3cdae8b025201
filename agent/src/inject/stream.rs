//! A file of manifests, YAML or JSON, one document or several.
//!
//! A document that is not changed keeps its text, byte for byte. One that is
//! changed is written anew with its keys in their order; of its comments those
//! before its first key remain.

use std::fmt;

use serde_json::Value;

use super::options::Options;
use super::pod;
use super::refusal::Refusal;
use super::workload::{Choice, workloads};

/// What is to be done with each pod template.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// Inject.
    Inject(&'a Options),
    /// Undo that.
    Remove,
}

/// What became of a stream.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The stream, changed.
    pub text: String,
    /// What is worth saying about it, one line each.
    pub notes: Vec<String>,
    /// How many pod templates there were.
    pub templates: usize,
}

/// Why nothing came of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A document is neither YAML nor JSON.
    #[error("document {document}: {why}")]
    Malformed {
        /// Which, from 1.
        document: usize,
        /// What the parser said.
        why: String,
    },
    /// A document cannot be written.
    #[error("document {document}: cannot be written as YAML: {why}")]
    Unwritable {
        /// Which, from 1.
        document: usize,
        /// What the writer said.
        why: String,
    },
    /// weir cannot work in some pods.
    #[error("{}", lines(.0))]
    Refused(Vec<Refused>),
}

/// A pod template that weir cannot work in.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which document, from 1.
    pub document: usize,
    /// Kind and name.
    pub name: String,
    /// What keeps weir from it.
    pub refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "document {}, {}: {}",
            self.document, self.name, self.refusal
        )
    }
}

fn lines(refused: &[Refused]) -> String {
    let lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Does the task to every document.
///
/// # Errors
/// A document is malformed or refused; then none is changed.
pub fn run(text: &str, task: Task<'_>) -> Result<Outcome, StreamError> {
    let mut outcome = Outcome::default();
    let mut refused = Vec::new();
    for (index, part) in parts(text)?.into_iter().enumerate() {
        let document = index + 1;
        let Some(mut value) = part.value else {
            outcome.text.push_str(part.text);
            continue;
        };
        let before = value.clone();
        for mut workload in workloads(&mut value) {
            outcome.templates += 1;
            let name = workload.name.clone();
            let options = match task {
                Task::Inject(options) if workload.choice != Choice::Disabled => options,
                Task::Inject(_) | Task::Remove => {
                    pod::remove(workload.template);
                    continue;
                }
            };
            match pod::inject(&mut workload, options) {
                Ok(notes) => {
                    let notes = notes.iter();
                    let notes = notes.map(|note| format!("document {document}, {name}: {note}"));
                    outcome.notes.extend(notes);
                }
                Err(refusals) => refused.extend(refusals.into_iter().map(|refusal| Refused {
                    document,
                    name: name.clone(),
                    refusal,
                })),
            }
        }
        if value == before {
            outcome.text.push_str(part.text);
        } else {
            part.form
                .write(part.text, &value, document, &mut outcome.text)?;
        }
    }
    if refused.is_empty() {
        Ok(outcome)
    } else {
        Err(StreamError::Refused(refused))
    }
}

/// A document and its text, separator included.
struct Part<'a> {
    text: &'a str,
    form: Form,
    /// None for text without content.
    value: Option<Value>,
}

#[derive(Clone, Copy)]
enum Form {
    Yaml,
    Json,
}

impl Form {
    fn write(
        self,
        text: &str,
        value: &Value,
        document: usize,
        out: &mut String,
    ) -> Result<(), StreamError> {
        let unwritable = |why: String| StreamError::Unwritable { document, why };
        match self {
            Self::Json => {
                let written = serde_json::to_string_pretty(value);
                out.push_str(&written.map_err(|error| unwritable(error.to_string()))?);
                out.push('\n');
            }
            Self::Yaml => {
                for line in text.split_inclusive('\n').take_while(|line| is_head(line)) {
                    out.push_str(line);
                }
                out.push_str(&to_yaml(value).map_err(unwritable)?);
            }
        }
        Ok(())
    }
}

/// A value as YAML, in the form of kubectl.
///
/// # Errors
/// What the writer says.
pub fn to_yaml(value: &Value) -> Result<String, String> {
    let options = serde_saphyr::ser_options! {
        // Strings of one line stay on it.
        folded_wrap_chars: usize::MAX,
    };
    let mut text =
        serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A line before a document's first key: its separator, comments, empty lines.
fn is_head(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---" || {
        let rest = line.strip_prefix("---").unwrap_or("x").trim_start();
        rest.starts_with('#')
    }
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, StreamError> {
    if text.trim_start().starts_with('{') {
        json_parts(text)
    } else {
        let documents = split(text).into_iter().enumerate();
        documents
            .map(|(index, text)| {
                Ok(Part {
                    text,
                    form: Form::Yaml,
                    value: parse(text, index + 1)?,
                })
            })
            .collect()
    }
}

/// JSON documents one after the other.
fn json_parts(text: &str) -> Result<Vec<Part<'_>>, StreamError> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut start = 0;
    while let Some(value) = documents.next() {
        let value = value.map_err(|error| StreamError::Malformed {
            document: parts.len() + 1,
            why: error.to_string(),
        })?;
        let mut end = documents.byte_offset();
        let rest = text.get(end..).unwrap_or_default();
        if rest.starts_with('\n') || rest.trim().is_empty() {
            end += rest
                .find(|one: char| !one.is_whitespace())
                .unwrap_or(rest.len());
        }
        parts.push(Part {
            text: text.get(start..end).unwrap_or_default(),
            form: Form::Json,
            value: Some(value),
        });
        start = end;
    }
    Ok(parts)
}

/// The documents of a YAML stream as kubectl separates them: by lines that
/// begin with `---`. Each has the separator before it, and the first one the
/// comments before its own.
fn split(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let before = text.get(start..at).unwrap_or_default();
        let is_document = !before.lines().all(is_head) || before.lines().any(is_separator);
        if is_separator(line) && is_document {
            documents.push(before);
            start = at;
        }
        at += line.len();
    }
    documents.push(text.get(start..).unwrap_or_default());
    documents
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Kubernetes reads YAML 1.1, where `0644` is octal.
fn parse(text: &str, document: usize) -> Result<Option<Value>, StreamError> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    let value: Option<Value> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            StreamError::Malformed {
                document,
                why: error.to_string(),
            }
        })?;
    Ok(value.filter(|value| !value.is_null()))
}
