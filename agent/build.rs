//! Embeds the eBPF object that `cargo xtask build` makes.
//!
//! Without the object the agent still builds, so that editors and `cargo check`
//! work on a machine without the BPF toolchain; loading then fails with a
//! message that names the remedy.

use std::{env, error::Error, fs, path::PathBuf};

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
    Ok(())
}
