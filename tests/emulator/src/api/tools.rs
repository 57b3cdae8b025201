//! Calls to the request's own tools.
//!
//! A tool is called when the request insists (`tool_choice`), or when the
//! user's last words contain its name or the word "tool" and no result has
//! come since: an agent's loop then ends after one call.

use serde_json::{Map, Value, json};

use crate::seed::{Draws, Seed};
use crate::tokens;

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// JSON, to the tool's own schema.
    pub(crate) arguments: String,
}

/// A part of a call's arguments, with the tokens it adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) text: String,
    pub(crate) tokens: u32,
}

/// How many characters of arguments go into one event.
const FRAGMENT_CHARS: usize = 8;

impl ToolCall {
    /// Tokens of the name: what the event that names the tool carries.
    pub(crate) fn name_tokens(&self) -> u32 {
        tokens::count(&self.name)
    }

    /// Tokens of the whole call.
    pub(crate) fn tokens(&self) -> u32 {
        self.name_tokens() + tokens::count(&self.arguments)
    }

    /// The arguments as they are streamed; the tokens add up to those of the
    /// whole.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        let total = tokens::count(&self.arguments);
        let characters: Vec<char> = self.arguments.chars().collect();
        let mut sent = String::new();
        let mut told = 0;
        let mut fragments: Vec<Fragment> = characters
            .chunks(FRAGMENT_CHARS)
            .map(|characters| {
                let text: String = characters.iter().collect();
                sent.push_str(&text);
                // A beginning may count for more than the whole does.
                let reached = tokens::count(&sent).clamp(told, total);
                let tokens = reached - told;
                told = reached;
                Fragment { text, tokens }
            })
            .collect();
        if let Some(last) = fragments.last_mut() {
            last.tokens += total - told;
        }
        fragments
    }
}

/// A tool of a request, in whichever shape the surface has it.
struct Tool<'request> {
    name: &'request str,
    schema: &'request Value,
}

/// The call to make, if one is to be made.
pub(crate) fn call_for(body: &Value, question: Option<&str>, seed: Seed) -> Option<ToolCall> {
    let tools: Vec<Tool<'_>> = body["tools"].as_array()?.iter().filter_map(tool).collect();
    let tool = match choice(&body["tool_choice"]) {
        Choice::None => None,
        Choice::Any => tools.first(),
        Choice::Named(name) => tools.iter().find(|tool| tool.name == name),
        Choice::Auto => {
            let question = question?.to_lowercase();
            tools
                .iter()
                .find(|tool| question.contains(&tool.name.to_lowercase()))
                .or_else(|| tools.first().filter(|_| question.contains("tool")))
        }
    }?;
    let mut draws = seed.draws("arguments");
    Some(ToolCall {
        name: tool.name.to_owned(),
        arguments: value_for(tool.schema, &mut draws, 0).to_string(),
    })
}

/// Chat nests a tool under `function`; Messages calls the schema `input_schema`.
fn tool(definition: &Value) -> Option<Tool<'_>> {
    let function = definition.get("function").unwrap_or(definition);
    let schema = function
        .get("input_schema")
        .or_else(|| function.get("parameters"))
        .unwrap_or(&Value::Null);
    Some(Tool {
        name: function["name"].as_str()?,
        schema,
    })
}

enum Choice<'request> {
    Auto,
    None,
    Any,
    Named(&'request str),
}

fn choice(value: &Value) -> Choice<'_> {
    let name = value["name"]
        .as_str()
        .or_else(|| value["function"]["name"].as_str());
    let kind = value.as_str().or_else(|| value["type"].as_str());
    let kind = kind.map(str::to_ascii_lowercase);
    match (name, kind.as_deref()) {
        (Some(name), _) => Choice::Named(name),
        (None, Some("none")) => Choice::None,
        (None, Some("required" | "any")) => Choice::Any,
        (None, _) => Choice::Auto,
    }
}

/// Schemas nested deeper than this get `null`.
const DEPTH_MAX: usize = 16;

/// A value to a JSON schema.
fn value_for(schema: &Value, draws: &mut Draws, depth: usize) -> Value {
    const WORDS: [&str; 5] = ["Oslo", "Zürich", "north", "水", "a \"quoted\" word"];
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(options) = schema["enum"].as_array().filter(|it| !it.is_empty()) {
        return draws.pick(options).clone();
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].get(0)?.as_str())
        .map(str::to_ascii_lowercase);
    match kind.as_deref() {
        Some("string") => json!(draws.pick(&WORDS)),
        Some("integer") => json!(draws.between(1, 100)),
        Some("number") => json!(f64::from(draws.between(1, 100)) / 4.0),
        Some("boolean") => json!(draws.between(0, 1) == 1),
        Some("array") => Value::Array(vec![value_for(&schema["items"], draws, depth + 1)]),
        Some("null") => Value::Null,
        _ => {
            let properties = schema["properties"].as_object();
            let members: Map<String, Value> = properties
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), value_for(schema, draws, depth + 1)))
                .collect();
            Value::Object(members)
        }
    }
}
