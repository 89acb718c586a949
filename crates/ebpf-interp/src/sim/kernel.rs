//! The system calls.

use super::helpers::map_handle;
use super::maps::SimMap;
use super::ring::SimRecords;
use super::{Object, SimKernel, SimProgram};
use crate::code::Code;
use bpf_facts::{AttachType, MapType, ProgType};
use bpf_syscall::{
    BtfFd, BtfInfo, Errno, IdKind, Kernel, LinkCreate, LinkFd, LoadError, Loaded, MapCreate, MapFd,
    PerfEvent, PerfFd, ProgFd, ProgInfo, ProgLoad, Records, Result, SysError, TestRun, TestRunResult,
    UpdateMode, VerifierLog,
};
use ebpf_asm::{Imm64, MapRef, decode};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A descriptor that nothing is behind: what it stands for is kept by its number.
fn number() -> Result<OwnedFd> {
    File::open("/dev/null").map(Into::into).map_err(|error| SysError::io("open", "/dev/null", &error))
}

fn lacking<T>(call: &'static str, object: impl Into<String>) -> Result<T> {
    Err(SysError::new(call, object, Errno::ENOTSUPP).with_hint("the embedded engine has nothing like it"))
}

impl SimKernel {
    fn object(&self, fd: RawFd) -> Option<Object> {
        self.lock().objects.get(&fd).copied()
    }

    fn map_of(&self, call: &'static str, map: &MapFd) -> Result<usize> {
        match self.object(map.as_raw_fd()) {
            Some(Object::Map(n)) => Ok(n),
            Some(Object::Program(_) | Object::Event(_)) | None => {
                Err(SysError::new(call, map.name(), Errno::EBADF))
            }
        }
    }

    pub(super) fn program_of(&self, call: &'static str, program: &ProgFd) -> Result<usize> {
        match self.object(program.as_raw_fd()) {
            Some(Object::Program(n)) => Ok(n),
            Some(Object::Map(_) | Object::Event(_)) | None => {
                Err(SysError::new(call, program.name(), Errno::EBADF))
            }
        }
    }

    fn event_of(&self, call: &'static str, event: &PerfFd) -> Result<u64> {
        match self.object(event.as_raw_fd()) {
            Some(Object::Event(key)) => Ok(key),
            Some(Object::Map(_) | Object::Program(_)) | None => {
                Err(SysError::new(call, "event", Errno::EBADF))
            }
        }
    }

    fn enable(&self, call: &'static str, event: &PerfFd, on: bool) -> Result<()> {
        let key = self.event_of(call, event)?;
        let mut state = self.lock();
        let now = state.world.now_ns();
        state.sites.enable(key, on, now);
        self.set_alarm(&state)
    }
}

/// The key has the map's size.
fn check_key(call: &'static str, map: &SimMap, key: &[u8]) -> Result<()> {
    if map.shape.key_size == 0 {
        return Err(SysError::new(call, &map.name, Errno::ENOTSUPP));
    }
    if key.len() != map.shape.key_size as usize {
        return Err(SysError::new(call, &map.name, Errno::EINVAL));
    }
    Ok(())
}

impl Kernel for SimKernel {
    fn n_possible_cpus(&self) -> u32 {
        self.n_cpus
    }

    fn map_create(&self, map: &MapCreate<'_>) -> Result<MapFd> {
        let fd = number()?;
        let mut state = self.lock();
        let state = &mut *state;
        let made = SimMap::create(&mut state.memory, map, self.n_cpus)
            .map_err(|errno| SysError::new("bpf(BPF_MAP_CREATE)", map.name, errno))?;
        let shape = made.shape;
        state.objects.insert(fd.as_raw_fd(), Object::Map(state.world.maps.len()));
        state.world.maps.push(made);
        Ok(MapFd::simulated(fd, shape, map.name))
    }

    fn map_lookup(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        const CALL: &str = "bpf(BPF_MAP_LOOKUP_ELEM)";
        let n = self.map_of(CALL, map)?;
        let mut state = self.lock();
        let state = &mut *state;
        let map = &mut state.world.maps[n];
        check_key(CALL, map, key)?;
        if value.len() != map.shape.value_bytes() {
            return Err(SysError::new(CALL, &map.name, Errno::EINVAL));
        }
        let found = map.lookup(&state.memory, key);
        if let Some(found) = &found {
            value.copy_from_slice(found);
        }
        Ok(found.is_some())
    }

    fn map_lookup_and_delete(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        Ok(self.map_lookup(map, key, value)? && self.map_delete(map, key)?)
    }

    fn map_update(&self, map: &MapFd, key: &[u8], value: &[u8], mode: UpdateMode) -> Result<()> {
        const CALL: &str = "bpf(BPF_MAP_UPDATE_ELEM)";
        let n = self.map_of(CALL, map)?;
        let mut state = self.lock();
        let state = &mut *state;
        let map = &mut state.world.maps[n];
        check_key(CALL, map, key)?;
        let failed = |map: &SimMap, errno| SysError::new(CALL, &map.name, errno);
        if value.len() != map.shape.value_bytes() {
            return Err(failed(map, Errno::EINVAL));
        }
        if map.frozen {
            return Err(failed(map, Errno::EPERM));
        }
        let number;
        let mut value = value;
        if map.holds_objects() {
            let fd = value.first_chunk().map_or(-1, |bytes| i32::from_le_bytes(*bytes));
            let object = match (state.objects.get(&fd), map.shape.ty == MapType::ProgArray) {
                (Some(Object::Program(n)), true) | (Some(Object::Map(n)), false) => *n,
                _ => return Err(failed(map, Errno::EBADF)),
            };
            number = (object as u32 + 1).to_le_bytes();
            value = &number;
        }
        map.update(&mut state.memory, key, value, mode, None).map_err(|errno| failed(map, errno))
    }

    fn map_delete(&self, map: &MapFd, key: &[u8]) -> Result<bool> {
        const CALL: &str = "bpf(BPF_MAP_DELETE_ELEM)";
        let n = self.map_of(CALL, map)?;
        let mut state = self.lock();
        let map = &mut state.world.maps[n];
        check_key(CALL, map, key)?;
        if !map.removes() {
            return Err(SysError::new(CALL, &map.name, Errno::EINVAL));
        }
        if map.next_key(None).is_some() && map.shape.ty != MapType::HashOfMaps && map.holds_objects() {
            // An element of an array is there, but empty.
            let state = &mut *state;
            let map = &mut state.world.maps[n];
            let held = map.object(&state.memory, key).is_some();
            let emptied = map.update(&mut state.memory, key, &[0; 4], UpdateMode::Replace, None);
            return emptied.map(|()| held).map_err(|errno| SysError::new(CALL, &map.name, errno));
        }
        Ok(map.delete(key))
    }

    fn map_next_key(&self, map: &MapFd, after: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        const CALL: &str = "bpf(BPF_MAP_GET_NEXT_KEY)";
        let n = self.map_of(CALL, map)?;
        let state = self.lock();
        let map = &state.world.maps[n];
        check_key(CALL, map, next)?;
        let found = map.next_key(after);
        if let Some(key) = &found {
            next.copy_from_slice(key);
        }
        Ok(found.is_some())
    }

    fn map_freeze(&self, map: &MapFd) -> Result<()> {
        let n = self.map_of("bpf(BPF_MAP_FREEZE)", map)?;
        self.lock().world.maps[n].frozen = true;
        Ok(())
    }

    fn prog_load(&self, prog: &ProgLoad<'_>) -> std::result::Result<Loaded, LoadError> {
        const CALL: &str = "bpf(BPF_PROG_LOAD)";
        let refused = |errno, text: String| LoadError {
            error: SysError::new(CALL, prog.name, errno),
            log: VerifierLog { text, truncated: false },
        };
        let program = decode(prog.insns).map_err(|e| refused(Errno::EINVAL, e.to_string()))?;
        let fd = number().map_err(|error| LoadError { error, log: VerifierLog::default() })?;
        let mut state = self.lock();
        let state = &mut *state;
        let map = |MapRef(fd): MapRef| match state.objects.get(&(fd as RawFd)) {
            Some(Object::Map(n)) => Some(*n),
            Some(Object::Program(_) | Object::Event(_)) | None => None,
        };
        let resolve = |imm| match imm {
            Imm64::MapFd(fd) => map(fd).map(map_handle),
            Imm64::MapValue(fd, offset) => {
                let map = &state.world.maps[map(fd)?];
                let direct = map.shape.ty == MapType::Array && offset < map.shape.value_size;
                direct.then(|| state.memory.address(map.values, offset))
            }
            Imm64::Const(_) | Imm64::Func(_) | Imm64::BtfVar { .. } => None,
        };
        let code = Code::new(&program, &resolve);
        let typed = prog.ty == ProgType::Tracing || prog.attach_type == AttachType::TraceRawTp;
        let code = if typed { code.following_pointers() } else { code };
        state.objects.insert(fd.as_raw_fd(), Object::Program(state.programs.len()));
        state.programs.push(SimProgram {
            name: prog.name.to_string(),
            ty: prog.ty,
            code: Arc::new(code),
            n_slots: prog.insns.len() as u32,
            run_time_ns: 0,
            run_cnt: 0,
        });
        Ok(Loaded { prog: ProgFd::new(fd, prog.name), log: VerifierLog::default() })
    }

    fn prog_test_run(&self, prog: &ProgFd, run: &TestRun<'_>) -> Result<TestRunResult> {
        let n = self.program_of("bpf(BPF_PROG_TEST_RUN)", prog)?;
        let mut state = self.lock();
        state.world.cookie = 0;
        let turns = run.repeat.max(1);
        let begun = Instant::now();
        let mut retval = 0;
        for _ in 0..turns {
            retval = state.run(n, run.ctx, run.data, run.cpu)? as u32;
        }
        let ns = begun.elapsed().as_nanos() / u128::from(turns);
        Ok(TestRunResult { retval, duration_ns: u32::try_from(ns).unwrap_or(u32::MAX) })
    }

    fn link_create(&self, link: &LinkCreate<'_>) -> Result<LinkFd> {
        const CALL: &str = "bpf(BPF_LINK_CREATE)";
        let (LinkCreate::PerfEvent { prog, .. }
        | LinkCreate::KprobeMulti { prog, .. }
        | LinkCreate::UprobeMulti { prog, .. }
        | LinkCreate::Tracing { prog, .. }
        | LinkCreate::RawTracepoint { prog, .. }
        | LinkCreate::Iter { prog }) = link;
        let program = self.program_of(CALL, prog)?;
        if let LinkCreate::PerfEvent { event, cookie, .. } = link {
            let event = self.event_of(CALL, event)?;
            return self.lock().sites.link_event(event, program, *cookie).map(Into::into);
        }
        match self.lock().sites.link_site(link, program)? {
            Some(fd) => Ok(fd.into()),
            None => lacking(CALL, prog.name()),
        }
    }

    fn iter_create(&self, _: &LinkFd) -> Result<OwnedFd> {
        lacking("bpf(BPF_ITER_CREATE)", "iterator")
    }

    fn perf_event_open(&self, event: &PerfEvent) -> Result<PerfFd> {
        let mut state = self.lock();
        let (key, fd) = state.sites.open_event(event)?;
        state.objects.insert(fd.as_raw_fd(), Object::Event(key));
        Ok(fd.into())
    }

    fn perf_set_bpf(&self, event: &PerfFd, prog: &ProgFd) -> Result<()> {
        const CALL: &str = "ioctl(PERF_EVENT_IOC_SET_BPF)";
        let (event, program) = (self.event_of(CALL, event)?, self.program_of(CALL, prog)?);
        self.lock().sites.set_program(event, program);
        Ok(())
    }

    fn perf_enable(&self, event: &PerfFd) -> Result<()> {
        self.enable("ioctl(PERF_EVENT_IOC_ENABLE)", event, true)
    }

    fn perf_disable(&self, event: &PerfFd) -> Result<()> {
        self.enable("ioctl(PERF_EVENT_IOC_DISABLE)", event, false)
    }

    /// Nobody here looks into it: programs run without types.
    fn btf_load(&self, _: &[u8]) -> std::result::Result<BtfFd, LoadError> {
        number().map(Into::into).map_err(|error| LoadError { error, log: VerifierLog::default() })
    }

    fn next_id(&self, _: IdKind, _: u32) -> Result<Option<u32>> {
        Ok(None)
    }

    fn prog_by_id(&self, id: u32) -> Result<ProgFd> {
        Err(SysError::new("bpf(BPF_PROG_GET_FD_BY_ID)", id.to_string(), Errno::ENOENT))
    }

    fn btf_by_id(&self, id: u32) -> Result<BtfFd> {
        Err(SysError::new("bpf(BPF_BTF_GET_FD_BY_ID)", id.to_string(), Errno::ENOENT))
    }

    fn prog_info(&self, prog: &ProgFd) -> Result<ProgInfo> {
        let n = self.program_of("bpf(BPF_OBJ_GET_INFO_BY_FD)", prog)?;
        let state = self.lock();
        let program = &state.programs[n];
        Ok(ProgInfo {
            id: n as u32 + 1,
            ty: program.ty as u32,
            name: program.name.clone(),
            btf_id: 0,
            xlated_len: program.n_slots * 8,
            jited_len: 0,
            run_time_ns: program.run_time_ns,
            run_cnt: program.run_cnt,
            recursion_misses: 0,
            verified_insns: 0,
        })
    }

    fn btf_info(&self, _: &BtfFd) -> Result<BtfInfo> {
        lacking("bpf(BPF_OBJ_GET_INFO_BY_FD)", "BTF")
    }

    fn enable_stats(&self) -> Result<OwnedFd> {
        self.lock().statistics = true;
        number()
    }

    fn obj_pin(&self, _: BorrowedFd<'_>, path: &Path) -> Result<()> {
        lacking("bpf(BPF_OBJ_PIN)", path.display().to_string())
    }

    fn obj_get(&self, path: &Path) -> Result<OwnedFd> {
        Err(SysError::new("bpf(BPF_OBJ_GET)", path.display().to_string(), Errno::ENOENT))
    }

    fn open_ring(&self, map: &MapFd) -> Result<Box<dyn Records>> {
        let n = self.map_of("mmap", map)?;
        if self.lock().world.maps[n].ring.is_none() {
            return Err(SysError::new("mmap", map.name(), Errno::EINVAL));
        }
        Ok(Box::new(SimRecords { kernel: self.clone(), map: n }))
    }

    fn due(&self) -> Option<BorrowedFd<'_>> {
        Some(self.alarm.as_fd())
    }

    fn step(&self) -> Result<()> {
        self.run_due()
    }
}
