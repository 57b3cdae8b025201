//! Models are known as `tiktoken-rs` knows them, whose list is OpenAI's.

use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use super::Vocabulary;

#[test]
fn models_read_in_the_vocabulary_that_the_vendor_names() {
    for model in [
        "o1",
        "o1-pro",
        "o1x",
        "o3-mini",
        "o4",
        "o4-mini-2025-04-16",
        "codex-mini-latest",
        "gpt-2",
        "gpt-3.5-turbo-0125",
        "gpt-35-turbo",
        "gpt-35-turbo-16k",
        "gpt-4",
        "gpt-4-32k-0314",
        "gpt-4-turbo",
        "gpt-4.1",
        "gpt-4.1-nano",
        "gpt-4.5",
        "gpt-4.5-preview",
        "gpt-4o",
        "gpt-4o-mini-2024-07-18",
        "chatgpt-4o-latest",
        "gpt-5",
        "gpt-5-nano",
        "gpt-5.1-codex",
        "gpt-6",
        "gpt-oss-20b",
        "gpt-oss-120b",
        "gpt-realtime",
        "davinci",
        "davinci-002",
        "babbage-002",
        "text-davinci-003",
        "text-embedding-ada-002",
        "text-embedding-3-small",
        "text-embedding-3-large",
        // Two of Google's.
        "text-embedding-004",
        "text-embedding-005",
        "ft:gpt-4:acme::id",
        "ft:gpt-4o-mini-2024-07-18:acme::id",
        "ft:davinci-002:acme",
        "claude-sonnet-4-5",
        "mistral-large-latest",
        "my-deployment",
    ] {
        let expected = match get_tokenizer(model) {
            Some(Tokenizer::O200kBase | Tokenizer::O200kHarmony) => Some(Vocabulary::O200kBase),
            Some(Tokenizer::Cl100kBase) => Some(Vocabulary::Cl100kBase),
            // Those of earlier models are not carried.
            _ => None,
        };
        assert_eq!(Vocabulary::of(model), expected, "{model}");
    }
}

#[test]
fn names_that_others_give_to_models_of_the_vendor_are_known() {
    for model in ["openai/gpt-4o", "openai/gpt-oss-20b", "gpt-oss:20b"] {
        assert_eq!(
            Vocabulary::of(model),
            Some(Vocabulary::O200kBase),
            "{model}"
        );
    }
}
