//! The memory of this process, towards the kernel.

/// Gives what the allocator holds and nobody uses back to the kernel. Takes
/// milliseconds after a large peak: not for a thread that others wait for.
///
/// glibc gives memory back by itself only from the end of its heap, and after
/// thousands of connections some part of it is always in use (malloc_trim(3)).
/// Other C libraries have no such call, and nothing happens there.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes no pointer, and may be called at any time from any thread.
        #[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
