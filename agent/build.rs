//! Embeds the eBPF object that `cargo xtask build` makes.
//!
//! Without the object the agent still builds, so that editors and `cargo check`
//! work on a machine without the BPF toolchain; loading then fails with a
//! message that names the remedy.
//!
//! Beside it go the tables by which text is counted in tokens.

use std::{env, error::Error, fs, path::PathBuf};

#[path = "build/tables.rs"]
mod tables;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=WEIR_BPF_OBJECT");
    println!("cargo::rerun-if-changed=build.rs");
    let object = match env::var_os("WEIR_BPF_OBJECT") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../target/bpf/weir.bpf.o"),
    };
    println!("cargo::rerun-if-changed={}", object.display());
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("weir.bpf.o");
    if object.exists() {
        fs::copy(&object, &embedded)?;
    } else {
        fs::write(&embedded, [])?;
    }
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/llm/tokens/layout.rs");
    for table in tables::all()? {
        fs::write(
            PathBuf::from(env::var("OUT_DIR")?).join(table.name),
            table.bytes,
        )?;
    }
    Ok(())
}
