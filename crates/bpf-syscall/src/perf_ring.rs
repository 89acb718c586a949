//! The ring of a perf event: records that the kernel writes and we read.
//!
//! One page that both sides know (`struct perf_event_mmap_page`, include/uapi/linux/perf_event.h), then the data, a power
//! of two of pages. A record may go over the end of the data and on at its beginning.

use crate::errno::{Result, SysError};
use crate::fd::PerfFd;
use crate::shared_memory::{Mapping, page_size};
use nix::sys::mman::ProtFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

/// Offset of `data_head`: how far the kernel has written.
const HEAD: usize = 1024;
/// Offset of `data_tail`: how far we have read.
const TAIL: usize = 1032;
/// Bytes of a record's header: type, flags, size.
const HEADER: usize = 8;

/// A perf event and its ring.
#[derive(Debug)]
pub(crate) struct PerfRing {
    event: PerfFd,
    memory: Mapping,
    page: usize,
    size: usize,
}

impl PerfRing {
    /// Maps a ring of `pages` pages, a power of two.
    ///
    /// # Errors
    /// `EPERM` or `ENOMEM` at the limits of locked memory; `EINVAL` where the event can have no ring.
    pub(crate) fn open(event: PerfFd, pages: usize) -> Result<PerfRing> {
        let page = page_size();
        let size = pages * page;
        let memory =
            Mapping::new(event.as_fd(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0, page + size)
                .map_err(|errno| SysError::new("mmap", "ring of a perf event", errno))?;
        Ok(PerfRing { event, memory, page, size })
    }

    /// What to wait on.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Takes all records that are there, headers and all.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let head = self.memory.atomic_u64(HEAD).load(Ordering::Acquire);
        let mut tail = self.memory.atomic_u64(TAIL).load(Ordering::Relaxed);
        let mut record = Vec::new();
        while tail < head {
            self.copy(tail, HEADER, &mut record);
            let size = usize::from(u16::from_le_bytes([record[6], record[7]]));
            if size < HEADER {
                // No record is so short: what is left cannot be told apart.
                tail = head;
                break;
            }
            self.copy(tail, size, &mut record);
            each(&record);
            tail += size as u64;
        }
        self.memory.atomic_u64(TAIL).store(tail, Ordering::Release);
    }

    /// Copies `len` bytes from `position` on.
    fn copy(&self, position: u64, len: usize, out: &mut Vec<u8>) {
        let at = (position % self.size as u64) as usize;
        let first = len.min(self.size - at);
        out.clear();
        out.extend_from_slice(self.memory.bytes(self.page + at, first));
        out.extend_from_slice(self.memory.bytes(self.page, len - first));
    }
}
