//! Replays the corpora of the fuzzers: what held when they were committed holds,
//! and so does what was found since.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use weir::invariant::{ALL, Invariant};

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let list = fs::read_dir(directory);
    let list = list.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = list
        .map(|it| it.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
}

fn names(directory: &str) -> BTreeSet<String> {
    let paths = entries(&package().join(directory));
    let stems = paths.iter().filter_map(|path| path.file_stem());
    stems
        .map(|stem| stem.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_invariant_has_a_fuzzer_of_one_line_and_a_corpus() {
    let all: BTreeSet<String> = ALL.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(all.len(), ALL.len(), "a name is there twice");
    assert_eq!(names("targets"), all);
    assert_eq!(names("corpus"), all);
    let manifest = fs::read_to_string(package().join("Cargo.toml")).expect("it is there");
    for Invariant { name, path, .. } in ALL {
        let target = format!("targets/{name}.rs");
        let text = fs::read_to_string(package().join(&target)).expect("it is listed");
        let line = format!("libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {path}(bytes));");
        assert_eq!(text, format!("#![no_main]\n\n{line}\n"), "{target}");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{target}\"\n")));
    }
}

#[test]
fn what_was_seen_before_still_holds() {
    let mut broken = Vec::new();
    for Invariant { name, check, .. } in ALL {
        let inputs = entries(&package().join("corpus").join(name));
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for path in inputs {
            let bytes = fs::read(&path).expect("it can be read");
            if catch_unwind(|| check(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
