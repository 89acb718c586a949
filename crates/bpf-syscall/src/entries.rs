//! Reading whole maps: in batches where the kernel has them, key by key elsewhere.

use crate::errno::{Errno, Result};
use crate::fd::MapFd;
use crate::kernel::{BatchOp, Kernel};
use bpf_facts::MapType;

/// Entries asked for at once to begin with, unless they are so large that fewer must do.
const BATCH: usize = 256;
/// Bytes of values asked for at once to begin with: a histogram on many CPUs takes a megabyte.
const BATCH_BYTES: usize = 4 << 20;

/// Calls `each` with every key and value of a map. What is added or removed meanwhile may or may not be seen, and
/// without batches (before 5.6) a concurrent removal may make the walk begin anew, so that entries come twice.
///
/// # Errors
/// As [`Kernel::map_lookup`].
pub fn walk(kernel: &dyn Kernel, map: &MapFd, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
    if in_batches(kernel, map, BatchOp::Lookup, each)? {
        return Ok(());
    }
    one_by_one(kernel, map, each)
}

/// As [`walk`], and removes each entry as it is read: an update is seen either here or in the map afterwards, never
/// in both or neither, where the kernel has batches. For arrays, which nothing can be removed from, this reads only.
///
/// # Errors
/// As [`Kernel::map_lookup`].
pub fn drain(kernel: &dyn Kernel, map: &MapFd, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
    if matches!(map.shape().ty, MapType::Array | MapType::PercpuArray) {
        return walk(kernel, map, each);
    }
    if in_batches(kernel, map, BatchOp::LookupAndDelete, each)? {
        return Ok(());
    }
    let mut keys = Vec::new();
    let size = map.shape().key_size as usize;
    one_by_one(kernel, map, &mut |key, _| keys.extend_from_slice(key))?;
    let mut value = vec![0; map.shape().value_bytes()];
    for key in keys.chunks_exact(size) {
        if take(kernel, map, key, &mut value)? {
            each(key, &value);
        }
    }
    Ok(())
}

/// Removes every entry.
///
/// # Errors
/// As [`Kernel::map_delete`].
pub fn clear(kernel: &dyn Kernel, map: &MapFd) -> Result<()> {
    drain(kernel, map, &mut |_, _| {})
}

/// Reads and removes one entry, in one step where the kernel can (since 5.14), else in two.
fn take(kernel: &dyn Kernel, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
    match kernel.map_lookup_and_delete(map, key, value) {
        Err(error) if lacking(error.errno) => {
            let found = kernel.map_lookup(map, key, value)?;
            Ok(kernel.map_delete(map, key)? && found)
        }
        result => result,
    }
}

/// Whether `errno` is how kernels say that they lack an operation.
fn lacking(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP)
}

/// `false` if the kernel has no batches for this map; nothing has been read then.
fn in_batches(
    kernel: &dyn Kernel,
    map: &MapFd,
    op: BatchOp,
    each: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<bool> {
    let (key_size, value_size) = (map.shape().key_size as usize, map.shape().value_bytes());
    if key_size == 0 || value_size == 0 {
        return Ok(false);
    }
    let mut capacity = BATCH.min(BATCH_BYTES / value_size).min(map.shape().max_entries as usize).max(1);
    let mut keys = vec![0; capacity * key_size];
    let mut values = vec![0; capacity * value_size];
    let mut cursor = Vec::new();
    loop {
        match kernel.map_batch(map, op, &mut cursor, &mut keys, &mut values) {
            Ok(read) => {
                let entries = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size));
                entries.take(read.count).for_each(|(key, value)| each(key, value));
                if read.end {
                    return Ok(true);
                }
            }
            // A bucket of the hash holds more than we offered room for.
            Err(error) if error.errno == Errno::ENOSPC => {
                capacity *= 2;
                keys.resize(capacity * key_size, 0);
                values.resize(capacity * value_size, 0);
            }
            Err(error) if cursor.is_empty() && lacking(error.errno) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn one_by_one(kernel: &dyn Kernel, map: &MapFd, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
    let mut key = vec![0; map.shape().key_size as usize];
    let mut next = key.clone();
    let mut value = vec![0; map.shape().value_bytes()];
    let mut more = kernel.map_next_key(map, None, &mut key)?;
    while more {
        // The successor first: once the caller has removed this key, the kernel would begin anew.
        more = kernel.map_next_key(map, Some(&key), &mut next)?;
        if kernel.map_lookup(map, &key, &mut value)? {
            each(&key, &value);
        }
        std::mem::swap(&mut key, &mut next);
    }
    Ok(())
}
