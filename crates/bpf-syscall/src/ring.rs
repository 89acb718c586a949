//! Rings that the kernel fills and we empty, in shared memory.
//!
//! The layout of a BPF ring buffer map (`kernel/bpf/ringbuf.c`): one page with the consumer's position, which we
//! write; one page with the producer's position and then the data, mapped twice in a row so that no record is ever
//! split, all of which we only read.
//!
//! ```text
//!  consumer page (rw)   producer page (ro)   data (ro)          the same data again (ro)
//! | consumer_pos  …   | producer_pos …     | hdr rec hdr rec … | hdr rec …            |
//! ```

use crate::errno::{Errno, Result, SysError};
use crate::fd::MapFd;
use crate::kernel::Records;
use crate::shared_memory::{Mapping, page_size};
use nix::sys::mman::ProtFlags;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Set in a record's length while the producer writes it.
const BUSY: u32 = 1 << 31;
/// Set in a record's length if the producer gave it up.
const DISCARDED: u32 = 1 << 30;
/// Bytes of a record's header: length and flags, and an offset that only the kernel uses.
const HEADER: u64 = 8;

/// The consumer's side of a `BPF_MAP_TYPE_RINGBUF` (since 5.8). Dropping it unmaps the memory; the map lives on.
///
/// A map may have one consumer at a time: two would each miss what the other took.
#[derive(Debug)]
pub struct BpfRing {
    map: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: u64,
}

impl BpfRing {
    /// Maps the ring of `map`.
    ///
    /// # Errors
    /// `EINVAL` if it is none; `ENOMEM`, `EPERM` or `EAGAIN` if it cannot be mapped.
    pub fn open(map: &MapFd) -> Result<BpfRing> {
        let failed = |errno| {
            let error = SysError::new("mmap", format!("ring buffer {}", map.name()), errno);
            match errno {
                Errno::ENOMEM | Errno::EAGAIN => error.with_hint(
                    "the ring is too large for this process's limits (ulimit -v); make it smaller with perf_rb_pages",
                ),
                _ => error,
            }
        };
        let page = page_size();
        let size = map.shape().max_entries as usize;
        if size == 0 || !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(failed(Errno::EINVAL));
        }
        let consumer =
            Mapping::new(map, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0, page).map_err(failed)?;
        let producer = Mapping::new(map, ProtFlags::PROT_READ, page, page + 2 * size).map_err(failed)?;
        let fd = map.as_fd().try_clone_to_owned().map_err(|error| failed(Errno::of(&error)))?;
        Ok(BpfRing { map: fd, consumer, producer, page, size: size as u64 })
    }

    fn consumer_position(&self) -> &AtomicU64 {
        self.consumer.atomic_u64(0)
    }

    fn producer_position(&self) -> &AtomicU64 {
        self.producer.atomic_u64(0)
    }

    /// The header of the record at `position`.
    fn header(&self, position: u64) -> &AtomicU32 {
        let at = self.page + (position & (self.size - 1)) as usize;
        self.producer.atomic_u32(at)
    }

    /// The `len` bytes after the header at `position`.
    fn record(&self, position: u64, len: usize) -> &[u8] {
        let at = self.page + (position & (self.size - 1)) as usize + HEADER as usize;
        self.producer.bytes(at, len)
    }
}

impl Records for BpfRing {
    fn consume(&mut self, max: usize, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> usize {
        /// Space is handed back at least this often, as a share of the ring, so that a long batch does not starve
        /// the producers.
        const SHARE: u64 = 4;
        let mut position = self.consumer_position().load(Ordering::Relaxed);
        let mut handed_back = position;
        let mut count = 0;
        loop {
            let produced = self.producer_position().load(Ordering::Acquire);
            let before = position;
            let mut stop = false;
            while position < produced && count < max && !stop {
                let header = self.header(position).load(Ordering::Acquire);
                if header & BUSY != 0 {
                    break;
                }
                let len = header & !DISCARDED;
                if header & DISCARDED == 0 {
                    count += 1;
                    stop = each(position, self.record(position, len as usize)).is_break();
                }
                position += (u64::from(len) + HEADER).next_multiple_of(8);
                if position - handed_back > self.size / SHARE {
                    self.consumer_position().store(position, Ordering::Release);
                    handed_back = position;
                }
            }
            self.consumer_position().store(position, Ordering::Release);
            handed_back = position;
            if stop || count >= max || position == before {
                return count;
            }
            // A producer that finds us caught up wakes us; one that does not, does not. So the position must be
            // visible to it before we look a last time whether there is more.
            fence(Ordering::SeqCst);
        }
    }

    fn position(&self) -> u64 {
        self.consumer_position().load(Ordering::Relaxed)
    }

    fn available(&self) -> u64 {
        let consumed = self.consumer_position().load(Ordering::Relaxed);
        self.producer_position().load(Ordering::Acquire).saturating_sub(consumed)
    }

    fn capacity(&self) -> u64 {
        self.size
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.map.as_fd())
    }
}
