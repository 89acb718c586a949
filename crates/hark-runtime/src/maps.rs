//! Reading, clearing and zeroing the script's maps.

use crate::error::RunError;
use crate::render::table::Entries;
use crate::value::{part, word};
use bpf_syscall::{Kernel, MapFd, UpdateMode};
use hark_object::{MapDef, Ty, UserMap};

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

/// Reads a map.
///
/// # Errors
/// Names the map.
pub fn read(kernel: &dyn Kernel, def: &MapDef, map: &UserMap, fd: &MapFd) -> Result<Snapshot, RunError> {
    let failed = |error| RunError::Map { name: def.name.clone(), error };
    let mut snapshot = Snapshot::default();
    if map.key.is_none() {
        let mut value = vec![0; fd.shape().value_bytes()];
        kernel.map_lookup(fd, &[0; 4], &mut value).map_err(failed)?;
        let presence = map.presence_offset() as usize;
        snapshot.assigned = value.chunks_exact(fd.shape().stride()).any(|cpu| word(cpu, presence) != 0);
        merge_cpus(map, fd, &value, &mut snapshot.values);
        snapshot.n = 1;
        return Ok(snapshot);
    }
    bpf_syscall::walk(kernel, fd, &mut |key, value| {
        snapshot.keys.extend_from_slice(key);
        merge_cpus(map, fd, value, &mut snapshot.values);
        snapshot.n += 1;
    })
    .map_err(failed)?;
    snapshot.assigned = snapshot.n > 0;
    Ok(snapshot)
}

/// Reads one entry; zero if there is none.
///
/// # Errors
/// Names the map.
pub(crate) fn read_entry(
    kernel: &dyn Kernel,
    def: &MapDef,
    map: &UserMap,
    fd: &MapFd,
    key: &[u8],
) -> Result<Vec<u8>, RunError> {
    let mut value = vec![0; fd.shape().value_bytes()];
    let mut padded = key.to_vec();
    padded.resize(fd.shape().key_size as usize, 0);
    kernel
        .map_lookup(fd, &padded, &mut value)
        .map_err(|error| RunError::Map { name: def.name.clone(), error })?;
    let mut merged = Vec::new();
    merge_cpus(map, fd, &value, &mut merged);
    Ok(merged)
}

/// Appends the value that the CPUs' values make together.
fn merge_cpus(map: &UserMap, fd: &MapFd, value: &[u8], out: &mut Vec<u8>) {
    let size = map.value.layout().size as usize;
    let stride = fd.shape().stride().max(1);
    let from = out.len();
    out.resize(from + size, 0);
    let mut cpus = value.chunks_exact(stride).map(|cpu| part(cpu, 0, size as u32));
    match &map.value {
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
pub fn clear(kernel: &dyn Kernel, def: &MapDef, map: &UserMap, fd: &MapFd) -> Result<(), RunError> {
    let failed = |error| RunError::Map { name: def.name.clone(), error };
    if map.key.is_some() {
        return bpf_syscall::clear(kernel, fd).map_err(failed);
    }
    let zero = vec![0; fd.shape().value_bytes()];
    kernel.map_update(fd, &[0; 4], &zero, UpdateMode::Any).map_err(failed)
}

/// Sets every value to zero and keeps the keys.
///
/// # Errors
/// Names the map.
pub fn zero(kernel: &dyn Kernel, def: &MapDef, map: &UserMap, fd: &MapFd) -> Result<(), RunError> {
    let failed = |error| RunError::Map { name: def.name.clone(), error };
    if map.key.is_none() {
        let mut value = vec![0; fd.shape().value_bytes()];
        kernel.map_lookup(fd, &[0; 4], &mut value).map_err(failed)?;
        let presence = map.presence_offset() as usize;
        value.chunks_exact_mut(fd.shape().stride()).for_each(|cpu| {
            let end = presence.min(cpu.len());
            cpu[..end].fill(0);
        });
        return kernel.map_update(fd, &[0; 4], &value, UpdateMode::Any).map_err(failed);
    }
    let mut keys = Vec::new();
    bpf_syscall::walk(kernel, fd, &mut |key, _| keys.extend_from_slice(key)).map_err(failed)?;
    let zero = vec![0; fd.shape().value_bytes()];
    for key in keys.chunks_exact(fd.shape().key_size.max(1) as usize) {
        match kernel.map_update(fd, key, &zero, UpdateMode::Replace) {
            // The script has deleted it meanwhile.
            Err(error) if error.errno == bpf_syscall::Errno::ENOENT => {}
            result => result.map_err(failed)?,
        }
    }
    Ok(())
}
