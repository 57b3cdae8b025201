//! Back into the committed corpus: as few and as small files as reach as much.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Places;
use super::program::Programs;
use crate::step::Steps;
use crate::workspace::Workspace;

/// Longest file that is committed, in bytes.
const FILE_LEN_MAX: u32 = 4096;
/// Length of the names that libFuzzer gives: SHA-1. Files with other names were put there by
/// someone, and stay.
const NAME_LEN: usize = 40;

/// Chooses anew what is committed of a fuzzer's corpus.
///
/// # Errors
/// When the fuzzer cannot read its corpora, or files cannot be replaced.
pub(crate) fn into_committed(
    workspace: &Workspace,
    steps: &Steps,
    places: &Places,
    programs: &Programs,
    target: &str,
) -> Result<()> {
    let committed = places.committed(target);
    let chosen = places.work().join("chosen").join(target);
    if chosen.exists() {
        fs::remove_dir_all(&chosen)
            .with_context(|| format!("cannot remove {}", chosen.display()))?;
    }
    for directory in [&committed, &chosen, &places.grown(target)] {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let mut merge = programs.command(target);
    merge.current_dir(workspace.root());
    // By edges alone: how often each was passed makes ten times as many files.
    merge.args(["-set_cover_merge=1", "-use_counters=0"]);
    merge.arg(format!("-max_len={FILE_LEN_MAX}"));
    merge.arg(&chosen);
    merge.args([
        places.grown(target),
        committed.clone(),
        places.seeds().join(target),
    ]);
    steps.silent(
        &format!("merge-{target}"),
        &format!("{target}: what to commit of its corpus"),
        merge,
    )?;
    for file in named_by_hash(&committed)? {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    for file in named_by_hash(&chosen)? {
        let to = committed.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

fn named_by_hash(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = || format!("cannot list {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(list)? {
        let path = entry.with_context(list)?.path();
        let is_hash = path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if is_hash {
            found.push(path);
        }
    }
    Ok(found)
}
