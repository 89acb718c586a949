//! The system calls themselves: attr structs as the kernel lays them out, and the few instructions that enter it.
//!
//! A [`Call`] can only be made by the functions below, each of which takes its buffers as borrowed slices and checks
//! their lengths against what the kernel will read or write. So running one is safe, and the only unsafe step of
//! bpf(2) stands in one place. Structs are as long as the sub-command needs: older kernels refuse longer ones unless
//! what they do not know is zero.

#![expect(unsafe_code, reason = "system calls take addresses")]

use crate::errno::Errno;
use crate::fd::{MapFd, PerfFd, ProgFd};
use crate::kernel::{BatchOp, IdKind, MapCreate, TestRun, UpdateMode};
use crate::load::{AttachTarget, FuncInfo, LineInfo, ProgLoad};
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

type Result<T> = std::result::Result<T, Errno>;

/// `enum bpf_cmd`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Cmd {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    TestRun = 10,
    ProgNextId = 11,
    ProgById = 13,
    InfoByFd = 15,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    BtfById = 19,
    MapLookupAndDelete = 21,
    MapFreeze = 22,
    BtfNextId = 23,
    MapLookupBatch = 24,
    MapLookupAndDeleteBatch = 25,
    LinkCreate = 28,
    LinkNextId = 31,
    EnableStats = 32,
    IterCreate = 33,
}

/// A bpf(2) call ready to run. `'a` borrows every buffer that `attr` points to.
pub(crate) struct Call<'a, A> {
    cmd: Cmd,
    /// What the kernel reads, and writes its answers to.
    pub(crate) attr: A,
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<A: Copy> Call<'_, A> {
    fn new(cmd: Cmd, attr: A) -> Self {
        Call { cmd, attr, borrowed: PhantomData }
    }

    /// Enters the kernel. The number it returns is a descriptor or zero.
    pub(crate) fn run(&mut self) -> Result<i32> {
        retry(|| {
            let attr: *mut A = &mut self.attr;
            // SAFETY: attr points to size_of::<A>() initialised bytes without padding (asserted below), and its
            // addresses to buffers borrowed for the life of self whose lengths the constructors checked.
            unsafe { libc::syscall(libc::SYS_bpf, self.cmd as libc::c_ulong, attr, size_of::<A>()) }
        })
    }

    /// As [`run`](Self::run), for commands that make a descriptor.
    pub(crate) fn run_fd(&mut self) -> Result<OwnedFd> {
        self.run().map(own)
    }
}

/// Repeats a call that a signal interrupted, and reads its result.
fn retry(mut call: impl FnMut() -> libc::c_long) -> Result<i32> {
    loop {
        let value = call();
        if value >= 0 {
            return Ok(value as i32);
        }
        let errno = Errno::of(&std::io::Error::last_os_error());
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
}

/// Takes a descriptor that the kernel has just made.
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: called with the result of a call that returns a new descriptor, which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The address of a buffer; 0 for an empty one, as the kernel wants it.
fn addr<T>(buffer: &[T]) -> u64 {
    if buffer.is_empty() { 0 } else { buffer.as_ptr().expose_provenance() as u64 }
}

fn addr_mut<T>(buffer: &mut [T]) -> u64 {
    if buffer.is_empty() { 0 } else { buffer.as_mut_ptr().expose_provenance() as u64 }
}

fn addr_str(text: &CStr) -> u64 {
    text.as_ptr().expose_provenance() as u64
}

fn fd_u32(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd() as u32
}

/// A name as the kernel takes it: 15 characters of `[A-Za-z0-9_.]` and a NUL.
fn object_name(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out[..15].iter_mut().zip(name.chars()) {
        *to = if from.is_ascii_alphanumeric() || from == '.' { from as u8 } else { b'_' };
    }
    out
}

/// Declares an attr struct: plain numbers, no padding, size and some offsets asserted.
macro_rules! attr {
    ($(#[$doc:meta])* $name:ident, $size:literal { $($field:ident: $ty:ty $(= $off:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }
        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(0 $(+ size_of::<$ty>())* == $size, "no padding");
        $($(const _: () = assert!(offset_of!($name, $field) == $off);)?)*
    };
}

// ---- maps

attr!(MapCreateAttr, 64 {
    map_type: u32, key_size: u32, value_size: u32, max_entries: u32, map_flags: u32, inner_map_fd: u32,
    numa_node: u32, map_name: [u8; 16] = 28, map_ifindex: u32, btf_fd: u32 = 48, btf_key_type_id: u32,
    btf_value_type_id: u32, btf_vmlinux_value_type_id: u32 = 60,
});

attr!(MapElemAttr, 32 { map_fd: u32, pad: u32, key: u64 = 8, value: u64, flags: u64, });

attr!(BatchAttr, 56 {
    in_batch: u64, out_batch: u64, keys: u64, values: u64, count: u32 = 32, map_fd: u32, elem_flags: u64 = 40,
    flags: u64,
});

attr!(FdAttr, 4 { fd: u32, });

pub(crate) fn map_create<'a>(map: &MapCreate<'a>) -> Call<'a, MapCreateAttr> {
    let mut attr = MapCreateAttr {
        map_type: map.ty as u32,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_flags: map.flags,
        inner_map_fd: map.inner.map_or(0, fd_u32),
        map_name: object_name(map.name),
        ..MapCreateAttr::default()
    };
    if let Some(btf) = map.btf {
        attr.btf_fd = fd_u32(btf.btf);
        attr.btf_key_type_id = btf.key_type_id;
        attr.btf_value_type_id = btf.value_type_id;
    }
    Call::new(Cmd::MapCreate, attr)
}

/// `EBADF` for a map whose shape nobody vouches for, `EINVAL` for a key of the wrong length.
fn checked(map: &MapFd, key_len: usize) -> Result<()> {
    if !map.is_real() {
        return Err(Errno::EBADF);
    }
    if key_len == map.shape().key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
}

pub(crate) fn map_lookup<'a>(
    cmd: Cmd,
    map: &'a MapFd,
    key: &'a [u8],
    value: &'a mut [u8],
) -> Result<Call<'a, MapElemAttr>> {
    checked(map, key.len())?;
    if value.len() != map.shape().value_bytes() {
        return Err(Errno::EINVAL);
    }
    let attr =
        MapElemAttr { map_fd: fd_u32(map), key: addr(key), value: addr_mut(value), ..MapElemAttr::default() };
    Ok(Call::new(cmd, attr))
}

pub(crate) fn map_update<'a>(
    map: &'a MapFd,
    key: &'a [u8],
    value: &'a [u8],
    mode: UpdateMode,
) -> Result<Call<'a, MapElemAttr>> {
    checked(map, key.len())?;
    if value.len() != map.shape().value_bytes() {
        return Err(Errno::EINVAL);
    }
    let flags = match mode {
        UpdateMode::Any => 0,
        UpdateMode::Create => 1,
        UpdateMode::Replace => 2,
    };
    let attr = MapElemAttr { map_fd: fd_u32(map), pad: 0, key: addr(key), value: addr(value), flags };
    Ok(Call::new(Cmd::MapUpdate, attr))
}

pub(crate) fn map_delete<'a>(map: &'a MapFd, key: &'a [u8]) -> Result<Call<'a, MapElemAttr>> {
    checked(map, key.len())?;
    let attr = MapElemAttr { map_fd: fd_u32(map), key: addr(key), ..MapElemAttr::default() };
    Ok(Call::new(Cmd::MapDelete, attr))
}

pub(crate) fn map_next_key<'a>(
    map: &'a MapFd,
    after: Option<&'a [u8]>,
    next: &'a mut [u8],
) -> Result<Call<'a, MapElemAttr>> {
    checked(map, next.len())?;
    if let Some(after) = after {
        checked(map, after.len())?;
    }
    let attr = MapElemAttr {
        map_fd: fd_u32(map),
        key: after.map_or(0, addr),
        value: addr_mut(next),
        ..MapElemAttr::default()
    };
    Ok(Call::new(Cmd::MapNextKey, attr))
}

/// Bytes of a batch cursor: hash maps keep a 4-byte bucket there, others a key.
pub(crate) fn cursor_bytes(map: &MapFd) -> usize {
    (map.shape().key_size as usize).max(4)
}

pub(crate) fn map_batch<'a>(
    map: &'a MapFd,
    op: BatchOp,
    from: Option<&'a [u8]>,
    to: &'a mut [u8],
    keys: &'a mut [u8],
    values: &'a mut [u8],
) -> Result<Call<'a, BatchAttr>> {
    let key_size = map.shape().key_size as usize;
    checked(map, key_size)?;
    let fits = |cursor: &[u8]| cursor.len() >= cursor_bytes(map);
    if !fits(to) || from.is_some_and(|from| !fits(from)) || key_size == 0 || map.shape().value_bytes() == 0 {
        return Err(Errno::EINVAL);
    }
    let count = (keys.len() / key_size).min(values.len() / map.shape().value_bytes());
    let attr = BatchAttr {
        in_batch: from.map_or(0, addr),
        out_batch: addr_mut(to),
        keys: addr_mut(keys),
        values: addr_mut(values),
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map_fd: fd_u32(map),
        ..BatchAttr::default()
    };
    let cmd = match op {
        BatchOp::Lookup => Cmd::MapLookupBatch,
        BatchOp::LookupAndDelete => Cmd::MapLookupAndDeleteBatch,
    };
    Ok(Call::new(cmd, attr))
}

pub(crate) fn map_freeze(map: &MapFd) -> Call<'_, FdAttr> {
    Call::new(Cmd::MapFreeze, FdAttr { fd: fd_u32(map) })
}

// ---- programs

attr!(ProgLoadAttr, 120 {
    prog_type: u32, insn_cnt: u32, insns: u64 = 8, license: u64, log_level: u32 = 24, log_size: u32,
    log_buf: u64 = 32, kern_version: u32, prog_flags: u32, prog_name: [u8; 16] = 48, prog_ifindex: u32,
    expected_attach_type: u32 = 68, prog_btf_fd: u32, func_info_rec_size: u32, func_info: u64 = 80,
    func_info_cnt: u32, line_info_rec_size: u32, line_info: u64 = 96, line_info_cnt: u32,
    attach_btf_id: u32 = 108, attach_fd: u32 = 112, core_relo_cnt: u32,
});

attr!(TestRunAttr, 80 {
    prog_fd: u32, retval: u32, data_size_in: u32, data_size_out: u32, data_in: u64 = 16, data_out: u64,
    repeat: u32, duration: u32, ctx_size_in: u32 = 40, ctx_size_out: u32, ctx_in: u64 = 48, ctx_out: u64,
    flags: u32 = 64, cpu: u32, batch_size: u32, pad: u32,
});

const TEST_RUN_ON_CPU: u32 = 1;

pub(crate) fn prog_load<'a>(
    prog: &ProgLoad<'a>,
    license: &'a CStr,
    log: &'a mut [u8],
    log_level: u32,
) -> Call<'a, ProgLoadAttr> {
    let mut attr = ProgLoadAttr {
        prog_type: prog.ty as u32,
        insn_cnt: prog.insns.len() as u32,
        insns: addr(prog.insns),
        license: addr_str(license),
        log_level: if log.is_empty() { 0 } else { log_level },
        log_size: log.len() as u32,
        log_buf: addr_mut(log),
        prog_flags: prog.flags,
        prog_name: object_name(prog.name),
        expected_attach_type: prog.attach_type as u32,
        ..ProgLoadAttr::default()
    };
    if let Some(info) = prog.btf {
        attr.prog_btf_fd = fd_u32(info.btf);
        attr.func_info_rec_size = size_of::<FuncInfo>() as u32;
        attr.func_info = addr(info.func_info);
        attr.func_info_cnt = info.func_info.len() as u32;
        if !info.line_info.is_empty() {
            attr.line_info_rec_size = size_of::<LineInfo>() as u32;
            attr.line_info = addr(info.line_info);
            attr.line_info_cnt = info.line_info.len() as u32;
        }
    }
    match prog.target {
        None => {}
        Some(AttachTarget::Vmlinux { btf_id }) => attr.attach_btf_id = btf_id,
        Some(AttachTarget::Module { btf_id, btf }) => {
            (attr.attach_btf_id, attr.attach_fd) = (btf_id, fd_u32(btf));
        }
        Some(AttachTarget::Program { btf_id, prog }) => {
            (attr.attach_btf_id, attr.attach_fd) = (btf_id, fd_u32(prog));
        }
    }
    Call::new(Cmd::ProgLoad, attr)
}

pub(crate) fn test_run<'a>(prog: &'a ProgFd, run: &TestRun<'a>) -> Call<'a, TestRunAttr> {
    let attr = TestRunAttr {
        prog_fd: fd_u32(prog),
        data_size_in: run.data.len() as u32,
        data_in: addr(run.data),
        repeat: if run.repeat > 1 { run.repeat } else { 0 },
        ctx_size_in: run.ctx.len() as u32,
        ctx_in: addr(run.ctx),
        flags: if run.cpu.is_some() { TEST_RUN_ON_CPU } else { 0 },
        cpu: run.cpu.unwrap_or(0),
        ..TestRunAttr::default()
    };
    Call::new(Cmd::TestRun, attr)
}

// ---- BTF

attr!(BtfLoadAttr, 32 { btf: u64, log_buf: u64, btf_size: u32 = 16, log_size: u32, log_level: u32 = 24, true_size: u32, });

pub(crate) fn btf_load<'a>(btf: &'a [u8], log: &'a mut [u8]) -> Call<'a, BtfLoadAttr> {
    let attr = BtfLoadAttr {
        btf: addr(btf),
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: addr_mut(log),
        btf_size: btf.len() as u32,
        true_size: 0,
    };
    Call::new(Cmd::BtfLoad, attr)
}

// ---- links

/// What every link begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkHead {
    pub(crate) prog_fd: u32,
    pub(crate) target_fd: u32,
    pub(crate) attach_type: u32,
}

attr!(PerfLinkAttr, 24 { prog_fd: u32, target_fd: u32, attach_type: u32, flags: u32, cookie: u64 = 16, });

attr!(KprobeMultiAttr, 48 {
    prog_fd: u32, target_fd: u32, attach_type: u32, flags: u32, multi_flags: u32 = 16, cnt: u32, syms: u64,
    addrs: u64 = 32, cookies: u64,
});

attr!(UprobeMultiAttr, 64 {
    prog_fd: u32, target_fd: u32, attach_type: u32, flags: u32, path: u64 = 16, offsets: u64,
    ref_ctr_offsets: u64 = 32, cookies: u64, cnt: u32 = 48, multi_flags: u32, pid: u32, pad: u32,
});

attr!(TracingLinkAttr, 32 {
    prog_fd: u32, target_fd: u32, attach_type: u32, flags: u32, target_btf_id: u32 = 16, pad: u32, cookie: u64 = 24,
});

attr!(IterLinkAttr, 32 {
    prog_fd: u32, target_fd: u32, attach_type: u32, flags: u32, iter_info: u64 = 16, iter_info_len: u32, pad: u32,
});

attr!(RawTracepointAttr, 24 { name: u64, prog_fd: u32, pad: u32, cookie: u64 = 16, });

attr!(IterCreateAttr, 8 { link_fd: u32, flags: u32, });

/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN`.
pub(crate) const MULTI_RETURN: u32 = 1;

/// Names as an array of pointers to C strings.
pub(crate) struct Names {
    #[expect(dead_code, reason = "owns what the pointers point to")]
    strings: Vec<CString>,
    pointers: Vec<u64>,
}

impl Names {
    /// `EINVAL` for a name with a NUL in it.
    pub(crate) fn new(names: &[String]) -> Result<Names> {
        let strings: Vec<CString> = names
            .iter()
            .map(|name| CString::new(name.as_str()))
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Errno::EINVAL)?;
        let pointers = strings.iter().map(|name| addr_str(name)).collect();
        Ok(Names { strings, pointers })
    }
}

/// `EINVAL` unless `list` is empty or has `n` elements.
fn none_or(list: &[u64], n: usize) -> Result<u64> {
    if list.is_empty() || list.len() == n { Ok(addr(list)) } else { Err(Errno::EINVAL) }
}

pub(crate) fn perf_link(head: LinkHead, cookie: u64) -> Call<'static, PerfLinkAttr> {
    let LinkHead { prog_fd, target_fd, attach_type } = head;
    Call::new(Cmd::LinkCreate, PerfLinkAttr { prog_fd, target_fd, attach_type, flags: 0, cookie })
}

pub(crate) fn kprobe_multi_names<'a>(
    head: LinkHead,
    multi_flags: u32,
    names: &'a Names,
    cookies: &'a [u64],
) -> Result<Call<'a, KprobeMultiAttr>> {
    let attr = KprobeMultiAttr {
        prog_fd: head.prog_fd,
        attach_type: head.attach_type,
        multi_flags,
        cnt: names.pointers.len() as u32,
        syms: addr(&names.pointers),
        cookies: none_or(cookies, names.pointers.len())?,
        ..KprobeMultiAttr::default()
    };
    Ok(Call::new(Cmd::LinkCreate, attr))
}

pub(crate) fn kprobe_multi_addresses<'a>(
    head: LinkHead,
    multi_flags: u32,
    addresses: &'a [u64],
    cookies: &'a [u64],
) -> Result<Call<'a, KprobeMultiAttr>> {
    let attr = KprobeMultiAttr {
        prog_fd: head.prog_fd,
        attach_type: head.attach_type,
        multi_flags,
        cnt: addresses.len() as u32,
        addrs: addr(addresses),
        cookies: none_or(cookies, addresses.len())?,
        ..KprobeMultiAttr::default()
    };
    Ok(Call::new(Cmd::LinkCreate, attr))
}

/// Where a `uprobe_multi` link attaches.
pub(crate) struct UprobePlaces<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) offsets: &'a [u64],
    pub(crate) ref_ctr_offsets: &'a [u64],
    pub(crate) cookies: &'a [u64],
    pub(crate) pid: u32,
}

pub(crate) fn uprobe_multi<'a>(
    head: LinkHead,
    multi_flags: u32,
    places: &UprobePlaces<'a>,
) -> Result<Call<'a, UprobeMultiAttr>> {
    let attr = UprobeMultiAttr {
        prog_fd: head.prog_fd,
        attach_type: head.attach_type,
        path: addr_str(places.path),
        offsets: addr(places.offsets),
        ref_ctr_offsets: none_or(places.ref_ctr_offsets, places.offsets.len())?,
        cookies: none_or(places.cookies, places.offsets.len())?,
        cnt: places.offsets.len() as u32,
        multi_flags,
        pid: places.pid,
        ..UprobeMultiAttr::default()
    };
    Ok(Call::new(Cmd::LinkCreate, attr))
}

pub(crate) fn tracing_link(head: LinkHead, cookie: u64) -> Call<'static, TracingLinkAttr> {
    let LinkHead { prog_fd, target_fd, attach_type } = head;
    Call::new(
        Cmd::LinkCreate,
        TracingLinkAttr { prog_fd, target_fd, attach_type, cookie, ..Default::default() },
    )
}

pub(crate) fn iter_link(head: LinkHead) -> Call<'static, IterLinkAttr> {
    let LinkHead { prog_fd, target_fd, attach_type } = head;
    Call::new(Cmd::LinkCreate, IterLinkAttr { prog_fd, target_fd, attach_type, ..Default::default() })
}

/// `name` is `None` for BTF-typed programs, which know theirs.
pub(crate) fn raw_tracepoint_open<'a>(
    prog: &'a ProgFd,
    name: Option<&'a CStr>,
    cookie: u64,
) -> Call<'a, RawTracepointAttr> {
    let attr = RawTracepointAttr { name: name.map_or(0, addr_str), prog_fd: fd_u32(prog), pad: 0, cookie };
    Call::new(Cmd::RawTracepointOpen, attr)
}

pub(crate) fn iter_create(link: BorrowedFd<'_>) -> Call<'_, IterCreateAttr> {
    Call::new(Cmd::IterCreate, IterCreateAttr { link_fd: fd_u32(&link), flags: 0 })
}

// ---- objects in general

attr!(ObjAttr, 16 { pathname: u64, bpf_fd: u32, file_flags: u32, });
attr!(IdAttr, 12 { id: u32, next_id: u32, open_flags: u32, });
attr!(InfoAttr, 16 { bpf_fd: u32, info_len: u32, info: u64, });

attr!(
    /// `struct bpf_prog_info`. Addresses in it stay 0: only the counts are asked for.
    ProgInfoRaw, 232 {
        ty: u32, id: u32, tag: [u8; 8], jited_len: u32 = 16, xlated_len: u32, jited_insns: u64, xlated_insns: u64,
        load_time: u64, created_by_uid: u32, nr_map_ids: u32, map_ids: u64, name: [u8; 16] = 64, ifindex: u32,
        gpl: u32, netns_dev: u64, netns_ino: u64, nr_jited_ksyms: u32, nr_jited_func_lens: u32, jited_ksyms: u64,
        jited_func_lens: u64, btf_id: u32 = 128, func_info_rec_size: u32, func_info: u64, nr_func_info: u32,
        nr_line_info: u32, line_info: u64, jited_line_info: u64, nr_jited_line_info: u32, line_info_rec_size: u32,
        jited_line_info_rec_size: u32, nr_prog_tags: u32, prog_tags: u64, run_time_ns: u64 = 192, run_cnt: u64,
        recursion_misses: u64, verified_insns: u32 = 216, attach_btf_obj_id: u32, attach_btf_id: u32, pad: u32,
    }
);

attr!(
    /// `struct bpf_btf_info`.
    BtfInfoRaw, 32 { btf: u64, btf_size: u32, id: u32 = 12, name: u64, name_len: u32, kernel_btf: u32 = 28, }
);

attr!(
    /// `struct bpf_link_info`, as far as it tells of probes. The words in between are other kinds' business; buffers
    /// whose addresses they would be are not asked for.
    LinkInfoRaw, 64 {
        ty: u32, id: u32, prog_id: u32, pad: u32, perf_kind: u32 = 16, perf_pad: u32, words: u64 = 24,
        multi_missed: u64 = 32, addr: u64, perf_missed: u64 = 48, cookie: u64,
    }
);

impl LinkInfoRaw {
    /// The count of missed calls of those kinds that have one.
    pub(crate) fn missed(&self) -> u64 {
        /// `BPF_LINK_TYPE_PERF_EVENT`, `BPF_LINK_TYPE_KPROBE_MULTI`.
        const PERF_EVENT: u32 = 7;
        const KPROBE_MULTI: u32 = 8;
        /// `BPF_PERF_EVENT_KPROBE`, `BPF_PERF_EVENT_KRETPROBE`.
        const KPROBES: std::ops::RangeInclusive<u32> = 3..=4;
        match self.ty {
            KPROBE_MULTI => self.multi_missed,
            PERF_EVENT if KPROBES.contains(&self.perf_kind) => self.perf_missed,
            _ => 0,
        }
    }
}

pub(crate) fn obj_pin<'a>(fd: BorrowedFd<'a>, path: &'a CStr) -> Call<'a, ObjAttr> {
    Call::new(Cmd::ObjPin, ObjAttr { pathname: addr_str(path), bpf_fd: fd_u32(&fd), file_flags: 0 })
}

pub(crate) fn obj_get(path: &CStr) -> Call<'_, ObjAttr> {
    Call::new(Cmd::ObjGet, ObjAttr { pathname: addr_str(path), bpf_fd: 0, file_flags: 0 })
}

pub(crate) fn next_id(kind: IdKind, after: u32) -> Call<'static, IdAttr> {
    let cmd = match kind {
        IdKind::Prog => Cmd::ProgNextId,
        IdKind::Btf => Cmd::BtfNextId,
        IdKind::Link => Cmd::LinkNextId,
    };
    Call::new(cmd, IdAttr { id: after, ..IdAttr::default() })
}

pub(crate) fn prog_by_id(id: u32) -> Call<'static, IdAttr> {
    Call::new(Cmd::ProgById, IdAttr { id, ..IdAttr::default() })
}

pub(crate) fn btf_by_id(id: u32) -> Call<'static, IdAttr> {
    Call::new(Cmd::BtfById, IdAttr { id, ..IdAttr::default() })
}

pub(crate) fn enable_stats() -> Call<'static, FdAttr> {
    /// `BPF_STATS_RUN_TIME`.
    const RUN_TIME: u32 = 0;
    Call::new(Cmd::EnableStats, FdAttr { fd: RUN_TIME })
}

/// Reads what the kernel knows of a program.
pub(crate) fn prog_info(prog: &ProgFd) -> Result<ProgInfoRaw> {
    let mut info = [ProgInfoRaw::default()];
    let attr = InfoAttr {
        bpf_fd: fd_u32(prog),
        info_len: size_of::<ProgInfoRaw>() as u32,
        info: addr_mut(&mut info),
    };
    Call::new(Cmd::InfoByFd, attr).run()?;
    Ok(info[0])
}

/// Reads what the kernel knows of a BTF object; its name goes to `name`.
pub(crate) fn btf_info(btf: BorrowedFd<'_>, name: &mut [u8]) -> Result<BtfInfoRaw> {
    let mut info =
        [BtfInfoRaw { name: addr_mut(name), name_len: name.len() as u32, ..BtfInfoRaw::default() }];
    let attr = InfoAttr {
        bpf_fd: fd_u32(&btf),
        info_len: size_of::<BtfInfoRaw>() as u32,
        info: addr_mut(&mut info),
    };
    Call::new(Cmd::InfoByFd, attr).run()?;
    Ok(info[0])
}

/// Reads what the kernel knows of a link.
pub(crate) fn link_info(link: BorrowedFd<'_>) -> Result<LinkInfoRaw> {
    let mut info = [LinkInfoRaw::default()];
    let attr = InfoAttr {
        bpf_fd: fd_u32(&link),
        info_len: size_of::<LinkInfoRaw>() as u32,
        info: addr_mut(&mut info),
    };
    Call::new(Cmd::InfoByFd, attr).run()?;
    Ok(info[0])
}

// ---- perf events

attr!(
    /// `struct perf_event_attr` as of `PERF_ATTR_SIZE_VER5`.
    PerfAttr, 112 {
        ty: u32, size: u32, config: u64 = 8, period_or_freq: u64, sample_type: u64, read_format: u64,
        flags: u64 = 40, wakeup_events: u32, bp_type: u32, config1: u64 = 56, config2: u64,
        branch_sample_type: u64, sample_regs_user: u64, sample_stack_user: u32, clockid: i32,
        sample_regs_intr: u64, aux_watermark: u32, sample_max_stack: u16, reserved: u16,
    }
);

/// A perf event ready to be opened. `'a` borrows the name or path that `config1` points to.
pub(crate) struct PerfCall<'a> {
    attr: PerfAttr,
    pid: i32,
    cpu: i32,
    borrowed: PhantomData<&'a CStr>,
}

/// Makes a [`PerfCall`]. `text` is the function or path of a probe, whose address becomes `config1`; without one
/// `config1` is a plain number, which no event source but those two reads as an address.
pub(crate) fn perf_event(attr: PerfAttr, text: Option<&CStr>, pid: i32, cpu: i32) -> PerfCall<'_> {
    let config1 = text.map_or(attr.config1, addr_str);
    let attr = PerfAttr { size: size_of::<PerfAttr>() as u32, config1, ..attr };
    PerfCall { attr, pid, cpu, borrowed: PhantomData }
}

impl PerfCall<'_> {
    /// Opens the event.
    pub(crate) fn run(&self) -> Result<OwnedFd> {
        const NO_GROUP: RawFd = -1;
        const FD_CLOEXEC: libc::c_ulong = 8;
        let attr: *const PerfAttr = &self.attr;
        retry(|| {
            // SAFETY: attr is a whole perf_event_attr of the size it states; the kernel copies the string that
            // config1 may point to, which is borrowed for the life of self, and checks the address itself.
            unsafe {
                libc::syscall(libc::SYS_perf_event_open, attr, self.pid, self.cpu, NO_GROUP, FD_CLOEXEC)
            }
        })
        .map(own)
    }
}

/// `PERF_EVENT_IOC_*` with an integer argument.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum PerfIoctl {
    Enable = 0x2400,
    Disable = 0x2401,
    SetBpf = 0x4004_2408,
}

pub(crate) fn perf_ioctl(event: &PerfFd, request: PerfIoctl, argument: i32) -> Result<()> {
    retry(|| {
        // SAFETY: these three requests take an integer, never an address.
        let value = unsafe { libc::ioctl(event.as_raw_fd(), request as libc::Ioctl, argument) };
        libc::c_long::from(value)
    })
    .map(drop)
}

// ---- processes and mounts

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, as two words each.
const CAP_VERSION: u32 = 0x2008_0522;

/// The effective, permitted and inheritable capabilities of this thread.
pub(crate) fn capget() -> Result<[u64; 3]> {
    let header = CapHeader { version: CAP_VERSION, pid: 0 };
    let mut words = [[0u32; 3]; 2];
    // SAFETY: the kernel reads the header and writes two structs of three words, as version 3 says.
    retry(|| unsafe { libc::syscall(libc::SYS_capget, &raw const header, words.as_mut_ptr()) })?;
    Ok(std::array::from_fn(|set| u64::from(words[0][set]) | u64::from(words[1][set]) << 32))
}

/// Sets them.
pub(crate) fn capset(sets: [u64; 3]) -> Result<()> {
    let header = CapHeader { version: CAP_VERSION, pid: 0 };
    let words = [sets.map(|set| set as u32), sets.map(|set| (set >> 32) as u32)];
    // SAFETY: the kernel reads the header and two structs of three words, as version 3 says.
    retry(|| unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) }).map(drop)
}

/// Waits for a grace period of RCU (`MEMBARRIER_CMD_GLOBAL`, since 4.3; `EINVAL` with nohz_full CPUs).
pub(crate) fn membarrier_global() -> Result<()> {
    const GLOBAL: u32 = 1;
    // SAFETY: takes integers.
    retry(|| unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) }).map(drop)
}

/// A descriptor that becomes readable when the process ends (since 5.3).
pub(crate) fn pidfd_open(pid: u32) -> Result<OwnedFd> {
    // SAFETY: takes two integers.
    retry(|| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map(own)
}

/// Signals a process by its descriptor, so that a reused number cannot be hit (since 5.1).
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: takes integers and a null siginfo, which the kernel then fills itself.
    retry(|| unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) })
        .map(drop)
}

/// Begins to configure a file system (since 5.2).
pub(crate) fn fsopen(name: &CStr) -> Result<OwnedFd> {
    const CLOEXEC: u32 = 1;
    // SAFETY: the name is a C string that outlives the call.
    retry(|| unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), CLOEXEC) }).map(own)
}

/// Makes the configured file system (`FSCONFIG_CMD_CREATE`).
pub(crate) fn fsconfig_create(fs: BorrowedFd<'_>) -> Result<()> {
    const CMD_CREATE: u32 = 6;
    let none: *const u8 = std::ptr::null();
    // SAFETY: this command takes no key and no value.
    retry(|| unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), CMD_CREATE, none, none, 0) })
        .map(drop)
}

/// Mounts it, attached to nothing: it is gone with the descriptor.
pub(crate) fn fsmount(fs: BorrowedFd<'_>) -> Result<OwnedFd> {
    const CLOEXEC: u32 = 1;
    const NO_SUID_DEV_EXEC: u32 = 2 | 4 | 8;
    // SAFETY: takes three integers.
    retry(|| unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), CLOEXEC, NO_SUID_DEV_EXEC) }).map(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_the_kernel_takes() {
        assert_eq!(&object_name("@start[tid]"), b"_start_tid_\0\0\0\0\0");
        assert_eq!(&object_name("tracepoint:syscalls:x"), b"tracepoint_sysc\0");
    }
}
