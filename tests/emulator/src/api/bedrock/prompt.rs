//! The prompt in a request of Converse, and of the models that take the same
//! messages.

use serde_json::Value;

use super::super::prompt::{Prompt, Ttl, elements};

impl Prompt {
    /// Of `POST /model/{id}/converse`, in the order in which its cache sees it.
    pub(super) fn of_converse(body: &Value) -> Self {
        let mut prompt = Self::default();
        for tool in elements(&body["toolConfig"]["tools"]) {
            match tool.get("toolSpec") {
                Some(definition) => prompt.add(definition.to_string(), None),
                None => prompt.add_block(tool),
            }
        }
        for block in elements(&body["system"]) {
            prompt.add_block(block);
        }
        for message in elements(&body["messages"]) {
            let before = prompt.segments.len();
            let mut answered = false;
            for block in elements(&message["content"]) {
                answered |= block.get("toolResult").is_some();
                prompt.add_block(block);
            }
            if answered {
                prompt.question = None;
            } else if message["role"] == "user" {
                let texts = prompt.segments[before..].iter().map(|it| it.text.as_str());
                prompt.question = Some(texts.collect::<Vec<_>>().join("\n"));
            }
        }
        prompt
    }

    fn add_block(&mut self, block: &Value) {
        self.add_text(&block["text"], None);
        self.add_text(&block["reasoningContent"]["reasoningText"]["text"], None);
        if let Some(used) = block.get("toolUse") {
            self.add_text(&used["name"], None);
            self.add(used["input"].to_string(), None);
        }
        for part in elements(&block["toolResult"]["content"]) {
            self.add_text(&part["text"], None);
            if let Some(json) = part.get("json") {
                self.add(json.to_string(), None);
            }
        }
        if let Some(image) = block.get("image") {
            self.add_image(image, None);
        }
        // A block of its own, behind what is to be kept.
        if let Some(point) = block.get("cachePoint")
            && let Some(last) = self.segments.last_mut()
        {
            last.breakpoint = Some(if point["ttl"] == "1h" {
                Ttl::OneHour
            } else {
                Ttl::FiveMinutes
            });
        }
    }
}
