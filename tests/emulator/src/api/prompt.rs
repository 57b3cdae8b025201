//! The prompt in a request: its texts in order, each counted.
//!
//! A prompt's length is the sum over its texts (instructions, message
//! contents, tool definitions as compact JSON, tool calls and their results)
//! plus a flat figure for each image. The tokens with which providers mark
//! roles and turns are not imitated: they are not in the request, and a test
//! can then count what it sent.

use serde_json::Value;

use crate::tokens;

/// What an image counts for, in tokens: OpenAI's low-detail figure.
const IMAGE_TOKENS: u32 = 85;

/// How long a cache is asked to keep a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    FiveMinutes,
    OneHour,
}

/// One text of a prompt.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) text: String,
    pub(crate) tokens: u32,
    /// A cache is asked to keep the prompt up to here.
    pub(crate) breakpoint: Option<Ttl>,
}

/// A prompt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prompt {
    pub(crate) segments: Vec<Segment>,
    /// What the user said last, unless a tool's result came after it.
    pub(crate) question: Option<String>,
}

impl Prompt {
    /// Of `POST /v1/chat/completions`, and of what is made like it.
    pub(crate) fn of_chat(body: &Value) -> Self {
        let mut prompt = Self::default();
        prompt.add_definitions(&body["tools"]);
        for message in elements(&body["messages"]) {
            prompt.add_turn(message["role"].as_str(), &message["content"]);
            for call in elements(&message["tool_calls"]) {
                prompt.add_text(&call["function"]["name"], None);
                prompt.add_value(&call["function"]["arguments"]);
            }
        }
        prompt
    }

    /// Of `POST …:generateContent`.
    pub(crate) fn of_contents(body: &Value) -> Self {
        let mut prompt = Self::default();
        prompt.add_definitions(&body["tools"]);
        prompt.add_turn(Some("system"), &body["systemInstruction"]["parts"]);
        for content in elements(&body["contents"]) {
            prompt.add_turn(content["role"].as_str().or(Some("user")), &content["parts"]);
        }
        prompt
    }

    /// Of texts, or of tokens, that are to be embedded or completed.
    pub(crate) fn of_input(input: &Value) -> Self {
        let mut prompt = Self::default();
        prompt.add_turn(Some("user"), input);
        for text in elements(input) {
            prompt.add_text(text, None);
        }
        prompt
    }

    /// Of `POST /v1/responses`.
    pub(crate) fn of_responses(body: &Value) -> Self {
        let mut prompt = Self::default();
        prompt.add_definitions(&body["tools"]);
        prompt.add_text(&body["instructions"], None);
        let input = &body["input"];
        if input.is_string() {
            prompt.add_turn(Some("user"), input);
        }
        for item in elements(input) {
            match item["type"].as_str() {
                Some("function_call") => {
                    prompt.add_text(&item["name"], None);
                    prompt.add_text(&item["arguments"], None);
                }
                Some("function_call_output") => prompt.add_turn(Some("tool"), &item["output"]),
                _ => prompt.add_turn(item["role"].as_str(), &item["content"]),
            }
        }
        prompt
    }

    /// Of `POST /v1/messages`, in the order in which its cache sees it.
    pub(crate) fn of_messages(body: &Value) -> Self {
        let mut prompt = Self::default();
        for tool in elements(&body["tools"]) {
            let mut definition = tool.clone();
            if let Some(members) = definition.as_object_mut() {
                members.remove("cache_control");
            }
            prompt.add(definition.to_string(), breakpoint(tool));
        }
        prompt.add_turn(Some("system"), &body["system"]);
        for message in elements(&body["messages"]) {
            prompt.add_turn(message["role"].as_str(), &message["content"]);
        }
        prompt
    }

    /// Its length in tokens.
    pub(crate) fn tokens(&self) -> u32 {
        self.segments.iter().map(|segment| segment.tokens).sum()
    }

    fn add_definitions(&mut self, tools: &Value) {
        for tool in elements(tools) {
            self.add(tool.to_string(), None);
        }
    }

    /// A message's content: a text, or parts.
    fn add_turn(&mut self, role: Option<&str>, content: &Value) {
        let before = self.segments.len();
        let mut answered = role == Some("tool");
        self.add_text(content, None);
        for part in elements(content) {
            answered |= part["type"] == "tool_result" || part["functionResponse"].is_object();
            self.add_part(part);
        }
        match role {
            _ if answered => self.question = None,
            Some("user") => {
                let texts = self.segments[before..].iter().map(|it| it.text.as_str());
                self.question = Some(texts.collect::<Vec<_>>().join("\n"));
            }
            _ => {}
        }
    }

    fn add_part(&mut self, part: &Value) {
        let breakpoint = breakpoint(part);
        match part["type"].as_str() {
            Some("image" | "image_url" | "input_image") => self.add_image(part, breakpoint),
            Some("tool_use") => {
                self.add_text(&part["name"], None);
                self.add(part["input"].to_string(), breakpoint);
            }
            Some("tool_result") => {
                self.add_text(&part["content"], breakpoint);
                for part in elements(&part["content"]) {
                    self.add_part(part);
                }
                if let Some(last) = self.segments.last_mut() {
                    last.breakpoint = last.breakpoint.or(breakpoint);
                }
            }
            Some("document") => self.add_value(&part["document"]),
            Some("thinking") => self.add_text(&part["thinking"], breakpoint),
            _ => {
                self.add_text(&part["text"], breakpoint);
                self.add_value(&part["functionCall"]);
                self.add_value(&part["functionResponse"]);
            }
        }
    }

    pub(super) fn add_image(&mut self, image: &Value, breakpoint: Option<Ttl>) {
        self.segments.push(Segment {
            text: image.to_string(),
            tokens: IMAGE_TOKENS,
            breakpoint,
        });
    }

    pub(super) fn add_text(&mut self, text: &Value, breakpoint: Option<Ttl>) {
        if let Some(text) = text.as_str() {
            self.add(text.to_owned(), breakpoint);
        }
    }

    /// A text as it is, and any other value as compact JSON.
    fn add_value(&mut self, value: &Value) {
        if value.is_string() {
            self.add_text(value, None);
        } else if !value.is_null() {
            self.add(value.to_string(), None);
        }
    }

    pub(super) fn add(&mut self, text: String, breakpoint: Option<Ttl>) {
        self.segments.push(Segment {
            tokens: tokens::count(&text),
            text,
            breakpoint,
        });
    }
}

/// The elements of an array; none if it is not one.
pub(super) fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The `cache_control` of a block.
fn breakpoint(block: &Value) -> Option<Ttl> {
    let control = block.get("cache_control").filter(|it| it.is_object())?;
    Some(if control["ttl"] == "1h" {
        Ttl::OneHour
    } else {
        Ttl::FiveMinutes
    })
}
