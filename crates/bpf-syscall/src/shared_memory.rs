//! Memory that the kernel and we have in common.

#![expect(unsafe_code, reason = "shared memory")]

use crate::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}

/// A piece of shared memory, page-aligned, mapped until dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to the process, not to a thread, and is accessed by atomics or while the kernel leaves
// it alone.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of what `fd` offers, from `offset` on.
    pub(crate) fn new(fd: impl AsFd, prot: ProtFlags, offset: usize, len: usize) -> Result<Mapping, Errno> {
        let length = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no existing memory.
        let base = unsafe { mmap(None, length, prot, MapFlags::MAP_SHARED, fd, offset) }?;
        Ok(Mapping { base: base.cast(), len })
    }

    /// The counter at offset `at`, a multiple of 8.
    pub(crate) fn atomic_u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(size_of::<u64>()) && at + size_of::<u64>() <= self.len);
        // SAFETY: within the mapping by the line above.
        let word = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: aligned and in bounds by the assertion, lives as long as self; both sides access it atomically.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// The word at offset `at`, a multiple of 4.
    pub(crate) fn atomic_u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(size_of::<u32>()) && at + size_of::<u32>() <= self.len);
        // SAFETY: within the mapping by the line above.
        let word = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: aligned and in bounds by the assertion, lives as long as self; both sides access it atomically.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }

    /// The `len` bytes at offset `at`. The caller has seen that their producer is done with them.
    pub(crate) fn bytes(&self, at: usize, len: usize) -> &[u8] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: within the mapping by the line above.
        let first = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: in bounds; the kernel writes a committed record again only once the consumer's position has
        // passed it, which happens after the borrow of self has ended.
        unsafe { std::slice::from_raw_parts(first, len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and len are those of one mmap call, and nothing borrows from self any more.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}
