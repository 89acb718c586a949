//! Maps: values in a region of guest memory, keys beside them.

use super::queue::SimQueue;
use super::ring::SimRing;
use crate::memory::{Access, Memory, RegionId};
use bpf_facts::{EntriesRule, MapFlags, MapType};
use bpf_syscall::{Errno, MapCreate, MapShape, UpdateMode};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Most bytes that a map may hold here.
const MOST: u64 = 1 << 30;

/// A map.
#[derive(Debug)]
pub(crate) struct SimMap {
    pub(crate) name: String,
    pub(crate) shape: MapShape,
    pub(crate) frozen: bool,
    /// Of hash tables: the slot of each key, by key. Deterministic, if not the order of the kernel.
    slots: BTreeMap<Vec<u8>, u32>,
    free: Vec<u32>,
    /// Of hash tables: when each slot was filled, of LRU tables when it was last used; 0 if it is free.
    used: Vec<u64>,
    clock: u64,
    /// Values, [`room`](Self::room) bytes each.
    pub(crate) values: RegionId,
    /// Keys of hash tables, by slot, for callbacks.
    keys: RegionId,
    pub(crate) ring: Option<SimRing>,
    pub(crate) queue: Option<SimQueue>,
}

/// What a type does with keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Array,
    Hash,
    Lru,
    /// None: a ring, a queue, or what is always empty.
    Keyless,
}

fn order(ty: MapType) -> Option<Order> {
    match ty {
        MapType::Array | MapType::PercpuArray | MapType::ProgArray | MapType::ArrayOfMaps => {
            Some(Order::Array)
        }
        MapType::Hash | MapType::PercpuHash | MapType::HashOfMaps => Some(Order::Hash),
        MapType::LruHash | MapType::LruPercpuHash => Some(Order::Lru),
        MapType::Ringbuf | MapType::StackTrace | MapType::Queue | MapType::Stack | MapType::BloomFilter => {
            Some(Order::Keyless)
        }
        _ => None,
    }
}

impl SimMap {
    /// Makes a map in `memory`.
    ///
    /// # Errors
    /// `EINVAL` for sizes the type does not have and types that are not simulated, `E2BIG` beyond a gigabyte.
    pub(crate) fn create(memory: &mut Memory, map: &MapCreate<'_>, n_cpus: u32) -> Result<SimMap, Errno> {
        let order = order(map.ty).ok_or(Errno::EINVAL)?;
        let def = bpf_facts::map_type(map.ty).ok_or(Errno::EINVAL)?;
        let enough = match def.entries {
            EntriesRule::PowerOfTwoPages => map.max_entries.is_power_of_two() && map.max_entries >= 4096,
            EntriesRule::Zero | EntriesRule::Some | EntriesRule::ZeroIsCpus => map.max_entries > 0,
        };
        if !enough || !def.key.allows(map.key_size) || !def.value.allows(map.value_size) {
            return Err(Errno::EINVAL);
        }
        let copies = if map.ty.per_cpu() { n_cpus } else { 1 };
        let shape = MapShape {
            ty: map.ty,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            copies,
        };
        let room = (shape.value_bytes() as u64).next_multiple_of(8);
        let bytes = match order {
            Order::Array => room * u64::from(map.max_entries),
            Order::Keyless => 2 * u64::from(map.max_entries),
            Order::Hash | Order::Lru => 0,
        };
        if bytes > MOST || room * u64::from(map.max_entries) > 1 << 32 {
            return Err(Errno::E2BIG);
        }
        let read_only = map.flags & MapFlags::RDONLY_PROG != 0;
        let access = if read_only { Access::Read } else { Access::ReadWrite };
        let values = memory.add(vec![0; bytes as usize], access);
        let queue = SimQueue::of(map.ty, map.max_entries);
        let ring = (map.ty == MapType::Ringbuf).then(|| SimRing::new(values, map.max_entries.into()));
        Ok(SimMap {
            name: map.name.to_string(),
            shape,
            frozen: false,
            slots: BTreeMap::new(),
            free: Vec::new(),
            used: Vec::new(),
            clock: 0,
            values,
            keys: memory.add(Vec::new(), Access::Read),
            ring,
            queue,
        })
    }

    fn order(&self) -> Order {
        order(self.shape.ty).unwrap_or(Order::Keyless)
    }

    /// Bytes between the values of two slots.
    fn room(&self) -> usize {
        self.shape.value_bytes().next_multiple_of(8)
    }

    /// The slot of `key`.
    pub(crate) fn slot(&mut self, key: &[u8]) -> Option<u32> {
        match self.order() {
            Order::Array => {
                let index = u32::from_le_bytes(*key.first_chunk()?);
                (index < self.shape.max_entries).then_some(index)
            }
            Order::Hash => self.slots.get(key).copied(),
            Order::Lru => {
                let slot = self.slots.get(key).copied()?;
                self.clock += 1;
                self.used[slot as usize] = self.clock;
                Some(slot)
            }
            Order::Keyless => None,
        }
    }

    /// Where the value of `slot` on `cpu` is in the region. Without copies there is one for all CPUs.
    pub(crate) fn offset(&self, slot: u32, cpu: u32) -> u32 {
        let copy = if self.shape.copies > 1 { cpu } else { 0 };
        (slot as usize * self.room() + copy as usize * self.shape.stride()) as u32
    }

    /// The guest's address of a value.
    pub(crate) fn address(&self, memory: &Memory, slot: u32, cpu: u32) -> u64 {
        memory.address(self.values, self.offset(slot, cpu))
    }

    /// All slots in use, each with the guest's address of its key; those of arrays are written to `keys` first.
    pub(crate) fn entries(&self, memory: &mut Memory) -> Vec<(u32, u64)> {
        match self.order() {
            Order::Array => {
                let n = self.shape.max_entries;
                let keys = memory.bytes_mut(self.keys);
                if keys.is_empty() {
                    keys.extend((0..n).flat_map(u32::to_le_bytes));
                }
                (0..n).map(|slot| (slot, memory.address(self.keys, slot * 4))).collect()
            }
            Order::Hash | Order::Lru => {
                let size = self.shape.key_size;
                self.slots.values().map(|slot| (*slot, memory.address(self.keys, slot * size))).collect()
            }
            Order::Keyless => Vec::new(),
        }
    }

    /// A copy of all CPUs' values of `key`, the padding between them zero.
    pub(crate) fn lookup(&mut self, memory: &Memory, key: &[u8]) -> Option<Vec<u8>> {
        let slot = self.slot(key)?;
        let at = self.offset(slot, 0) as usize;
        Some(memory.bytes(self.values)[at..at + self.shape.value_bytes()].to_vec())
    }

    /// Sets the value of `key`: that of one CPU, whose others become zero in a new entry, or with `None` those of all.
    ///
    /// # Errors
    /// `E2BIG` if the map is full or the index too large, `EEXIST` or `ENOENT` as `mode` demands, `EINVAL` if the map
    /// has no keys.
    pub(crate) fn update(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        value: &[u8],
        mode: UpdateMode,
        cpu: Option<u32>,
    ) -> Result<(), Errno> {
        let order = self.order();
        let slot = match (self.slot(key), mode) {
            (Some(_), UpdateMode::Create) => return Err(Errno::EEXIST),
            (Some(slot), UpdateMode::Any | UpdateMode::Replace) => slot,
            (None, _) if order == Order::Array => return Err(Errno::E2BIG),
            (None, _) if order == Order::Keyless => return Err(Errno::EINVAL),
            (None, UpdateMode::Replace) => return Err(Errno::ENOENT),
            (None, UpdateMode::Any | UpdateMode::Create) => self.insert(memory, key)?,
        };
        let at = match cpu {
            Some(cpu) => self.offset(slot, cpu),
            None => self.offset(slot, 0),
        } as usize;
        memory.bytes_mut(self.values)[at..at + value.len()].copy_from_slice(value);
        Ok(())
    }

    /// A slot for a new key, its value zero.
    fn insert(&mut self, memory: &mut Memory, key: &[u8]) -> Result<u32, Errno> {
        if self.slots.len() >= self.shape.max_entries as usize {
            if self.order() != Order::Lru {
                return Err(Errno::E2BIG);
            }
            let oldest = self.slots.iter().min_by_key(|(_, slot)| self.used[**slot as usize]);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return Err(Errno::ENOMEM) };
            self.delete(&oldest);
        }
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.slots.insert(key.to_vec(), slot);
        let (room, n) = (self.room(), slot as usize);
        let place = |bytes: &mut Vec<u8>, room: usize, content: &[u8]| {
            bytes.resize(bytes.len().max((n + 1) * room), 0);
            let slot = &mut bytes[n * room..(n + 1) * room];
            slot.fill(0);
            slot[..content.len()].copy_from_slice(content);
        };
        place(memory.bytes_mut(self.values), room, &[]);
        place(memory.bytes_mut(self.keys), key.len(), key);
        self.clock += 1;
        self.used.resize(self.used.len().max(n + 1), 0);
        self.used[n] = self.clock;
        Ok(slot)
    }

    /// Removes `key`; whether it was there. A value stays readable until its slot is used again, as in the kernel.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let slot = self.slots.remove(key);
        if let Some(slot) = slot {
            self.used[slot as usize] = 0;
            self.free.push(slot);
        }
        slot.is_some()
    }

    /// Whether `slot` holds an entry.
    pub(crate) fn is_live(&self, slot: u32) -> bool {
        match self.order() {
            Order::Array => slot < self.shape.max_entries,
            Order::Hash | Order::Lru => self.used.get(slot as usize).is_some_and(|used| *used > 0),
            Order::Keyless => false,
        }
    }

    /// Whether keys can be removed.
    pub(crate) fn removes(&self) -> bool {
        matches!(self.order(), Order::Hash | Order::Lru) || self.holds_objects()
    }

    /// Whether its values are programs or maps: their numbers, from 1 on.
    pub(crate) fn holds_objects(&self) -> bool {
        matches!(self.shape.ty, MapType::ProgArray | MapType::ArrayOfMaps | MapType::HashOfMaps)
    }

    /// The program or map of `key`.
    pub(crate) fn object(&mut self, memory: &Memory, key: &[u8]) -> Option<usize> {
        let number = self.lookup(memory, key)?;
        (u32::from_le_bytes(*number.first_chunk()?) as usize).checked_sub(1)
    }

    /// The key after `after`, or the first.
    pub(crate) fn next_key(&self, after: Option<&[u8]>) -> Option<Vec<u8>> {
        if self.order() == Order::Array {
            let next = match after.and_then(<[u8]>::first_chunk) {
                Some(bytes) => u32::from_le_bytes(*bytes).checked_add(1)?,
                None => 0,
            };
            return (next < self.shape.max_entries).then(|| next.to_le_bytes().to_vec());
        }
        match after.filter(|key| self.slots.contains_key(*key)) {
            Some(key) => {
                let rest = (Bound::Excluded(key), Bound::Unbounded);
                self.slots.range::<[u8], _>(rest).next().map(|(key, _)| key.clone())
            }
            None => self.slots.keys().next().cloned(),
        }
    }
}
