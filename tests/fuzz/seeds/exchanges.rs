//! The exchanges of `tests/fixtures/llm`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use weir::llm::catalogue::Provider;
use weir::llm::classify::{Target, classify};
use weir::llm::headers::Headers;

/// One of them.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

/// Both heads.
#[derive(Deserialize)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    provider: Option<String>,
    #[serde(default)]
    pub(crate) request_headers: BTreeMap<String, String>,
    pub(crate) status: u16,
    pub(crate) content_type: String,
}

impl Exchange {
    /// What it addresses.
    pub(crate) fn target(&self) -> Target {
        let Head {
            method,
            path,
            provider,
            request_headers,
            ..
        } = &self.head;
        let provider = provider.as_deref().map(Provider::named);
        let headers = Headers::of_request(|name| request_headers.get(name).cloned());
        classify(method, path, provider.as_ref(), &headers)
    }

    /// Whether the response is of that media type.
    pub(crate) fn answers(&self, media_type: &str) -> bool {
        self.head.content_type.starts_with(media_type)
    }

    /// The media type of the request.
    pub(crate) fn request_type(&self) -> Option<&str> {
        self.head
            .request_headers
            .get("content-type")
            .map(String::as_str)
    }

    fn read(folder: &Path) -> Result<Self> {
        let meta = fs::read(folder.join("response.meta.json"))?;
        let either = |names: [&str; 2]| {
            let paths = names.map(|name| folder.join(name));
            let found = paths.iter().find(|path| path.is_file());
            Ok::<_, anyhow::Error>(fs::read(found.context("a body is missing")?)?)
        };
        Ok(Self {
            head: serde_json::from_slice(&meta)?,
            request: either(["request.json", "request.body"])?,
            response: either(["response.sse", "response.body"])?,
        })
    }
}

/// All of them.
pub(crate) fn load() -> Result<Vec<Exchange>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/llm");
    let mut exchanges = Vec::new();
    for format in folders(&root)? {
        for folder in folders(&format)? {
            let read = Exchange::read(&folder);
            exchanges.push(read.with_context(|| format!("of {}", folder.display()))?);
        }
    }
    ensure!(!exchanges.is_empty(), "{} is empty", root.display());
    Ok(exchanges)
}

fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of).with_context(|| format!("cannot list {}", of.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
