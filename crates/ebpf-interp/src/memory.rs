//! The guest's memory: regions, each with its own bounds.
//!
//! ```text
//!  63        56 55            32 31             0
//! |    0xff    |  region number |     offset     |
//! ```
//!
//! Addresses look like those of a kernel (negative as signed numbers), and no arithmetic on an offset that stays below
//! 2³² leads from one region to another unnoticed: it changes the number, and that region has its own bounds. Whatever
//! the guest makes up, the worst it gets is a [`Fault`].

use std::fmt;

/// High half of the address of region 0.
const FIRST: u32 = 0xff00_0000;

/// Frames a program may have, callbacks included.
pub(crate) const FRAMES: usize = 8;
/// Bytes of a frame.
pub(crate) const STACK: usize = 512;
/// What a new frame holds: not zero, so that programs that rely on it are found.
const STALE: u8 = 0xa5;

/// A region of guest memory. Ids of removed regions are given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionId(u32);

/// What the guest may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    ReadWrite,
}

/// An access that the guest may not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// First byte wanted.
    pub addr: u64,
    /// Bytes wanted.
    pub len: u64,
    /// Whether to write them.
    pub write: bool,
    /// Bytes of the region, if there is one.
    pub size: Option<usize>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { addr, len, write, size } = self;
        let what = if *write { "write" } else { "read" };
        match size {
            None => write!(f, "cannot {what} {len} bytes at {addr:#x}: there is no memory"),
            Some(size) if offset(*addr) as u64 + len <= *size as u64 => {
                write!(f, "cannot write {len} bytes at {addr:#x}: the memory is read-only")
            }
            Some(size) => {
                let at = *addr as u32 as i32;
                write!(f, "cannot {what} {len} bytes at offset {at} of {size} bytes of memory")
            }
        }
    }
}

#[derive(Debug, Default)]
struct Region {
    bytes: Vec<u8>,
    writable: bool,
}

/// All memory of a guest. The stack's frames are in it from the beginning, empty while not in use.
#[derive(Debug)]
pub struct Memory {
    regions: Vec<Region>,
    free: Vec<RegionId>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

fn number(addr: u64) -> usize {
    ((addr >> 32) as u32).wrapping_sub(FIRST) as usize
}

fn offset(addr: u64) -> usize {
    addr as u32 as usize
}

impl Memory {
    /// With nothing in it.
    pub fn new() -> Memory {
        let frame = || Region { bytes: Vec::with_capacity(STACK), writable: true };
        Memory { regions: (0..FRAMES).map(|_| frame()).collect(), free: Vec::new() }
    }

    /// Gives the guest `bytes`. At most 2³² are reachable, and 2²³ regions.
    pub fn add(&mut self, bytes: Vec<u8>, access: Access) -> RegionId {
        let region = Region { bytes, writable: access == Access::ReadWrite };
        if let Some(id) = self.free.pop() {
            self.regions[id.0 as usize] = region;
            return id;
        }
        self.regions.push(region);
        RegionId((self.regions.len() - 1) as u32)
    }

    /// Takes a region away and returns what was in it.
    pub fn remove(&mut self, region: RegionId) -> Vec<u8> {
        self.free.push(region);
        std::mem::take(&mut self.regions[region.0 as usize]).bytes
    }

    /// The guest's address of a byte of a region.
    pub fn address(&self, region: RegionId, offset: u32) -> u64 {
        u64::from(FIRST + region.0) << 32 | u64::from(offset)
    }

    /// A region's bytes, for the host: access rights do not matter.
    pub fn bytes(&self, region: RegionId) -> &[u8] {
        &self.regions[region.0 as usize].bytes
    }

    /// As [`bytes`](Self::bytes), to change them or how many there are.
    pub fn bytes_mut(&mut self, region: RegionId) -> &mut Vec<u8> {
        &mut self.regions[region.0 as usize].bytes
    }

    /// The `len` bytes at `addr`, as the guest reads them. None are everywhere.
    ///
    /// # Errors
    /// If they are not all there.
    pub fn read(&self, addr: u64, len: usize) -> Result<&[u8], Fault> {
        if len == 0 {
            return Ok(&[]);
        }
        let region = self.regions.get(number(addr));
        region
            .and_then(|region| region.bytes.get(offset(addr)..)?.get(..len))
            .ok_or_else(|| self.fault(addr, len, false))
    }

    /// The `len` bytes at `addr`, as the guest writes them.
    ///
    /// # Errors
    /// If they are not all there, or not writable.
    pub fn write(&mut self, addr: u64, len: usize) -> Result<&mut [u8], Fault> {
        if len == 0 {
            return Ok(&mut []);
        }
        let fault = self.fault(addr, len, true);
        let region = self.regions.get_mut(number(addr)).filter(|region| region.writable);
        region.and_then(|region| region.bytes.get_mut(offset(addr)..)?.get_mut(..len)).ok_or(fault)
    }

    /// Writes `bytes` at `addr` for the host: access rights do not matter. Whether there is room for all of them.
    pub fn overwrite(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let region = self.regions.get_mut(number(addr));
        let to = region.and_then(|region| region.bytes.get_mut(offset(addr)..)?.get_mut(..bytes.len()));
        to.map(|to| to.copy_from_slice(bytes)).is_some()
    }

    /// What there is at `addr` and after it; nothing outside of the guest's memory.
    pub(crate) fn after(&self, addr: u64) -> &[u8] {
        self.regions.get(number(addr)).and_then(|region| region.bytes.get(offset(addr)..)).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn load<const N: usize>(&self, addr: u64) -> Result<[u8; N], Fault> {
        let region = self.regions.get(number(addr));
        match region.and_then(|region| region.bytes.get(offset(addr)..)?.first_chunk::<N>()) {
            Some(bytes) => Ok(*bytes),
            None => Err(self.fault(addr, N, false)),
        }
    }

    #[inline]
    pub(crate) fn store<const N: usize>(&mut self, addr: u64, bytes: [u8; N]) -> Result<(), Fault> {
        if let Some(region) = self.regions.get_mut(number(addr))
            && region.writable
            && let Some(to) =
                region.bytes.get_mut(offset(addr)..).and_then(|rest| rest.first_chunk_mut::<N>())
        {
            *to = bytes;
            return Ok(());
        }
        Err(self.fault(addr, N, true))
    }

    #[cold]
    fn fault(&self, addr: u64, len: usize, write: bool) -> Fault {
        // A frame that is not in use is no memory.
        let region = self.regions.get(number(addr)).filter(|region| !region.bytes.is_empty());
        Fault { addr, len: len as u64, write, size: region.map(|region| region.bytes.len()) }
    }

    /// Makes frame `depth` usable; returns the address of its end, which is what `r10` holds.
    pub(crate) fn enter_frame(&mut self, depth: usize) -> u64 {
        let bytes = &mut self.regions[depth].bytes;
        bytes.clear();
        bytes.resize(STACK, STALE);
        self.address(RegionId(depth as u32), STACK as u32)
    }

    /// The bytes of frame `depth`.
    pub(crate) fn frame(&self, depth: usize) -> &[u8] {
        &self.regions[depth].bytes
    }

    pub(crate) fn leave_frame(&mut self, depth: usize) {
        self.regions[depth].bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_its_own_bounds() {
        let mut memory = Memory::new();
        let a = memory.add(vec![1, 2, 3, 4], Access::Read);
        let b = memory.add(vec![5; 8], Access::ReadWrite);
        let (at_a, at_b) = (memory.address(a, 0), memory.address(b, 4));
        assert_eq!(memory.read(at_a + 1, 3), Ok(&[2, 3, 4][..]));
        assert_eq!(memory.load::<4>(at_b), Ok([5; 4]));
        assert_eq!(memory.store(at_b, [7; 4]), Ok(()));
        assert_eq!(memory.bytes(b), [5, 5, 5, 5, 7, 7, 7, 7]);
        let said = |fault: Fault| fault.to_string();
        assert_eq!(
            said(memory.load::<4>(at_a + 1).unwrap_err()),
            "cannot read 4 bytes at offset 1 of 4 bytes of memory"
        );
        assert_eq!(
            said(memory.load::<1>(at_a.wrapping_sub(1)).unwrap_err()),
            "cannot read 1 bytes at 0xff000007ffffffff: there is no memory"
        );
        assert_eq!(
            said(memory.store(at_a, [0]).unwrap_err()),
            "cannot write 1 bytes at 0xff00000800000000: the memory is read-only"
        );
        assert_eq!(memory.read(0, 8).unwrap_err().size, None);
        assert_eq!(memory.read(u64::MAX, 8).unwrap_err().size, None);
    }

    #[test]
    fn frames_are_memory_only_while_in_use() {
        let mut memory = Memory::new();
        let end = memory.enter_frame(3);
        assert_eq!(memory.store(end - 8, [1; 8]), Ok(()));
        assert!(memory.store(end - 7, [1; 8]).is_err());
        assert!(memory.load::<1>(end - 513).is_err());
        memory.leave_frame(3);
        assert!(memory.load::<8>(end - 8).is_err());
    }
}
