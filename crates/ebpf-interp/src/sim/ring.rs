//! Ring buffers: space as the kernel counts it, records in order of their reservation.

use super::SimKernel;
use crate::memory::RegionId;
use bpf_syscall::Records;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

/// Bytes of a record's header.
const HEADER: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The program writes it.
    Busy,
    Submitted,
    Discarded,
}

#[derive(Debug)]
struct Record {
    /// Offset of its bytes in the region.
    offset: u32,
    len: u32,
    progress: Progress,
}

/// A ring buffer. Its region is twice its capacity, so that no record is split at the end.
#[derive(Debug)]
pub(crate) struct SimRing {
    pub(crate) region: RegionId,
    pub(crate) capacity: u64,
    pub(crate) produced: u64,
    pub(crate) consumed: u64,
    records: VecDeque<Record>,
}

impl SimRing {
    pub(crate) fn new(region: RegionId, capacity: u64) -> SimRing {
        SimRing { region, capacity, produced: 0, consumed: 0, records: VecDeque::new() }
    }

    /// Space for `len` bytes: their offset in the region, or none if the ring is too full.
    pub(crate) fn reserve(&mut self, len: u64) -> Option<u32> {
        let need = len.checked_add(HEADER)?.checked_next_multiple_of(8)?;
        if need > self.capacity || self.produced - self.consumed > self.capacity - need {
            return None;
        }
        let offset = (self.produced % self.capacity + HEADER) as u32;
        self.produced += need;
        self.records.push_back(Record { offset, len: len as u32, progress: Progress::Busy });
        Some(offset)
    }

    /// Ends the writing of the record at `offset`; `false` if there is none that is being written.
    pub(crate) fn commit(&mut self, offset: u32, discard: bool) -> bool {
        let busy = |record: &&mut Record| record.offset == offset && record.progress == Progress::Busy;
        let Some(record) = self.records.iter_mut().rev().find(busy) else { return false };
        record.progress = if discard { Progress::Discarded } else { Progress::Submitted };
        true
    }

    /// Gives up what a program that trapped was writing.
    pub(crate) fn discard_busy(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.progress == Progress::Busy) {
            record.progress = Progress::Discarded;
        }
    }

    /// The next record that is there to read, as offset and length; discarded ones are skipped.
    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let record = self.records.pop_front_if(|record| record.progress != Progress::Busy)?;
            self.consumed += (u64::from(record.len) + HEADER).next_multiple_of(8);
            if record.progress == Progress::Submitted {
                return Some((record.offset as usize, record.len as usize));
            }
        }
    }
}

/// The consumer's side.
#[derive(Debug)]
pub(crate) struct SimRecords {
    pub(crate) kernel: SimKernel,
    pub(crate) map: usize,
}

impl Records for SimRecords {
    fn consume(&mut self, max: usize, each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> usize {
        let mut record = Vec::new();
        let mut position;
        for count in 0..max {
            // The lock is released before the record is handled: whoever does so uses the kernel.
            {
                let mut state = self.kernel.lock();
                let state = &mut *state;
                let Some(ring) = &mut state.world.maps[self.map].ring else { return count };
                let Some((offset, len)) = ring.next() else { return count };
                position = ring.consumed - (len as u64 + HEADER).next_multiple_of(8);
                record.clear();
                record.extend_from_slice(&state.memory.bytes(ring.region)[offset..offset + len]);
            }
            if each(position, &record).is_break() {
                return count + 1;
            }
        }
        max
    }

    fn position(&self) -> u64 {
        self.kernel.lock().world.maps[self.map].ring.as_ref().map_or(0, |ring| ring.consumed)
    }

    fn available(&self) -> u64 {
        self.kernel.lock().world.maps[self.map].ring.as_ref().map_or(0, |ring| ring.produced - ring.consumed)
    }

    fn capacity(&self) -> u64 {
        self.kernel.lock().world.maps[self.map].ring.as_ref().map_or(0, |ring| ring.capacity)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
