//! However much is sent, little of it is kept: what each reader holds at its worst,
//! in bytes, whoever tries.

mod bombs;
mod counting;
mod endless;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// Fails if `work` holds more than `bound` bytes at one time.
fn holds(what: &str, bound: usize, work: impl FnOnce()) {
    let most = counting::peak(work);
    assert!(most <= bound, "{what}: {most} bytes, more than {bound}");
    // Shown with --nocapture; bounds far above are no bounds.
    println!("{what}: {most} of {bound}");
}
