//! The bill of materials: cargo-cyclonedx's, and what is in the image besides crates.
//!
//! cargo-cyclonedx writes beside each manifest of a workspace, so that it is given a copy of it.
//! What differs between two runs or two machines (a serial number, the time, paths) is taken out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::source::{self, Source};
use super::{Arch, directory};
use crate::command::shown;
use crate::step::Steps;
use crate::workspace::Workspace;

const TOOL: &str = "cargo-cyclonedx";
const VERSION: &str = "0.5.9";
/// Debian's packages of which something is in the image: the C library is linked in.
const PACKAGES: [(&str, &str); 2] = [
    ("libc6-dev", "the C library, linked into the program"),
    ("ca-certificates", "roots of certificates"),
];

/// Builds the tool where it is missing.
///
/// # Errors
/// When it does not build.
pub(super) fn ensure(workspace: &Workspace, steps: &Steps) -> Result<()> {
    let root = root(workspace);
    if tool(workspace).is_file() {
        return Ok(());
    }
    let mut install = workspace.cargo(["install", TOOL, "--version", VERSION, "--locked"]);
    install.arg("--root").arg(&root);
    let what = format!(
        "{TOOL} {VERSION} from its crate, into target/tools: the image's bill of materials \
         (a minute or two)"
    );
    steps.silent(TOOL, &what, install)
}

/// Lends the tool to another checkout.
///
/// # Errors
/// When the link cannot be made.
pub(super) fn share(workspace: &Workspace, other: &Workspace) -> Result<()> {
    symlink(root(workspace), root(other))
        .with_context(|| format!("cannot link {}", root(other).display()))
}

/// The bill of materials of the program for that architecture, as CycloneDX in JSON.
///
/// # Errors
/// When the tool fails.
pub(super) fn of(
    workspace: &Workspace,
    steps: &Steps,
    arch: Arch,
    source: &Source,
) -> Result<Vec<u8>> {
    let copy = directory(workspace).join("manifests");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot empty {}", copy.display()))?;
    }
    source::copy(workspace, &copy)?;
    let mut run = workspace.command(tool(workspace));
    run.current_dir(&copy)
        .args(["cyclonedx", "--manifest-path", "agent/Cargo.toml"])
        .args([
            "--format",
            "json",
            "--spec-version",
            "1.5",
            "--no-build-deps",
        ])
        .args(["--target", arch.target(), "--override-filename", "weir"]);
    steps.silent(
        "bill-of-materials",
        &format!("bill of materials for {arch}"),
        run,
    )?;
    let path = copy.join("agent/weir.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // What cargo calls a package of the workspace is its path, with links resolved.
    let real = fs::canonicalize(&copy).context("the copy is gone")?;
    let bill: Value = serde_json::from_str(&text.replace(&format!("{}", real.display()), "/weir"))
        .with_context(|| format!("{} is not JSON", path.display()))?;
    let bill = settled(bill, &packages(workspace, arch), source);
    serde_json::to_vec_pretty(&bill).context("cannot write JSON")
}

/// The same for every run, with what is in the image besides crates.
fn settled(mut bill: Value, packages: &[Value], source: &Source) -> Value {
    if let Some(bill) = bill.as_object_mut() {
        bill.remove("serialNumber");
    }
    bill["metadata"]["timestamp"] = source.created().into();
    if let Some(components) = bill["components"].as_array_mut() {
        components.extend_from_slice(packages);
    }
    bill
}

/// Packages of the distribution, with the versions that are installed; none where it is another.
fn packages(workspace: &Workspace, arch: Arch) -> Vec<Value> {
    let mut found = Vec::new();
    for (name, what) in PACKAGES {
        let installed = if name == "libc6-dev" && Arch::own().ok() != Some(arch) {
            format!("{name}-{arch}-cross")
        } else {
            name.to_owned()
        };
        if let Ok(version) = version(workspace, &installed) {
            found.push(json!({
                "type": "library",
                "bom-ref": format!("debian/{installed}"),
                "name": installed,
                "version": version,
                "description": what,
                "purl": format!("pkg:deb/debian/{installed}@{version}"),
            }));
        }
    }
    found
}

fn version(workspace: &Workspace, package: &str) -> Result<String> {
    let mut query = workspace.command("dpkg-query");
    let output = query
        .args(["--show", "--showformat", "${Version}", package])
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&query)))?;
    if !output.status.success() {
        bail!("{package} is not installed");
    }
    String::from_utf8(output.stdout).context("a version that is not UTF-8")
}

fn root(workspace: &Workspace) -> PathBuf {
    workspace.tools().join(format!("{TOOL}-{VERSION}"))
}

fn tool(workspace: &Workspace) -> PathBuf {
    root(workspace).join(Path::new("bin").join(TOOL))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Source, settled};

    #[test]
    fn a_bill_does_not_say_when_it_was_written_but_what_for() {
        let source = Source {
            revision: "0123".to_owned(),
            epoch_secs: 7,
            version: "0.1.0".to_owned(),
        };
        let bill = json!({
            "serialNumber": "urn:uuid:random",
            "metadata": { "timestamp": "now", "component": { "name": "weir" } },
            "components": [{ "name": "aya" }],
        });
        let bill = settled(bill, &[json!({ "name": "libc6-dev" })], &source);
        assert_eq!(
            bill,
            json!({
                "metadata": {
                    "timestamp": "1970-01-01T00:00:07Z",
                    "component": { "name": "weir" },
                },
                "components": [{ "name": "aya" }, { "name": "libc6-dev" }],
            })
        );
    }
}
