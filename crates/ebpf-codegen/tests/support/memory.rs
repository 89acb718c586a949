//! Memory and helpers as both machines see them. An address is a region number in the upper half (odd enough not to
//! be met by chance) and an offset.

use std::collections::HashMap;

/// Region of the context.
pub const CTX: u32 = 0x5eed_0001;
/// Region of the scratch map's value.
pub const SCRATCH: u32 = 0x5eed_0002;
/// Region of the value of the array map `m3`.
pub const ARRAY: u32 = 0x5eed_0003;
/// First region of slots, or of stack frames.
pub const FRAMES: u32 = 0x5eed_0010;

/// Something a machine cannot do: an access out of bounds, endless running.
pub type Trap = String;

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Returned value.
    pub result: u64,
    /// Calls that others can see, with their arguments.
    pub log: Vec<(u32, Vec<u64>)>,
    /// The array map's value.
    pub array: Vec<u8>,
}

#[derive(Default)]
pub struct World {
    regions: HashMap<u32, Vec<u8>>,
    pub log: Vec<(u32, Vec<u64>)>,
}

pub fn address(region: u32, off: u32) -> u64 {
    u64::from(region) << 32 | u64::from(off)
}

impl World {
    pub fn new(ctx: &[u8]) -> Self {
        let mut world = World::default();
        world.add(CTX, ctx.to_vec());
        world.add(SCRATCH, vec![0xaa; 32 << 10]);
        world.add(ARRAY, vec![0; 64]);
        world
    }

    pub fn add(&mut self, region: u32, bytes: Vec<u8>) {
        self.regions.insert(region, bytes);
    }

    pub fn remove(&mut self, region: u32) {
        self.regions.remove(&region);
    }

    pub fn outcome(mut self, result: u64) -> Outcome {
        Outcome { result, log: self.log, array: self.regions.remove(&ARRAY).unwrap_or_default() }
    }

    fn bytes(&mut self, at: u64, len: usize) -> Result<&mut [u8], Trap> {
        let (region, off) = ((at >> 32) as u32, at as u32 as usize);
        let all = self.regions.get_mut(&region).ok_or_else(|| format!("no memory at {at:#x}"))?;
        all.get_mut(off..off + len).ok_or_else(|| format!("{len} bytes at {at:#x} are out of bounds"))
    }

    pub fn load(&mut self, at: u64, size: usize) -> Result<u64, Trap> {
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(self.bytes(at, size)?);
        Ok(u64::from_le_bytes(raw))
    }

    pub fn store(&mut self, at: u64, size: usize, value: u64) -> Result<(), Trap> {
        self.bytes(at, size)?.copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }

    pub fn copy(&mut self, to: u64, from: u64, len: usize) -> Result<(), Trap> {
        let bytes = self.bytes(from, len)?.to_vec();
        self.bytes(to, len)?.copy_from_slice(&bytes);
        Ok(())
    }

    pub fn fill(&mut self, to: u64, byte: u8, len: usize) -> Result<(), Trap> {
        self.bytes(to, len)?.fill(byte);
        Ok(())
    }

    /// A helper by its number. Results depend on the arguments only, as far as the tests use them.
    pub fn helper(&mut self, id: u32, args: &[u64]) -> Result<u64, Trap> {
        match id {
            // map_lookup_elem: the only maps are arrays of one value.
            1 => Ok(if args[0] == 4 { address(SCRATCH, 0) } else { address(ARRAY, 0) }),
            // probe_read_kernel: memory of the program, or what an address makes up; nothing at NULL.
            113 => {
                let (to, len, from) = (args[0], args[1] as usize, args[2]);
                if from == 0 {
                    self.fill(to, 0, len)?;
                    return Ok(-14i64 as u64);
                }
                if self.regions.contains_key(&((from >> 32) as u32)) && self.copy(to, from, len).is_ok() {
                    return Ok(0);
                }
                for i in 0..len {
                    let byte = (from.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 8 * 8)) as u8;
                    self.fill(to + i as u64, byte, 1)?;
                }
                Ok(0)
            }
            // ktime_get_ns, get_prandom_u32, get_smp_processor_id, get_current_pid_tgid, get_current_uid_gid
            5 | 7 | 8 | 14 | 15 => Ok(u64::from(id) * 0x1234_5678_9abc),
            // map_delete_elem: what matters is the key.
            3 => {
                let key = vec![self.load(args[1], 8)?, self.load(args[1] + 8, 8)?];
                self.log.push((id, key));
                Ok(0)
            }
            // send_signal
            109 => {
                self.log.push((id, args.to_vec()));
                Ok(args[0] ^ 1)
            }
            _ => Err(format!("helper {id} is not simulated")),
        }
    }
}
