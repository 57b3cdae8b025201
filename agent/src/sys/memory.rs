//! The memory of this process, towards the kernel.

/// Gives back to the kernel what nobody uses: what the allocator holds, and the
/// pages of the program, code and tables, that only its start, or a peak, has needed. Takes
/// milliseconds after a large peak: not for a thread that others wait for.
pub fn give_back() {
    give_back_heap();
    give_back_program();
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
fn give_back_program() {
    // SAFETY: the callback takes no pointer of ours and does not unwind. Nothing is
    // loaded or unloaded while it runs.
    #[expect(unsafe_code, reason = "dl_iterate_phdr has no safe wrapper")]
    unsafe {
        libc::dl_iterate_phdr(Some(give_back_object), std::ptr::null_mut());
    }
}

/// Gives back of the program, or of a library that it has loaded, what is as it is in the file.
#[expect(unsafe_code, reason = "it reads what a C library passes")]
unsafe extern "C" fn give_back_object(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: dl_iterate_phdr(3) gives a valid object and its program headers for
    // the time of the call.
    let (base, headers) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, count);
        (object.dlpi_addr, headers)
    };
    // SAFETY: they take no pointer.
    let (kernels, page) = unsafe {
        (
            libc::getauxval(libc::AT_SYSINFO_EHDR),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let Ok(page) = u64::try_from(page) else {
        return 0;
    };
    // The kernel's own (vdso(7)) comes from no file.
    if base == kernels {
        return 0;
    }
    for (start, length) in headers.iter().filter_map(|it| unwritten(base, it, page)) {
        // SAFETY: the range is mapped from a file, privately and without the right
        // to write, so that its pages are as they are in the file and are read
        // from there again (madvise(2), MADV_DONTNEED).
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                length,
                libc::MADV_DONTNEED,
            );
        }
    }
    0
}

/// Where the whole pages of a segment begin that nobody writes to, the loader
/// included (elf(5)), and their length in bytes.
fn unwritten(base: u64, header: &libc::Elf64_Phdr, page: u64) -> Option<(usize, usize)> {
    if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
        return None;
    }
    let from = base.checked_add(header.p_vaddr)?;
    let start = from.checked_next_multiple_of(page)?;
    let end = from.checked_add(header.p_memsz)? / page * page;
    let length = end.checked_sub(start).filter(|length| *length > 0)?;
    Some((start.try_into().ok()?, length.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_loader_has_not_written_is_given_back() {
        let segment = |p_type, p_flags, p_vaddr, p_memsz| libc::Elf64_Phdr {
            p_type,
            p_flags,
            p_offset: 0,
            p_vaddr,
            p_paddr: 0,
            p_filesz: p_memsz,
            p_memsz,
            p_align: 0x1000,
        };
        let (load, r, w, x) = (libc::PT_LOAD, libc::PF_R, libc::PF_W, libc::PF_X);
        for (header, expected) in [
            (segment(load, r, 0, 0x2fff), Some((0x10_0000, 0x2000))),
            (
                segment(load, r | x, 0x3010, 0x5000),
                Some((0x10_4000, 0x4000)),
            ),
            // Data, and what of it the loader closes after it has relocated it.
            (segment(load, r | w, 0x8000, 0x5000), None),
            (segment(libc::PT_GNU_RELRO, r, 0x8000, 0x3000), None),
            // A part of a page.
            (segment(load, r, 0x10, 0x20), None),
        ] {
            assert_eq!(unwritten(0x10_0000, &header, 0x1000), expected);
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
