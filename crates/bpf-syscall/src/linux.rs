//! The running kernel.

use crate::cpus;
use crate::errno::{Errno, Result, SysError};
use crate::fd::{BtfFd, LinkFd, MapFd, MapShape, PerfFd, ProgFd};
use crate::kernel::{
    BatchOp, BatchRead, BtfInfo, IdKind, Kernel, KprobeTargets, LinkCreate, MapCreate, MultiFlavour,
    ProgInfo, Records, TestRun, TestRunResult, UpdateMode,
};
use crate::limits;
use crate::load::{LoadError, Loaded, LogLevel, ProgLoad, VerifierLog};
use crate::perf::{KprobeAt, PerfEvent, PerfKind, PerfTarget, Sampling};
use crate::raw::{self, Cmd, PerfIoctl};
use crate::ring::BpfRing;
use bpf_facts::{AttachType, MapType};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The running kernel, entered by system calls.
#[derive(Debug)]
pub struct LinuxKernel {
    n_possible_cpus: u32,
    kprobe_source: OnceLock<Result<ProbeSource>>,
    uprobe_source: OnceLock<Result<ProbeSource>>,
    /// Whether the limit on locked memory was lifted, or tried to be.
    memlock_lifted: AtomicBool,
}

/// A dynamic event source of perf: its number and its return bit.
#[derive(Clone, Copy, Debug)]
struct ProbeSource {
    ty: u32,
    ret_bit: u32,
}

impl LinuxKernel {
    /// # Errors
    /// If the number of possible CPUs cannot be read: without it no per-CPU map could be read safely.
    pub fn new() -> Result<LinuxKernel> {
        let n_possible_cpus = cpus::possible()?.len() as u32;
        Ok(LinuxKernel {
            n_possible_cpus,
            kprobe_source: OnceLock::new(),
            uprobe_source: OnceLock::new(),
            memlock_lifted: AtomicBool::new(false),
        })
    }

    /// Runs `call`; on `EPERM` lifts the limit on locked memory, to which kernels before 5.11 charge BPF objects,
    /// and tries once more.
    fn charged<T>(
        &self,
        mut call: impl FnMut() -> std::result::Result<T, Errno>,
    ) -> std::result::Result<T, Errno> {
        match call() {
            Err(Errno::EPERM) if !self.memlock_lifted.swap(true, Ordering::Relaxed) => {
                if limits::lift_locked_memory().is_ok() {
                    call()
                } else {
                    Err(Errno::EPERM)
                }
            }
            result => result,
        }
    }

    fn probe_source(&self, name: &'static str) -> Result<ProbeSource> {
        let cell = if name == "kprobe" { &self.kprobe_source } else { &self.uprobe_source };
        cell.get_or_init(|| read_probe_source(name)).clone()
    }
}

fn read_probe_source(name: &'static str) -> Result<ProbeSource> {
    let directory = format!("/sys/bus/event_source/devices/{name}");
    let read = |file: &str| {
        let path = format!("{directory}/{file}");
        fs::read_to_string(&path)
            .map_err(|error| SysError::io("open", path, &error).with_hint(
                "the kernel is configured without this kind of probe (CONFIG_KPROBE_EVENTS, CONFIG_UPROBE_EVENTS), or sysfs is not mounted",
            ))
    };
    let invalid = || SysError::new("read", directory.clone(), Errno::EINVAL);
    let ty = read("type")?.trim().parse().map_err(|_| invalid())?;
    let format = read("format/retprobe")?;
    let ret_bit =
        format.trim().strip_prefix("config:").and_then(|bit| bit.parse().ok()).ok_or_else(invalid)?;
    Ok(ProbeSource { ty, ret_bit })
}

fn c_string(call: &'static str, text: &[u8]) -> Result<CString> {
    CString::new(text).map_err(|_| SysError::new(call, String::from_utf8_lossy(text), Errno::EINVAL))
}

fn c_path(call: &'static str, path: &Path) -> Result<CString> {
    c_string(call, path.as_os_str().as_bytes())
}

/// `false` for `ENOENT`.
fn found(result: std::result::Result<i32, Errno>) -> std::result::Result<bool, Errno> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Kernel for LinuxKernel {
    fn n_possible_cpus(&self) -> u32 {
        self.n_possible_cpus
    }

    fn map_create(&self, map: &MapCreate<'_>) -> Result<MapFd> {
        let fd = self
            .charged(|| raw::map_create(map).run_fd())
            .map_err(|errno| SysError::new("bpf(BPF_MAP_CREATE)", map.name, errno))?;
        let shape = MapShape {
            ty: map.ty,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            copies: if map.ty.per_cpu() { self.n_possible_cpus } else { 1 },
        };
        Ok(MapFd::real(fd, shape, map.name.to_string()))
    }

    fn map_lookup(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        raw::map_lookup(Cmd::MapLookup, map, key, value)
            .and_then(|mut call| found(call.run()))
            .map_err(|errno| SysError::new("bpf(BPF_MAP_LOOKUP_ELEM)", map.name(), errno))
    }

    fn map_lookup_and_delete(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        raw::map_lookup(Cmd::MapLookupAndDelete, map, key, value)
            .and_then(|mut call| found(call.run()))
            .map_err(|errno| SysError::new("bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)", map.name(), errno))
    }

    fn map_update(&self, map: &MapFd, key: &[u8], value: &[u8], mode: UpdateMode) -> Result<()> {
        raw::map_update(map, key, value, mode)
            .and_then(|mut call| call.run())
            .map(drop)
            .map_err(|errno| SysError::new("bpf(BPF_MAP_UPDATE_ELEM)", map.name(), errno))
    }

    fn map_delete(&self, map: &MapFd, key: &[u8]) -> Result<bool> {
        raw::map_delete(map, key)
            .and_then(|mut call| found(call.run()))
            .map_err(|errno| SysError::new("bpf(BPF_MAP_DELETE_ELEM)", map.name(), errno))
    }

    fn map_next_key(&self, map: &MapFd, after: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        raw::map_next_key(map, after, next)
            .and_then(|mut call| found(call.run()))
            .map_err(|errno| SysError::new("bpf(BPF_MAP_GET_NEXT_KEY)", map.name(), errno))
    }

    fn map_batch(
        &self,
        map: &MapFd,
        op: BatchOp,
        cursor: &mut Vec<u8>,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> Result<BatchRead> {
        let name = match op {
            BatchOp::Lookup => "bpf(BPF_MAP_LOOKUP_BATCH)",
            BatchOp::LookupAndDelete => "bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH)",
        };
        let failed = |errno| SysError::new(name, map.name(), errno);
        let mut to = vec![0; raw::cursor_bytes(map)];
        let from = (!cursor.is_empty()).then_some(cursor.as_slice());
        let mut call = raw::map_batch(map, op, from, &mut to, keys, values).map_err(failed)?;
        let end = match call.run() {
            Ok(_) => false,
            // The last batch says so by failing, and yet brings entries.
            Err(Errno::ENOENT) => true,
            Err(errno) => return Err(failed(errno)),
        };
        let count = call.attr.count as usize;
        *cursor = to;
        Ok(BatchRead { count, end })
    }

    fn map_freeze(&self, map: &MapFd) -> Result<()> {
        raw::map_freeze(map)
            .run()
            .map(drop)
            .map_err(|errno| SysError::new("bpf(BPF_MAP_FREEZE)", map.name(), errno))
    }

    fn prog_load(&self, prog: &ProgLoad<'_>) -> std::result::Result<Loaded, LoadError> {
        const CALL: &str = "bpf(BPF_PROG_LOAD)";
        let silent = |error| LoadError { error, log: VerifierLog::default() };
        let license = c_string(CALL, prog.license.as_bytes()).map_err(silent)?;
        let load = |log: &mut [u8], level| {
            self.charged(|| again_while_busy(|| raw::prog_load(prog, &license, log, level).run_fd()))
        };
        let wanted = match prog.log {
            LogLevel::Never | LogLevel::None => 0,
            LogLevel::Stats => LOG_STATS,
            LogLevel::Full => LOG_ALL_PATHS,
        };
        let loaded = |fd, log| Loaded { prog: ProgFd::new(fd, prog.name), log };
        if wanted != 0
            && let (Ok(fd), log) = with_log(wanted, load)
        {
            return Ok(loaded(fd, log));
        }
        let errno = match load(&mut [], 0) {
            Ok(fd) => return Ok(loaded(fd, VerifierLog::default())),
            Err(errno) => errno,
        };
        if prog.log == LogLevel::Never {
            return Err(silent(SysError::new(CALL, prog.name, errno)));
        }
        let (result, mut log) = with_log(LOG_FAILING_PATH, load);
        if let Ok(fd) = result {
            // What stood in the way has gone meanwhile.
            return Ok(loaded(fd, VerifierLog::default()));
        }
        if log.truncated && log.decisive().is_none() {
            // Kernels before 6.4 keep the beginning of a long log; without states only the message is left.
            log = with_log(LOG_STATS, load).1;
        }
        Err(LoadError { error: SysError::new(CALL, prog.name, errno), log })
    }

    fn prog_test_run(&self, prog: &ProgFd, run: &TestRun<'_>) -> Result<TestRunResult> {
        let mut call = raw::test_run(prog, run);
        call.run().map_err(|errno| SysError::new("bpf(BPF_PROG_TEST_RUN)", prog.name(), errno))?;
        Ok(TestRunResult { retval: call.attr.retval, duration_ns: call.attr.duration })
    }

    fn link_create(&self, link: &LinkCreate<'_>) -> Result<LinkFd> {
        let head = |prog: &ProgFd, attach_type: AttachType| raw::LinkHead {
            prog_fd: prog.as_raw_fd() as u32,
            target_fd: 0,
            attach_type: attach_type as u32,
        };
        let (call, prog, fd) = match *link {
            LinkCreate::PerfEvent { prog, event, cookie } => {
                let head = raw::LinkHead {
                    target_fd: event.as_raw_fd() as u32,
                    ..head(prog, AttachType::PerfEvent)
                };
                ("bpf(BPF_LINK_CREATE, perf_event)", prog, raw::perf_link(head, cookie).run_fd())
            }
            LinkCreate::KprobeMulti { prog, targets, cookies, flavour } => {
                let (attach_type, flags) = match flavour {
                    MultiFlavour::Entry => (AttachType::TraceKprobeMulti, 0),
                    MultiFlavour::Return => (AttachType::TraceKprobeMulti, raw::MULTI_RETURN),
                    MultiFlavour::Session => (AttachType::TraceKprobeSession, 0),
                };
                let head = head(prog, attach_type);
                let fd = match targets {
                    KprobeTargets::Symbols(names) => raw::Names::new(names)
                        .and_then(|names| raw::kprobe_multi_names(head, flags, &names, cookies)?.run_fd()),
                    KprobeTargets::Addresses(addresses) => {
                        raw::kprobe_multi_addresses(head, flags, addresses, cookies)
                            .and_then(|mut call| call.run_fd())
                    }
                };
                ("bpf(BPF_LINK_CREATE, kprobe_multi)", prog, fd)
            }
            LinkCreate::UprobeMulti { prog, path, offsets, ref_ctr_offsets, cookies, pid, flavour } => {
                const CALL: &str = "bpf(BPF_LINK_CREATE, uprobe_multi)";
                let (attach_type, flags) = match flavour {
                    MultiFlavour::Entry => (AttachType::TraceUprobeMulti, 0),
                    MultiFlavour::Return => (AttachType::TraceUprobeMulti, raw::MULTI_RETURN),
                    MultiFlavour::Session => (AttachType::TraceUprobeSession, 0),
                };
                let path = c_path(CALL, path)?;
                let places = raw::UprobePlaces {
                    path: &path,
                    offsets,
                    ref_ctr_offsets,
                    cookies,
                    pid: pid.unwrap_or(0),
                };
                let fd = raw::uprobe_multi(head(prog, attach_type), flags, &places)
                    .and_then(|mut call| call.run_fd());
                (CALL, prog, fd)
            }
            // The older command does the same on every kernel, but takes no cookie.
            LinkCreate::Tracing { prog, cookie: 0, .. } => (
                "bpf(BPF_RAW_TRACEPOINT_OPEN, tracing)",
                prog,
                raw::raw_tracepoint_open(prog, None, 0).run_fd(),
            ),
            LinkCreate::Tracing { prog, attach_type, cookie } => (
                "bpf(BPF_LINK_CREATE, tracing)",
                prog,
                raw::tracing_link(head(prog, attach_type), cookie).run_fd(),
            ),
            LinkCreate::RawTracepoint { prog, name, cookie } => {
                const CALL: &str = "bpf(BPF_RAW_TRACEPOINT_OPEN)";
                let name = c_string(CALL, name.as_bytes())?;
                (CALL, prog, raw::raw_tracepoint_open(prog, Some(&name), cookie).run_fd())
            }
            LinkCreate::Iter { prog } => (
                "bpf(BPF_LINK_CREATE, iter)",
                prog,
                raw::iter_link(head(prog, AttachType::TraceIter)).run_fd(),
            ),
        };
        fd.map(LinkFd::from).map_err(|errno| SysError::new(call, prog.name(), errno))
    }

    fn iter_create(&self, link: &LinkFd) -> Result<OwnedFd> {
        raw::iter_create(link.as_fd())
            .run_fd()
            .map_err(|errno| SysError::new("bpf(BPF_ITER_CREATE)", "iterator", errno))
    }

    fn perf_event_open(&self, event: &PerfEvent) -> Result<PerfFd> {
        const CALL: &str = "perf_event_open";
        let mut attr = raw::PerfAttr::default();
        let mut text = None;
        match &event.kind {
            PerfKind::Hardware(config) => (attr.ty, attr.config) = (perf_type::HARDWARE, *config),
            PerfKind::Software(config) => (attr.ty, attr.config) = (perf_type::SOFTWARE, *config),
            PerfKind::Tracepoint { id } => (attr.ty, attr.config) = (perf_type::TRACEPOINT, *id),
            PerfKind::Code { wake_at } => {
                (attr.ty, attr.config) = (perf_type::SOFTWARE, SW_DUMMY);
                attr.flags = perf_flag::CODE;
                attr.sample_type = SAMPLE_TIME;
                attr.wakeup_events = *wake_at;
            }
            PerfKind::Breakpoint { addr, len, access } => {
                attr.ty = perf_type::BREAKPOINT;
                (attr.bp_type, attr.config1, attr.config2) = (*access, *addr, *len);
            }
            PerfKind::Kprobe { at, ret } => {
                let source = self.probe_source("kprobe")?;
                (attr.ty, attr.config) = (source.ty, u64::from(*ret) << source.ret_bit);
                match at {
                    KprobeAt::Symbol { name, offset } => {
                        text = Some(c_string(CALL, name.as_bytes())?);
                        attr.config2 = *offset;
                    }
                    KprobeAt::Address(address) => attr.config2 = *address,
                }
            }
            PerfKind::Uprobe { path, offset, ref_ctr_offset, ret } => {
                let source = self.probe_source("uprobe")?;
                attr.ty = source.ty;
                attr.config = u64::from(*ret) << source.ret_bit | u64::from(*ref_ctr_offset) << 32;
                text = Some(c_path(CALL, path)?);
                attr.config2 = *offset;
            }
        }
        attr.flags |= perf_flag::DISABLED;
        if event.inherit {
            attr.flags |= perf_flag::INHERIT;
        }
        match event.sampling {
            Sampling::Period(period) => attr.period_or_freq = period,
            Sampling::Frequency(hz) => {
                attr.period_or_freq = hz;
                attr.flags |= perf_flag::FREQ;
            }
        }
        let (pid, cpu) = match event.target {
            PerfTarget::Cpu(cpu) => (-1, cpu as i32),
            PerfTarget::Task(pid) => (pid as i32, -1),
            PerfTarget::TaskOnCpu(pid, cpu) => (pid as i32, cpu as i32),
        };
        raw::perf_event(attr, text.as_deref(), pid, cpu)
            .run()
            .map(PerfFd::from)
            .map_err(|errno| SysError::new(CALL, describe(&event.kind), errno))
    }

    fn perf_set_bpf(&self, event: &PerfFd, prog: &ProgFd) -> Result<()> {
        raw::perf_ioctl(event, PerfIoctl::SetBpf, prog.as_raw_fd())
            .map_err(|errno| SysError::new("ioctl(PERF_EVENT_IOC_SET_BPF)", prog.name(), errno))
    }

    fn perf_enable(&self, event: &PerfFd) -> Result<()> {
        raw::perf_ioctl(event, PerfIoctl::Enable, 0)
            .map_err(|errno| SysError::new("ioctl(PERF_EVENT_IOC_ENABLE)", "perf event", errno))
    }

    fn perf_disable(&self, event: &PerfFd) -> Result<()> {
        raw::perf_ioctl(event, PerfIoctl::Disable, 0)
            .map_err(|errno| SysError::new("ioctl(PERF_EVENT_IOC_DISABLE)", "perf event", errno))
    }

    fn btf_load(&self, btf: &[u8]) -> std::result::Result<BtfFd, LoadError> {
        let load = |log: &mut [u8], _| self.charged(|| raw::btf_load(btf, log).run_fd());
        load(&mut [], 0).map(BtfFd::from).or_else(|errno| {
            let (result, log) = with_log(LOG_FAILING_PATH, load);
            let error = SysError::new("bpf(BPF_BTF_LOAD)", "type information", errno);
            result.map(BtfFd::from).map_err(|_| LoadError { error, log })
        })
    }

    fn next_id(&self, kind: IdKind, after: u32) -> Result<Option<u32>> {
        let call = match kind {
            IdKind::Prog => "bpf(BPF_PROG_GET_NEXT_ID)",
            IdKind::Btf => "bpf(BPF_BTF_GET_NEXT_ID)",
            IdKind::Link => "bpf(BPF_LINK_GET_NEXT_ID)",
        };
        let mut request = raw::next_id(kind, after);
        match found(request.run()) {
            Ok(true) => Ok(Some(request.attr.next_id)),
            Ok(false) => Ok(None),
            Err(errno) => Err(SysError::new(call, format!("id {after}"), errno)),
        }
    }

    fn prog_by_id(&self, id: u32) -> Result<ProgFd> {
        raw::prog_by_id(id)
            .run_fd()
            .map(|fd| ProgFd::new(fd, format!("program {id}")))
            .map_err(|errno| SysError::new("bpf(BPF_PROG_GET_FD_BY_ID)", format!("program {id}"), errno))
    }

    fn btf_by_id(&self, id: u32) -> Result<BtfFd> {
        raw::btf_by_id(id)
            .run_fd()
            .map(BtfFd::from)
            .map_err(|errno| SysError::new("bpf(BPF_BTF_GET_FD_BY_ID)", format!("BTF {id}"), errno))
    }

    fn prog_info(&self, prog: &ProgFd) -> Result<ProgInfo> {
        let info = raw::prog_info(prog)
            .map_err(|errno| SysError::new("bpf(BPF_OBJ_GET_INFO_BY_FD)", prog.name(), errno))?;
        Ok(ProgInfo {
            id: info.id,
            ty: info.ty,
            name: until_nul(&info.name),
            btf_id: info.btf_id,
            xlated_len: info.xlated_len,
            jited_len: info.jited_len,
            run_time_ns: info.run_time_ns,
            run_cnt: info.run_cnt,
            recursion_misses: info.recursion_misses,
            verified_insns: info.verified_insns,
        })
    }

    fn link_missed(&self, link: &LinkFd) -> Result<u64> {
        let info = raw::link_info(link.as_fd())
            .map_err(|errno| SysError::new("bpf(BPF_OBJ_GET_INFO_BY_FD)", "link", errno))?;
        Ok(info.missed())
    }

    fn wait_for_programs(&self) -> Result<()> {
        /// Where the kernel cannot be asked: far longer than a grace period takes.
        const LONG: std::time::Duration = std::time::Duration::from_millis(200);
        // Programs run between rcu_read_lock and rcu_read_unlock; this is synchronize_rcu. Kernels with CPUs that are
        // never interrupted (nohz_full) refuse it.
        if raw::membarrier_global().is_err() {
            std::thread::sleep(LONG);
        }
        Ok(())
    }

    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo> {
        let mut name = [0; 64];
        let info = raw::btf_info(btf.as_fd(), &mut name)
            .map_err(|errno| SysError::new("bpf(BPF_OBJ_GET_INFO_BY_FD)", "BTF", errno))?;
        Ok(BtfInfo { id: info.id, name: until_nul(&name), kernel: info.kernel_btf != 0, size: info.btf_size })
    }

    fn enable_stats(&self) -> Result<OwnedFd> {
        raw::enable_stats()
            .run_fd()
            .map_err(|errno| SysError::new("bpf(BPF_ENABLE_STATS)", "run time", errno))
    }

    fn obj_pin(&self, object: BorrowedFd<'_>, path: &Path) -> Result<()> {
        const CALL: &str = "bpf(BPF_OBJ_PIN)";
        let name = c_path(CALL, path)?;
        raw::obj_pin(object, &name)
            .run()
            .map(drop)
            .map_err(|errno| SysError::new(CALL, path.display().to_string(), errno))
    }

    fn obj_get(&self, path: &Path) -> Result<OwnedFd> {
        const CALL: &str = "bpf(BPF_OBJ_GET)";
        let name = c_path(CALL, path)?;
        raw::obj_get(&name).run_fd().map_err(|errno| SysError::new(CALL, path.display().to_string(), errno))
    }

    fn open_ring(&self, map: &MapFd) -> Result<Box<dyn Records>> {
        if map.shape().ty != MapType::Ringbuf || !map.is_real() {
            return Err(SysError::new("mmap", map.name(), Errno::EINVAL));
        }
        Ok(Box::new(BpfRing::open(map)?))
    }
}

/// `perf_event_attr.type`.
mod perf_type {
    pub(super) const HARDWARE: u32 = 0;
    pub(super) const SOFTWARE: u32 = 1;
    pub(super) const TRACEPOINT: u32 = 2;
    pub(super) const BREAKPOINT: u32 = 5;
}

/// Bits of `perf_event_attr.flags`.
mod perf_flag {
    pub(super) const DISABLED: u64 = 1;
    pub(super) const INHERIT: u64 = 1 << 1;
    pub(super) const FREQ: u64 = 1 << 10;
    /// `mmap`, `comm`, `task`, `watermark` (of `wakeup_events`), `sample_id_all`, `mmap2`, `comm_exec`
    pub(super) const CODE: u64 = 1 << 8 | 1 << 9 | 1 << 13 | 1 << 14 | 1 << 18 | 1 << 23 | 1 << 24;
}

/// `PERF_SAMPLE_TIME`: with `sample_id_all` the time is behind every record.
const SAMPLE_TIME: u64 = 1 << 2;

/// `PERF_COUNT_SW_DUMMY`: an event that never happens.
const SW_DUMMY: u64 = 9;

fn describe(kind: &PerfKind) -> String {
    match kind {
        PerfKind::Software(config) => format!("software event {config}"),
        PerfKind::Hardware(config) => format!("hardware event {config}"),
        PerfKind::Tracepoint { id } => format!("tracepoint {id}"),
        PerfKind::Kprobe { at: KprobeAt::Symbol { name, offset: 0 }, .. } => {
            format!("kernel function {name}")
        }
        PerfKind::Kprobe { at: KprobeAt::Symbol { name, offset }, .. } => {
            format!("kernel function {name}+{offset}")
        }
        PerfKind::Kprobe { at: KprobeAt::Address(address), .. } => format!("kernel address {address:#x}"),
        PerfKind::Uprobe { path, offset, .. } => format!("{}:{offset:#x}", path.display()),
        PerfKind::Code { .. } => "word of mapped code".to_string(),
        PerfKind::Breakpoint { addr, .. } => format!("address {addr:#x}"),
    }
}

/// `BPF_LOG_LEVEL1`: the path that was refused.
const LOG_FAILING_PATH: u32 = 1;
/// `BPF_LOG_LEVEL2`: every path.
const LOG_ALL_PATHS: u32 = 2;
/// `BPF_LOG_STATS`: the message, if any, and statistics.
const LOG_STATS: u32 = 4;

/// Repeats a load that found the verifier interrupted by a signal, a few times.
fn again_while_busy<T>(
    mut load: impl FnMut() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Errno> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match load() {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
    load()
}

/// Loads with a log buffer that grows until it holds everything the kernel has to say.
fn with_log<T>(
    level: u32,
    load: impl Fn(&mut [u8], u32) -> std::result::Result<T, Errno>,
) -> (std::result::Result<T, Errno>, VerifierLog) {
    const FIRST: usize = 64 << 10;
    /// The largest that every kernel takes.
    const LARGEST: usize = (16 << 20) - 1;
    let mut size = FIRST;
    loop {
        let mut buffer = vec![0; size];
        let result = load(&mut buffer, level);
        let short = matches!(result, Err(Errno::ENOSPC));
        if short && size < LARGEST {
            size = (size * 4).min(LARGEST);
            continue;
        }
        return (result, VerifierLog::from_bytes(&buffer, short));
    }
}
