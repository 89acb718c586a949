//! Reading, taking, clearing and zeroing the script's maps.

use crate::error::RunError;
use crate::render::table::Entries;
use crate::value::{part, set_word, word};
use bpf_syscall::{Kernel, MapFd, UpdateMode};
use hark_object::{MapDef, Then, Ty, UserMap};
use std::collections::HashMap;

/// The contents of a map at one moment, aggregations merged over CPUs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    keys: Vec<u8>,
    values: Vec<u8>,
    n: usize,
    /// Whether a map without keys has ever been assigned.
    assigned: bool,
}

impl Snapshot {
    /// For printing. A map without keys that was never assigned counts as one entry of zero.
    pub fn entries<'a>(&'a self, def: &'a MapDef, map: &'a UserMap) -> Entries<'a> {
        Entries { name: &def.name, map, keys: &self.keys, values: &self.values, n: self.n }
    }

    /// Whether there is something that the script put there.
    pub fn is_assigned(&self) -> bool {
        self.assigned
    }
}

/// Whether a map that was never assigned has nothing to print, not even a zero.
pub(crate) fn is_chart(map: &UserMap) -> bool {
    use hark_object::agg::Agg;
    matches!(map.value, Ty::Agg(Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Tseries { .. }))
}

/// A map of the script in the kernel.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    /// The kernel.
    pub kernel: &'a dyn Kernel,
    /// Its definition.
    pub def: &'a MapDef,
    /// Its types.
    pub map: &'a UserMap,
    /// Its descriptor.
    pub fd: &'a MapFd,
    /// The generation that programs write to, if the map keeps them apart.
    pub generation: u64,
}

impl Table<'_> {
    fn failed(&self, error: bpf_syscall::SysError) -> RunError {
        RunError::Map { name: self.def.name.clone(), error }
    }

    fn value_size(&self) -> usize {
        self.map.value.layout().size as usize
    }

    /// Bytes of a key as the script knows it.
    fn key_size(&self) -> usize {
        self.map.key.as_ref().map_or(0, |key| key.layout().size as usize)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Names the map.
    pub fn read(&self) -> Result<Snapshot, RunError> {
        if self.map.key.is_none() { self.read_scalar(self.generation) } else { self.collect(&mut |_| true) }
    }

    /// All that was written before this moment, once every program that was running then has ended. It belongs to the
    /// caller afterwards: it is out of the map, or zero there. `next` has programs write to a generation.
    ///
    /// # Errors
    /// Names the map.
    pub fn take(
        &self,
        then: Then,
        next: &mut dyn FnMut(u64) -> Result<(), RunError>,
    ) -> Result<Snapshot, RunError> {
        let now = self.generation + 1;
        next(now)?;
        self.kernel.wait_for_programs().map_err(|error| self.failed(error))?;
        if self.map.key.is_none() {
            let snapshot = self.read_scalar(self.generation)?;
            self.reset_scalar(self.generation)?;
            return Ok(snapshot);
        }
        let at = self.map.generation_offset() as usize;
        let mut taken = Vec::new();
        let snapshot = self.collect(&mut |key| {
            let old = word(key, at) < now;
            if old {
                taken.extend_from_slice(key);
            }
            old
        })?;
        let zero = vec![0; self.fd.shape().value_bytes()];
        for key in taken.chunks_exact_mut(self.fd.shape().key_size as usize) {
            self.kernel.map_delete(self.fd, key).map_err(|error| self.failed(error))?;
            if then == Then::Zero {
                set_word(key, at, now);
                match self.kernel.map_update(self.fd, key, &zero, UpdateMode::Create) {
                    // A program has been there meanwhile.
                    Err(error) if error.errno == bpf_syscall::Errno::EEXIST => {}
                    result => result.map_err(|error| self.failed(error))?,
                }
            }
        }
        Ok(snapshot)
    }

    /// Index of the value of a generation of a map without keys.
    fn index(&self, generation: u64) -> [u8; 4] {
        let index = if self.map.generations { (generation & 1) as u32 } else { 0 };
        index.to_le_bytes()
    }

    fn read_scalar(&self, generation: u64) -> Result<Snapshot, RunError> {
        let value = self.value_of(&self.index(generation))?;
        let presence = self.map.presence_offset() as usize;
        let mut snapshot = Snapshot { n: 1, ..Snapshot::default() };
        snapshot.assigned = self.cpus(&value).any(|cpu| word(cpu, presence) != 0);
        self.merge_cpus(&value, &mut snapshot.values);
        Ok(snapshot)
    }

    /// The value of a key on all CPUs; zero if there is none.
    fn value_of(&self, key: &[u8]) -> Result<Vec<u8>, RunError> {
        let mut value = vec![0; self.fd.shape().value_bytes()];
        self.kernel.map_lookup(self.fd, key, &mut value).map_err(|error| self.failed(error))?;
        Ok(value)
    }

    /// Makes the value of a generation of a map without keys one that was never assigned.
    fn reset_scalar(&self, generation: u64) -> Result<(), RunError> {
        let zero = vec![0; self.fd.shape().value_bytes()];
        let index = self.index(generation);
        self.kernel.map_update(self.fd, &index, &zero, UpdateMode::Any).map_err(|error| self.failed(error))
    }

    /// The entries whose whole key `wanted` accepts; of several generations of one key, all together.
    fn collect(&self, wanted: &mut dyn FnMut(&[u8]) -> bool) -> Result<Snapshot, RunError> {
        let (key_size, value_size) = (self.key_size(), self.value_size());
        let mut snapshot = Snapshot::default();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        bpf_syscall::walk(self.kernel, self.fd, &mut |whole, value| {
            if !wanted(whole) {
                return;
            }
            let key = part(whole, 0, key_size as u32);
            if self.map.generations {
                if let Some(i) = known.get(key) {
                    let mut more = Vec::new();
                    self.merge_cpus(value, &mut more);
                    self.add_to(&mut snapshot.values[i * value_size..(i + 1) * value_size], &more);
                    return;
                }
                known.insert(key.to_vec(), snapshot.n);
            }
            snapshot.keys.extend_from_slice(key);
            self.merge_cpus(value, &mut snapshot.values);
            snapshot.n += 1;
        })
        .map_err(|error| self.failed(error))?;
        snapshot.assigned = snapshot.n > 0;
        Ok(snapshot)
    }

    /// Adds the value of another generation to `into`.
    fn add_to(&self, into: &mut [u8], value: &[u8]) {
        match &self.map.value {
            Ty::Agg(agg) => agg.merge(into, value),
            _ => into.copy_from_slice(value),
        }
    }

    /// Reads one entry, aggregations merged over CPUs; zero if there is none.
    ///
    /// # Errors
    /// Names the map.
    pub fn entry(&self, key: &[u8]) -> Result<Vec<u8>, RunError> {
        let mut whole = key.to_vec();
        whole.resize(self.fd.shape().key_size as usize, 0);
        if self.map.generations {
            set_word(&mut whole, self.map.generation_offset() as usize, self.generation);
        }
        let mut merged = Vec::new();
        self.merge_cpus(&self.value_of(&whole)?, &mut merged);
        Ok(merged)
    }

    fn cpus<'v>(&self, value: &'v [u8]) -> std::slice::ChunksExact<'v, u8> {
        value.chunks_exact(self.fd.shape().stride().max(1))
    }

    /// Appends the value that the CPUs' values make together.
    fn merge_cpus(&self, value: &[u8], out: &mut Vec<u8>) {
        let size = self.value_size();
        let from = out.len();
        out.resize(from + size, 0);
        let mut cpus = self.cpus(value).map(|cpu| part(cpu, 0, size as u32));
        match &self.map.value {
            Ty::Agg(agg) => cpus.for_each(|cpu| agg.merge(&mut out[from..], cpu)),
            // Values that are no aggregations are kept once, whatever the type of the map; of per-CPU maps the script
            // sees the CPU it runs on, and we show the first that was written.
            _ => {
                let first = cpus.find(|cpu| cpu.iter().any(|b| *b != 0)).unwrap_or(&[]);
                out[from..from + first.len()].copy_from_slice(first);
            }
        }
    }

    /// Removes every entry; a map without keys counts as never assigned again.
    ///
    /// # Errors
    /// Names the map.
    pub fn clear(&self) -> Result<(), RunError> {
        if self.map.key.is_some() {
            return bpf_syscall::clear(self.kernel, self.fd).map_err(|error| self.failed(error));
        }
        self.reset_scalar(self.generation)
    }

    /// Sets every value to zero and keeps the keys.
    ///
    /// # Errors
    /// Names the map.
    pub fn zero(&self) -> Result<(), RunError> {
        if self.map.key.is_none() {
            let index = self.index(self.generation);
            let mut value = self.value_of(&index)?;
            let presence = self.map.presence_offset() as usize;
            value.chunks_exact_mut(self.fd.shape().stride()).for_each(|cpu| {
                let end = presence.min(cpu.len());
                cpu[..end].fill(0);
            });
            return self
                .kernel
                .map_update(self.fd, &index, &value, UpdateMode::Any)
                .map_err(|error| self.failed(error));
        }
        let mut keys = Vec::new();
        bpf_syscall::walk(self.kernel, self.fd, &mut |key, _| keys.extend_from_slice(key))
            .map_err(|error| self.failed(error))?;
        let zero = vec![0; self.fd.shape().value_bytes()];
        for key in keys.chunks_exact(self.fd.shape().key_size.max(1) as usize) {
            match self.kernel.map_update(self.fd, key, &zero, UpdateMode::Replace) {
                // The script has deleted it meanwhile.
                Err(error) if error.errno == bpf_syscall::Errno::ENOENT => {}
                result => result.map_err(|error| self.failed(error))?,
            }
        }
        Ok(())
    }
}
