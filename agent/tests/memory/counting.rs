//! An allocator that knows how much of the memory a thread asked for it still has.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one hands everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has; less than none once it frees another's.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted by thread: tests beside it do not disturb.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize, sign: isize) {
    let change = isize::try_from(bytes)
        .unwrap_or(isize::MAX)
        .saturating_mul(sign);
    // A thread that ends frees after its counts are gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get().saturating_add(change));
        PEAK.try_with(|peak| peak.set(peak.get().max(live.get())))
    });
}

// SAFETY: every call is the system's allocator's, with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: `at` came from `alloc` with this layout, which was the system's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as of `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves there are both.
        count(size, 1);
        // SAFETY: as of `dealloc`, and the caller keeps what `realloc` asks for.
        let moved = unsafe { System.realloc(at, layout, size) };
        count(layout.size(), -1);
        moved
    }
}

/// The most that this thread had at one time while it ran `work`, more than before,
/// in bytes.
pub(super) fn peak(work: impl FnOnce()) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get().saturating_sub(before)).unwrap_or(0)
}

#[test]
fn what_is_freed_counts_at_its_peak_only() {
    let most = peak(|| {
        for _ in 0..10 {
            drop(vec![1_u8; 1000]);
        }
        drop(vec![1_u8; 5000]);
    });
    assert_eq!(most, 5000);
}
