//! What the manifests say about tests, asked of cargo.
//!
//! A test that needs a privilege declares `required-features`, so that a plain `cargo test` does
//! not build it: this is where those tests are found again.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::shown;
use crate::workspace::Workspace;

/// A test target behind a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatedTest {
    /// The package it belongs to.
    pub(crate) package: String,
    /// The directory of that package, in which cargo runs its tests.
    pub(crate) directory: PathBuf,
    /// The name of the target.
    pub(crate) name: String,
    /// The features it requires.
    pub(crate) features: Vec<String>,
}

/// All test targets of the workspace that a plain `cargo test` leaves out.
///
/// # Errors
/// When a manifest is not valid.
pub(crate) fn gated_tests(workspace: &Workspace) -> Result<Vec<GatedTest>> {
    let mut query = workspace.cargo(["metadata", "--no-deps", "--format-version", "1", "--quiet"]);
    let output = query.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&query), output.status);
    }
    let metadata = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`{}` did not print JSON", shown(&query)))?;
    Ok(gated_tests_in(&metadata))
}

fn gated_tests_in(metadata: &Value) -> Vec<GatedTest> {
    let mut tests = Vec::new();
    for package in elements(&metadata["packages"]) {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        for target in elements(&package["targets"]) {
            let is_test = elements(&target["kind"]).any(|kind| kind == "test");
            let features: Vec<String> = elements(&target["required-features"]).map(text).collect();
            if is_test && !features.is_empty() {
                tests.push(GatedTest {
                    package: text(&package["name"]),
                    directory: manifest.parent().unwrap_or(&manifest).to_path_buf(),
                    name: text(&target["name"]),
                    features,
                });
            }
        }
    }
    tests
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::gated_tests_in;

    #[test]
    fn only_tests_behind_a_feature_are_gated() {
        let target = |kind: &str, name: &str, features: &[&str]| json!({"kind": [kind], "name": name, "required-features": features});
        let metadata = json!({"packages": [{
            "name": "weir-tests",
            "manifest_path": "/src/tests/Cargo.toml",
            "targets": [
                target("test", "kernel", &["privileged"]),
                target("test", "plain", &[]),
                target("bin", "program", &["bpf"]),
                json!({"kind": ["test"], "name": "without"}),
            ],
        }]});
        let gated = gated_tests_in(&metadata);
        assert_eq!(gated.len(), 1);
        assert_eq!(gated[0].name, "kernel");
        assert_eq!(gated[0].features, ["privileged"]);
        assert_eq!(gated[0].directory, std::path::Path::new("/src/tests"));
    }
}
