//! Helper functions. One that is not in [`TABLE`] traps.

use super::maps::SimMap;
use super::{SimClock, Task};
use crate::machine::{Helpers, Machine};
use crate::memory::Memory;
use crate::trap::{Trap, TrapKind};
use bpf_facts::{Arch, Feature, HelperId, KernelProfile, MapType, call_convention};
use bpf_syscall::clock::Clock;
use bpf_syscall::{Errno, UpdateMode};
use std::collections::BTreeMap;

/// High half of what programs hold as a map.
const MAPS: u32 = 0xfd00_0000;
/// Bytes of a task's name (`TASK_COMM_LEN`).
const COMM: usize = 16;
/// Most iterations of `bpf_loop` (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 8 << 20;
/// Most tail calls of one run (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;
/// Nanoseconds of a jiffy (`CONFIG_HZ=250`).
const JIFFY_NS: u64 = 4_000_000;

/// What helpers work on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) maps: Vec<SimMap>,
    pub(crate) task: Task,
    pub(crate) clock: SimClock,
    pub(crate) cpu: u32,
    pub(crate) n_cpus: u32,
    /// Memory outside of the guest's own, by its first address.
    pub(crate) foreign: BTreeMap<u64, Vec<u8>>,
    pub(crate) cookie: u64,
    pub(crate) trace: Vec<String>,
    /// Made in this run.
    pub(crate) tail_calls: u32,
    random: u64,
}

/// What programs hold as map number `map`.
pub(crate) fn map_handle(map: usize) -> u64 {
    u64::from(MAPS) << 32 | map as u64
}

/// Whether the simulated kernel executes a helper when `task` runs.
pub fn simulates(id: HelperId, task: &Task) -> bool {
    find(id).is_some() && (id != HelperId::GET_CURRENT_TASK || task.address.is_some())
}

/// Takes from a profile what the simulated kernel has no twin of, so that programs made for it do without.
pub fn confine(profile: &mut KernelProfile) {
    profile.set(Feature::CurrentTaskBtf, false);
}

type Helper = fn(&mut World, &mut Machine<'_>, [u64; 5]) -> Result<u64, Trap>;

/// What is simulated.
static TABLE: &[(HelperId, Helper)] = &[
    (HelperId::MAP_LOOKUP_ELEM, map_lookup_elem),
    (HelperId::MAP_UPDATE_ELEM, map_update_elem),
    (HelperId::MAP_DELETE_ELEM, map_delete_elem),
    (HelperId::MAP_LOOKUP_PERCPU_ELEM, map_lookup_percpu_elem),
    (HelperId::MAP_PUSH_ELEM, map_push_elem),
    (HelperId::MAP_POP_ELEM, |world, machine, args| map_next_elem(world, machine, args, true)),
    (HelperId::MAP_PEEK_ELEM, |world, machine, args| map_next_elem(world, machine, args, false)),
    (HelperId::TAIL_CALL, tail_call),
    (HelperId::FOR_EACH_MAP_ELEM, for_each_map_elem),
    (HelperId::LOOP, r#loop),
    (HelperId::RINGBUF_OUTPUT, ringbuf_output),
    (HelperId::RINGBUF_RESERVE, ringbuf_reserve),
    (HelperId::RINGBUF_SUBMIT, |world, machine, args| ringbuf_commit(world, machine, args[0], false)),
    (HelperId::RINGBUF_DISCARD, |world, machine, args| ringbuf_commit(world, machine, args[0], true)),
    (HelperId::RINGBUF_QUERY, ringbuf_query),
    (HelperId::PROBE_READ, probe_read),
    (HelperId::PROBE_READ_KERNEL, probe_read),
    (HelperId::PROBE_READ_USER, probe_read),
    (HelperId::PROBE_READ_STR, probe_read_str),
    (HelperId::PROBE_READ_KERNEL_STR, probe_read_str),
    (HelperId::PROBE_READ_USER_STR, probe_read_str),
    (HelperId::STRNCMP, strncmp),
    (HelperId::KTIME_GET_NS, |world, _, _| Ok(world.clock.now_ns(Clock::Monotonic))),
    (HelperId::KTIME_GET_COARSE_NS, |world, _, _| Ok(world.clock.now_ns(Clock::Monotonic))),
    (HelperId::KTIME_GET_BOOT_NS, |world, _, _| Ok(world.clock.now_ns(Clock::Boot))),
    (HelperId::KTIME_GET_TAI_NS, |world, _, _| Ok(world.clock.now_ns(Clock::Tai))),
    (HelperId::JIFFIES64, |world, _, _| Ok(world.clock.now_ns(Clock::Monotonic) / JIFFY_NS)),
    (HelperId::GET_CURRENT_PID_TGID, |world, _, _| Ok(pair(world.task.pid, world.task.tid))),
    (HelperId::GET_CURRENT_UID_GID, |world, _, _| Ok(pair(world.task.gid, world.task.uid))),
    (HelperId::GET_CURRENT_COMM, get_current_comm),
    (HelperId::GET_CURRENT_CGROUP_ID, |world, _, _| Ok(world.task.cgroup)),
    (HelperId::GET_CURRENT_TASK, get_current_task),
    (HelperId::GET_NS_CURRENT_PID_TGID, get_ns_current_pid_tgid),
    (HelperId::GET_SMP_PROCESSOR_ID, |world, _, _| Ok(world.cpu.into())),
    // All CPUs are on one node.
    (HelperId::GET_NUMA_NODE_ID, |_, _, _| Ok(0)),
    (HelperId::GET_PRANDOM_U32, get_prandom_u32),
    (HelperId::GET_FUNC_IP, get_func_ip),
    (HelperId::GET_ATTACH_COOKIE, |world, _, _| Ok(world.cookie)),
    (HelperId::GET_STACK, get_stack),
    // Of an empty stack there is no id.
    (HelperId::GET_STACKID, |_, _, _| Ok(error(Errno::EFAULT))),
    (HelperId::TRACE_PRINTK, trace_printk),
];

fn find(id: HelperId) -> Option<Helper> {
    TABLE.iter().find(|(row, _)| *row == id).map(|(_, helper)| *helper)
}

impl Helpers for World {
    fn call(&mut self, machine: &mut Machine<'_>, id: HelperId, args: [u64; 5]) -> Result<u64, Trap> {
        match find(id) {
            Some(helper) => helper(self, machine, args),
            None => Err(machine.trap(TrapKind::Helper(id))),
        }
    }
}

impl World {
    pub(crate) fn new(n_cpus: u32, task: Task, clock: SimClock) -> World {
        World {
            maps: Vec::new(),
            task,
            clock,
            cpu: 0,
            n_cpus,
            foreign: BTreeMap::new(),
            cookie: 0,
            trace: Vec::new(),
            tail_calls: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The clock that timers go by.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns(Clock::Monotonic)
    }

    /// Puts right what a program left that trapped.
    pub(crate) fn settle(&mut self) {
        self.maps.iter_mut().filter_map(|map| map.ring.as_mut()).for_each(|ring| ring.discard_busy());
    }

    fn map(&mut self, machine: &Machine<'_>, id: HelperId, handle: u64) -> Result<usize, Trap> {
        let map = handle as u32 as usize;
        if (handle >> 32) as u32 != MAPS || map >= self.maps.len() {
            return Err(machine.trap(TrapKind::Refused(id, "the first argument is no map")));
        }
        Ok(map)
    }

    /// Map number and key of a call whose first arguments they are.
    fn map_and_key(
        &mut self,
        machine: &Machine<'_>,
        id: HelperId,
        args: [u64; 5],
    ) -> Result<(usize, Vec<u8>), Trap> {
        let map = self.map(machine, id, args[0])?;
        let size = self.maps[map].shape.key_size;
        if size == 0 {
            return Err(machine.trap(TrapKind::Refused(id, "the map has no keys")));
        }
        Ok((map, machine.read(args[1], size as usize)?.to_vec()))
    }

    /// What there is to read at `addr`, up to `most` bytes: of the guest, or of the memory around it.
    fn peek<'a>(&'a self, memory: &'a Memory, addr: u64, most: usize) -> &'a [u8] {
        let inside = memory.after(addr);
        let bytes = if inside.is_empty() {
            let first = self.foreign.range(..=addr).next_back();
            first.and_then(|(at, bytes)| bytes.get(usize::try_from(addr - at).ok()?..)).unwrap_or(&[])
        } else {
            inside
        };
        &bytes[..bytes.len().min(most)]
    }
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn error(errno: Errno) -> u64 {
    -i64::from(errno.0) as u64
}

fn map_lookup_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let (map, key) = world.map_and_key(machine, HelperId::MAP_LOOKUP_ELEM, args)?;
    let (map, cpu) = (&mut world.maps[map], world.cpu);
    if map.holds_objects() {
        return Ok(map.object(machine.memory, &key).map_or(0, map_handle));
    }
    Ok(map.slot(&key).map_or(0, |slot| map.address(machine.memory, slot, cpu)))
}

fn map_lookup_percpu_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let (map, key) = world.map_and_key(machine, HelperId::MAP_LOOKUP_PERCPU_ELEM, args)?;
    let cpu = args[2] as u32;
    if cpu >= world.n_cpus {
        return Ok(0);
    }
    let map = &mut world.maps[map];
    Ok(map.slot(&key).map_or(0, |slot| map.address(machine.memory, slot, cpu)))
}

fn map_update_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let (map, key) = world.map_and_key(machine, HelperId::MAP_UPDATE_ELEM, args)?;
    let map = &mut world.maps[map];
    let value = machine.read(args[2], map.shape.value_size as usize)?.to_vec();
    let mode = match args[3] {
        0 => UpdateMode::Any,
        1 => UpdateMode::Create,
        2 => UpdateMode::Replace,
        _ => return Ok(error(Errno::EINVAL)),
    };
    match map.update(machine.memory, &key, &value, mode, Some(world.cpu)) {
        Ok(()) => Ok(0),
        Err(errno) => Ok(error(errno)),
    }
}

fn map_delete_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let (map, key) = world.map_and_key(machine, HelperId::MAP_DELETE_ELEM, args)?;
    let map = &mut world.maps[map];
    Ok(match (map.removes(), map.delete(&key)) {
        (false, _) => error(Errno::EINVAL),
        (true, true) => 0,
        (true, false) => error(Errno::ENOENT),
    })
}

fn map_push_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::MAP_PUSH_ELEM, args[0])?;
    let map = &mut world.maps[map];
    let value = machine.read(args[1], map.shape.value_size as usize)?;
    let Some(queue) = &mut map.queue else {
        return Err(machine.trap(TrapKind::Refused(HelperId::MAP_PUSH_ELEM, "the map is no queue")));
    };
    Ok(queue.push(value, args[2]).map_or_else(error, |()| 0))
}

/// The next value of a queue goes to the program's memory. A set is asked for what is there.
fn map_next_elem(
    world: &mut World,
    machine: &mut Machine<'_>,
    args: [u64; 5],
    remove: bool,
) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::MAP_PEEK_ELEM, args[0])?;
    let map = &mut world.maps[map];
    let size = map.shape.value_size as usize;
    let Some(queue) = &mut map.queue else {
        return Err(machine.trap(TrapKind::Refused(HelperId::MAP_PEEK_ELEM, "the map is no queue")));
    };
    if queue.is_set() {
        let known = !remove && queue.has(machine.read(args[1], size)?);
        return Ok(match (known, remove) {
            (_, true) => error(Errno::EOPNOTSUPP),
            (true, false) => 0,
            (false, false) => error(Errno::ENOENT),
        });
    }
    let dst = machine.write(args[1], size)?;
    let next = if remove { queue.pop() } else { queue.peek().map(<[u8]>::to_vec) };
    match next {
        Some(value) => dst.copy_from_slice(&value),
        None => {
            dst.fill(0);
            return Ok(error(Errno::ENOENT));
        }
    }
    Ok(0)
}

/// Ends the run: whoever began it goes on with the other program. Where there is none the call fails.
fn tail_call(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::TAIL_CALL, args[1])?;
    let map = &mut world.maps[map];
    if map.shape.ty != MapType::ProgArray {
        return Err(machine.trap(TrapKind::Refused(HelperId::TAIL_CALL, "the map holds no programs")));
    }
    let program = map.object(machine.memory, &(args[2] as u32).to_le_bytes());
    let Some(program) = program.filter(|_| world.tail_calls < MAX_TAIL_CALLS) else {
        return Ok(error(Errno::ENOENT));
    };
    if machine.is_nested() {
        return Err(machine.trap(TrapKind::Unsupported("a tail call in a subprogram is")));
    }
    world.tail_calls += 1;
    Err(machine.trap(TrapKind::TailCall(program)))
}

fn for_each_map_elem(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let [handle, callback, ctx, flags, _] = args;
    let map = world.map(machine, HelperId::FOR_EACH_MAP_ELEM, handle)?;
    if flags != 0 {
        return Ok(error(Errno::EINVAL));
    }
    let mut count = 0;
    for (slot, key) in world.maps[map].entries(machine.memory) {
        // The callback may have removed it.
        if !world.maps[map].is_live(slot) {
            continue;
        }
        let value = world.maps[map].address(machine.memory, slot, world.cpu);
        count += 1;
        if machine.callback(world, callback, [handle, key, value, ctx, 0])? != 0 {
            break;
        }
    }
    Ok(count)
}

fn r#loop(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let [turns, callback, ctx, flags, _] = args;
    let turns = u64::from(turns as u32);
    if flags != 0 {
        return Ok(error(Errno::EINVAL));
    }
    if turns > MAX_LOOPS {
        return Ok(error(Errno::E2BIG));
    }
    for i in 0..turns {
        if machine.callback(world, callback, [i, ctx, 0, 0, 0])? != 0 {
            return Ok(i + 1);
        }
    }
    Ok(turns)
}

fn ringbuf_reserve(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::RINGBUF_RESERVE, args[0])?;
    let Some(ring) = &mut world.maps[map].ring else {
        return Err(machine.trap(TrapKind::Refused(HelperId::RINGBUF_RESERVE, "the map is no ring buffer")));
    };
    Ok(ring.reserve(args[1]).map_or(0, |offset| machine.memory.address(ring.region, offset)))
}

fn ringbuf_commit(
    world: &mut World,
    machine: &mut Machine<'_>,
    record: u64,
    discard: bool,
) -> Result<u64, Trap> {
    let mut rings = world.maps.iter_mut().filter_map(|map| map.ring.as_mut());
    let ring = rings.find(|ring| machine.memory.address(ring.region, 0) >> 32 == record >> 32);
    if !ring.is_some_and(|ring| ring.commit(record as u32, discard)) {
        return Err(machine.trap(TrapKind::Refused(HelperId::RINGBUF_SUBMIT, "no such record is reserved")));
    }
    Ok(0)
}

fn ringbuf_output(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::RINGBUF_OUTPUT, args[0])?;
    let bytes = machine.read(args[1], args[2] as usize)?.to_vec();
    let Some(ring) = &mut world.maps[map].ring else {
        return Err(machine.trap(TrapKind::Refused(HelperId::RINGBUF_OUTPUT, "the map is no ring buffer")));
    };
    let Some(offset) = ring.reserve(bytes.len() as u64) else { return Ok(error(Errno::EAGAIN)) };
    let at = offset as usize;
    machine.memory.bytes_mut(ring.region)[at..at + bytes.len()].copy_from_slice(&bytes);
    ring.commit(offset, false);
    Ok(0)
}

fn ringbuf_query(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let map = world.map(machine, HelperId::RINGBUF_QUERY, args[0])?;
    let Some(ring) = &world.maps[map].ring else {
        return Err(machine.trap(TrapKind::Refused(HelperId::RINGBUF_QUERY, "the map is no ring buffer")));
    };
    Ok(match args[1] {
        0 => ring.produced - ring.consumed,
        1 => ring.capacity,
        2 => ring.consumed,
        3 => ring.produced,
        _ => 0,
    })
}

fn probe_read(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let [to, len, from, ..] = args;
    let len = len as u32 as usize;
    let found = world.peek(machine.memory, from, len).to_vec();
    let dst = machine.write(to, len)?;
    if found.len() < len {
        dst.fill(0);
        return Ok(error(Errno::EFAULT));
    }
    dst.copy_from_slice(&found);
    Ok(0)
}

fn probe_read_str(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let [to, len, from, ..] = args;
    let len = len as u32 as usize;
    let found = world.peek(machine.memory, from, len).to_vec();
    let dst = machine.write(to, len)?;
    if len == 0 {
        return Ok(0);
    }
    let n = match found.iter().position(|byte| *byte == 0) {
        Some(end) => end,
        None if found.len() == len => len - 1,
        None => {
            dst.fill(0);
            return Ok(error(Errno::EFAULT));
        }
    };
    dst[..n].copy_from_slice(&found[..n]);
    dst[n] = 0;
    Ok(n as u64 + 1)
}

fn strncmp(_: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let left = machine.read(args[0], args[1] as u32 as usize)?;
    for (i, a) in left.iter().enumerate() {
        let b = machine.read(args[2].wrapping_add(i as u64), 1)?[0];
        if *a != b {
            return Ok(if *a < b { -1i64 as u64 } else { 1 });
        }
        if *a == 0 {
            break;
        }
    }
    Ok(0)
}

fn get_current_comm(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let dst = machine.write(args[0], args[1] as u32 as usize)?;
    if dst.is_empty() {
        return Ok(error(Errno::EINVAL));
    }
    let comm = world.task.comm.as_bytes();
    let n = comm.len().min(COMM - 1).min(dst.len() - 1);
    dst.fill(0);
    dst[..n].copy_from_slice(&comm[..n]);
    Ok(0)
}

fn get_current_task(world: &mut World, machine: &mut Machine<'_>, _: [u64; 5]) -> Result<u64, Trap> {
    let missing = TrapKind::Refused(HelperId::GET_CURRENT_TASK, "the task has no task_struct");
    world.task.address.ok_or_else(|| machine.trap(missing))
}

/// There is one namespace, whatever its device and inode.
fn get_ns_current_pid_tgid(
    world: &mut World,
    machine: &mut Machine<'_>,
    args: [u64; 5],
) -> Result<u64, Trap> {
    let dst = machine.write(args[2], args[3] as u32 as usize)?;
    let Some((info, [])) = dst.split_first_chunk_mut::<8>() else { return Ok(error(Errno::EINVAL)) };
    *info = pair(world.task.pid, world.task.tid).to_le_bytes();
    Ok(0)
}

fn get_prandom_u32(world: &mut World, _: &mut Machine<'_>, _: [u64; 5]) -> Result<u64, Trap> {
    // xorshift64*
    world.random ^= world.random >> 12;
    world.random ^= world.random << 25;
    world.random ^= world.random >> 27;
    Ok(world.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32)
}

/// The instruction pointer among the registers of the context.
fn get_func_ip(_: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let at = args[0].wrapping_add(call_convention(Arch::X86_64).ip.into());
    let bytes = machine.read(at, 8)?;
    Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// Nobody is traced, so there are no frames.
fn get_stack(_: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    machine.write(args[1], args[2] as u32 as usize)?.fill(0);
    Ok(0)
}

fn trace_printk(world: &mut World, machine: &mut Machine<'_>, args: [u64; 5]) -> Result<u64, Trap> {
    let bytes = machine.read(args[0], args[1] as u32 as usize)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    world.trace.push(String::from_utf8_lossy(&bytes[..end]).into_owned());
    Ok(end as u64)
}
