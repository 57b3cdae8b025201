//! The memory of this process, towards the kernel.

use std::fs;

/// Gives back to the kernel what nobody uses: what the allocator holds, and the
/// pages of the program that only its start, or a peak, has needed. Takes
/// milliseconds after a large peak: not for a thread that others wait for.
pub fn give_back() {
    give_back_heap();
    give_back_code();
}

/// glibc gives memory back by itself only from the end of its heap, and after
/// thousands of connections some part of it is always in use (malloc_trim(3)).
/// Other C libraries have no such call, and nothing happens there.
fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes no pointer, and may be called at any time from any thread.
        #[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// What is needed again is found in the page cache, 64 KiB at a time.
fn give_back_code() {
    // Without it nothing is lost.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code_of_file) {
        // SAFETY: the range is mapped from a file, privately and without the right
        // to write, so that its pages are as they are in the file and are read
        // from there again (madvise(2), MADV_DONTNEED).
        #[expect(unsafe_code, reason = "madvise has no safe wrapper")]
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                length,
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// Where the code of a file is mapped, and how much of it, by a line of
/// `/proc/PID/maps` (proc_pid_maps(5)).
fn code_of_file(line: &str) -> Option<(usize, usize)> {
    let mut columns = line.split_ascii_whitespace();
    let (range, rights) = (columns.next()?, columns.next()?);
    let inode: u64 = columns.nth(2)?.parse().ok()?;
    if rights != "r-xp" || inode == 0 {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_that_comes_from_a_file_is_given_back() {
        let code = "55d0c0000000-55d0c0002000 r-xp 00001000 fe:01 1234   /usr/bin/weir";
        assert_eq!(code_of_file(code), Some((0x55d0_c000_0000, 0x2000)));
        for other in [
            // Data of the program after relocation: not as in the file.
            "55d0c0000000-55d0c0002000 r--p 00001000 fe:01 1234   /usr/bin/weir",
            "55d0c0000000-55d0c0002000 rw-p 00001000 fe:01 1234   /usr/bin/weir",
            "7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0      [vdso]",
            "7ffd00000000-7ffd00002000 r-xs 00000000 fe:01 1234   /shared",
            "",
        ] {
            assert_eq!(code_of_file(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_given_back_still_runs() {
        let text = "a".repeat(1 << 20);
        give_back();
        assert_eq!(text.len(), 1 << 20);
        give_back();
    }
}
