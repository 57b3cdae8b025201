//! The figures of Gemini, Cohere, Mistral and Ollama: told to the client, kept in
//! the ledger, counted here again.

use serde_json::{Value, json};
use weir_emulator::{Api, Ended, Told, UsageTold, tokens};

use crate::client::{Http, LIMIT, Reply, call, emulator, request};

const PROMPT: &str = "How does a weir keep a naïve river 🌊 in its bed?";

/// A surface, and where its documents say what.
struct Surface {
    api: Api,
    host: &'static str,
    path: &'static str,
    body: Value,
    text: &'static str,
    input: &'static str,
    output: &'static str,
}

/// Every way to ask for a text.
fn surfaces() -> Vec<Surface> {
    let messages = json!([{"role": "user", "content": PROMPT}]);
    let chat = |stream: bool| json!({"model": "m", "messages": messages, "stream": stream});
    let generate = |stream: bool| json!({"model": "m", "prompt": PROMPT, "stream": stream});
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]});
    let gemini = |path| Surface {
        api: Api::GeminiGenerate,
        host: "generativelanguage.googleapis.com",
        path,
        body: contents.clone(),
        text: "/candidates/0/content/parts/0/text",
        input: "/usageMetadata/promptTokenCount",
        output: "/usageMetadata/candidatesTokenCount",
    };
    let cohere = |body, text, [input, output]: [&'static str; 2]| Surface {
        api: Api::CohereChat,
        host: "api.cohere.com",
        path: "/v2/chat",
        body,
        text,
        input,
        output,
    };
    let mistral = |body, text| Surface {
        api: Api::Chat,
        host: "api.mistral.ai",
        path: "/v1/chat/completions",
        body,
        text,
        input: "/usage/prompt_tokens",
        output: "/usage/completion_tokens",
    };
    let ollama = |api, path, body, text| Surface {
        api,
        host: "ollama.internal",
        path,
        body,
        text,
        input: "/prompt_eval_count",
        output: "/eval_count",
    };
    let billed = [
        "/usage/billed_units/input_tokens",
        "/usage/billed_units/output_tokens",
    ];
    let billed_last = [
        "/delta/usage/billed_units/input_tokens",
        "/delta/usage/billed_units/output_tokens",
    ];
    vec![
        gemini("/v1beta/models/m:generateContent"),
        gemini("/v1beta/models/m:streamGenerateContent?alt=sse"),
        gemini("/v1/models/m:streamGenerateContent"),
        cohere(chat(false), "/message/content/0/text", billed),
        cohere(chat(true), "/delta/message/content/text", billed_last),
        mistral(chat(false), "/choices/0/message/content"),
        mistral(chat(true), "/choices/0/delta/content"),
        ollama(
            Api::OllamaChat,
            "/api/chat",
            chat(false),
            "/message/content",
        ),
        ollama(Api::OllamaChat, "/api/chat", chat(true), "/message/content"),
        ollama(
            Api::OllamaGenerate,
            "/api/generate",
            generate(false),
            "/response",
        ),
        ollama(
            Api::OllamaGenerate,
            "/api/generate",
            generate(true),
            "/response",
        ),
    ]
}

/// The documents of a body, however it is framed.
fn documents(reply: &Reply) -> Vec<Value> {
    let kind = reply.headers["content-type"].to_str().expect("text");
    let parse = |text: &str| serde_json::from_str(text).expect("a document");
    let lines = reply.text().lines();
    if kind.starts_with("text/event-stream") {
        let data = lines.filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(parse).collect()
    } else if kind == "application/x-ndjson" {
        lines.map(parse).collect()
    } else {
        let document = reply.json();
        let elements = document.as_array().cloned();
        elements.unwrap_or_else(|| vec![document])
    }
}

async fn ask(surface: &Surface) -> (Vec<Value>, Told) {
    let emulator = emulator().await;
    let mut asked = request(surface.path, &surface.body, &[]);
    let uri = format!("https://{}{}", surface.host, surface.path);
    *asked.uri_mut() = uri.parse().expect("a URI");
    let reply = call(&emulator, Http::One, asked).await;
    assert_eq!(reply.status, 200, "{uri}: {}", reply.text());
    let told = emulator.wait_ledger(LIMIT, |told| told.len() == 1).await;
    let told = told.expect("an entry").remove(0);
    assert_eq!((told.api, told.ended), (surface.api, Ended::Complete));
    assert_eq!(told.usage_told, UsageTold::Complete, "{uri}");
    (documents(&reply), told)
}

/// The last count at a path; Cohere writes it with a fraction.
fn count(documents: &[Value], path: &str) -> Option<f64> {
    let mut counts = documents.iter().rev();
    counts.find_map(|document| document.pointer(path)?.as_f64())
}

#[tokio::test]
async fn what_is_told_is_what_was_sent_and_what_the_ledger_says() {
    for surface in surfaces() {
        let (documents, told) = ask(&surface).await;
        let texts = documents
            .iter()
            .filter_map(|it| it.pointer(surface.text)?.as_str());
        let text: String = texts.collect();
        let case = format!("{}{}: {text}", surface.host, surface.path);
        assert!(told.output_tokens > 0, "{case}");
        assert_eq!(tokens::count(PROMPT), told.input_tokens, "{case}");
        assert_eq!(tokens::count(&text), told.output_tokens, "{case}");
        let said = [surface.input, surface.output].map(|path| count(&documents, path));
        let told = [told.input_tokens, told.output_tokens].map(|count| Some(count.into()));
        assert_eq!(said, told, "{case}");
    }
}

#[tokio::test]
async fn what_is_embedded_is_counted() {
    let texts = ["a weir", "a naïve sluice"];
    let counted: u32 = texts.iter().map(|text| tokens::count(text)).sum();
    let input = json!({"model": "m", "input": texts});
    let contents = texts.map(|text| json!({"content": {"parts": [{"text": text}]}}));
    let of = |api, host, path, body, input| Surface {
        api,
        host,
        path,
        body,
        text: "",
        input,
        output: "",
    };
    let surfaces = [
        of(
            Api::Embeddings,
            "api.openai.com",
            "/v1/embeddings",
            input.clone(),
            "/usage/prompt_tokens",
        ),
        of(
            Api::Embeddings,
            "api.mistral.ai",
            "/v1/embeddings",
            input.clone(),
            "/usage/prompt_tokens",
        ),
        of(
            Api::CohereEmbed,
            "api.cohere.com",
            "/v2/embed",
            json!({"model": "m", "texts": texts}),
            "/meta/billed_units/input_tokens",
        ),
        of(
            Api::OllamaEmbed,
            "ollama.internal",
            "/api/embed",
            input,
            "/prompt_eval_count",
        ),
        of(
            Api::GeminiEmbed,
            "generativelanguage.googleapis.com",
            "/v1beta/models/m:batchEmbedContents",
            json!({"requests": contents}),
            "/usageMetadata/promptTokenCount",
        ),
    ];
    for surface in surfaces {
        let (documents, told) = ask(&surface).await;
        let said = count(&documents, surface.input);
        assert_eq!(said, Some(counted.into()), "{}", surface.host);
        assert_eq!((told.input_tokens, told.output_tokens), (counted, 0));
    }
}
