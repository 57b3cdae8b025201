//! `weir prices`, as people run it: what it prints, what it writes, what it refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use weir::meter::prices::PriceTable;

fn weir(directory: &Path, line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("prices")
        .args(line)
        .current_dir(directory)
        .output()
        .expect("weir runs")
}

#[track_caller]
fn done(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
    line
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    directory
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

const LITELLM: &str = r#"{"gpt-4o": {"litellm_provider": "openai", "mode": "chat",
    "input_cost_per_token": 2.25e-06, "output_cost_per_token": 1e-05,
    "cache_read_input_token_cost": 1.25e-06},
  "elsewhere/x": {"litellm_provider": "elsewhere", "input_cost_per_token": 1e-06}}"#;

#[test]
fn a_price_is_shown_with_its_source_and_date() {
    let directory = directory(&[]);
    let shown = done(&weir(
        directory.path(),
        &["show", "claude-sonnet-4-6", "--provider", "anthropic"],
    ));
    let lines: Vec<_> = shown.lines().map(str::trim).collect();
    assert_eq!(
        lines.first(),
        Some(&"anthropic claude-sonnet-4-6"),
        "{shown}"
    );
    for row in ["cache_write_1h", "batch: input", "multiplier geo:us"] {
        assert!(
            lines.iter().any(|line| line.starts_with(row)),
            "{row}: {shown}"
        );
    }
    assert!(lines.contains(&"as of 2026-11-20"), "{shown}");
    assert!(
        lines.iter().any(|line| line.starts_with("from https://")),
        "{shown}"
    );
    let all = done(&weir(directory.path(), &["show", "gpt-4o"]));
    assert!(
        all.contains("openai gpt-4o\n") && all.contains("azure.ai.openai gpt-4o\n"),
        "{all}"
    );
}

#[test]
fn a_model_without_a_price_is_said_to_be_unpriced() {
    let directory = directory(&[]);
    let output = weir(
        directory.path(),
        &["show", "gpt-99", "--provider", "openai"],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("no price of gpt-99 of openai is known: calls are recorded as unpriced"),
        "{said}"
    );
}

#[test]
fn a_table_becomes_the_price_file_of_a_configuration() {
    let directory = directory(&[
        ("table.json", LITELLM),
        ("weir.yaml", "prices:\n  file: prices.json\n"),
    ]);
    let run = |line: &[&str]| done(&weir(directory.path(), line));
    let line = [
        "update",
        "table.json",
        "--config",
        "weir.yaml",
        "--date",
        "2026-12-01",
    ];
    let expected = "~ openai gpt-4o: batch: input 1.25 -> none, batch: output 5 -> none, \
                    input 2.5 -> 2.25, priority: cache_read 2.125 -> none, \
                    priority: input 4.25 -> none, priority: output 17 -> none\n\
                    0 new, 1 changed, 0 not in the table and kept; 1 in all\n\
                    left out: 1 of providers that weir does not know, \
                    0 without a price that it can apply\n";
    let dry = run(&[&line[..], &["--dry-run"]].concat());
    assert_eq!(dry, format!("{expected}nothing written\n"));
    assert_eq!(names(directory.path()), ["table.json", "weir.yaml"]);
    let said = run(&line);
    assert_eq!(said, format!("{expected}wrote prices.json\n"));
    assert_eq!(
        names(directory.path()),
        ["prices.json", "table.json", "weir.yaml"]
    );
    let file = directory.path().join("prices.json");
    let mode = fs::metadata(&file).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let text = fs::read_to_string(&file).expect("written");
    PriceTable::builtin()
        .with_override(&text)
        .expect("a price file");
    let shown = run(&[
        "show",
        "gpt-4o",
        "--provider",
        "openai",
        "--config",
        "weir.yaml",
    ]);
    assert!(shown.contains("input       2.25\n"), "{shown}");
    assert!(shown.contains("as of 2026-12-01\n"), "{shown}");
    // Again: nothing changes.
    let again = run(&line);
    assert!(again.starts_with("0 new, 0 changed"), "{again}");
}

#[test]
fn what_a_name_stands_for_is_replaced_and_its_mode_kept() {
    let directory = directory(&[
        ("table.json", LITELLM),
        (
            "real.json",
            r#"{"version": "1", "providers": {"p": {"m": {"input": "1"}}}}"#,
        ),
    ]);
    let real = directory.path().join("real.json");
    let link = directory.path().join("link.json");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("a mode");
    symlink("real.json", &link).expect("a link");
    done(&weir(
        directory.path(),
        &["update", "table.json", "--output", "link.json"],
    ));
    assert!(link.is_symlink());
    let text = fs::read_to_string(&real).expect("written");
    assert!(
        text.contains("gpt-4o") && text.contains("\"m\": {\"input\": \"1\"}"),
        "{text}"
    );
    let mode = fs::metadata(&real).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        names(directory.path()),
        ["link.json", "real.json", "table.json"]
    );
}

#[test]
fn a_table_that_is_wrong_changes_nothing() {
    let old = r#"{"version": "1", "providers": {"p": {"m": {"input": "1"}}}}"#;
    for (table, expected) in [
        ("{", "weir: prices table.json: line 1, column 1: EOF"),
        (
            "{\"version\": \"2\", \"providers\": {\n\"openai\": {\"gpt-4o\": {\"inptu\": \"1\"}}}}",
            "weir: prices table.json: line 2, column 29: providers.openai.gpt-4o: \
             unknown key \"inptu\", expected one of input,",
        ),
        (
            "{\"gpt-4o\": {\"litellm_provider\": \"openai\",\n \"input_cost_per_token\": \"free\"}}",
            "weir: prices table.json: line 2, column 26: gpt-4o.input_cost_per_token: \
             \"free\" is not a number of US dollars",
        ),
        (
            "{}",
            "weir: prices table.json: no model in it has a price that weir can apply",
        ),
    ] {
        let directory = directory(&[("table.json", table), ("prices.json", old)]);
        let output = weir(
            directory.path(),
            &["update", "table.json", "--output", "prices.json"],
        );
        let said = refused(&output);
        assert!(said.starts_with(expected), "{said}");
        let kept = fs::read_to_string(directory.path().join("prices.json")).expect("there");
        assert_eq!(kept, old);
        assert_eq!(names(directory.path()), ["prices.json", "table.json"]);
    }
    let directory = directory(&[("table.json", LITELLM), ("prices.json", "[]")]);
    let output = weir(
        directory.path(),
        &["update", "table.json", "--output", "prices.json"],
    );
    let said = refused(&output);
    assert!(
        said.contains("the price file that is there already: line 1, column"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let directory = directory(&[("table.json", LITELLM), ("weir.yaml", "{}\n")]);
    for (line, expected) in [
        (
            &["update", "table.json", "--config", "weir.yaml"][..],
            "weir: the configuration names no `prices.file`: name a file with --output\n",
        ),
        (
            &["update", "nowhere.json", "--output", "prices.json"],
            "weir: cannot read prices nowhere.json: No such file or directory",
        ),
        (
            &["update", "table.json", "--output", "nowhere/prices.json"],
            "weir: cannot write nowhere/prices.json: No such file or directory",
        ),
        (&["show", "x", "--config", "nowhere.yaml"], "weir: "),
    ] {
        let said = refused(&weir(directory.path(), line));
        assert!(said.starts_with(expected), "{said}");
    }
    assert_eq!(names(directory.path()), ["table.json", "weir.yaml"]);
}
