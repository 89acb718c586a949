//! Maps without keys that values are put into: queues, stacks and sets.

use bpf_facts::MapType;
use bpf_syscall::Errno;
use std::collections::VecDeque;

/// `BPF_EXIST`: make room for the new value.
const REPLACE: u64 = 2;

/// The values of such a map, oldest first.
#[derive(Debug)]
pub(crate) struct SimQueue {
    ty: MapType,
    most: usize,
    values: VecDeque<Vec<u8>>,
}

impl SimQueue {
    /// An empty one; `None` for maps of other types.
    pub(crate) fn of(ty: MapType, most: u32) -> Option<SimQueue> {
        let ours = matches!(ty, MapType::Queue | MapType::Stack | MapType::BloomFilter);
        ours.then(|| SimQueue { ty, most: most as usize, values: VecDeque::new() })
    }

    /// Adds a value. A set takes any number, and each once: where the kernel's is now and then wrong, this is right.
    ///
    /// # Errors
    /// `E2BIG` if it is full and nothing may go, `EINVAL` for flags that it does not have.
    pub(crate) fn push(&mut self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if self.ty == MapType::BloomFilter {
            if flags != 0 {
                return Err(Errno::EINVAL);
            }
            if !self.values.iter().any(|known| known == value) {
                self.values.push_back(value.to_vec());
            }
            return Ok(());
        }
        if !matches!(flags, 0 | REPLACE) {
            return Err(Errno::EINVAL);
        }
        if self.values.len() >= self.most {
            if flags != REPLACE {
                return Err(Errno::E2BIG);
            }
            self.values.pop_front();
        }
        self.values.push_back(value.to_vec());
        Ok(())
    }

    /// The next value, which stays.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        let next = if self.ty == MapType::Stack { self.values.back() } else { self.values.front() };
        next.filter(|_| !self.is_set()).map(Vec::as_slice)
    }

    /// The next value, which goes.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        match self.ty {
            MapType::BloomFilter => None,
            MapType::Stack => self.values.pop_back(),
            _ => self.values.pop_front(),
        }
    }

    /// Whether it can only be asked for values.
    pub(crate) fn is_set(&self) -> bool {
        self.ty == MapType::BloomFilter
    }

    /// Whether the set has `value`.
    pub(crate) fn has(&self, value: &[u8]) -> bool {
        self.values.iter().any(|known| known == value)
    }
}
