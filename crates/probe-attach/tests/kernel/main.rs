//! Every kind on the running kernel, observing this process alone. Needs root; a test that cannot run prints why.

mod kinds;
mod leaving;
mod old_kernel;

use bpf_facts::{Arch, AttachType, KernelProfile, MapType, ProgType};
use bpf_syscall::{
    Errno, Kernel, LinuxKernel, MapCreate, MapFd, ProgFd, ProgLoad, TraceFs, UpdateMode, host,
};
use probe_attach::{AttachPoint, Place, Program};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One test at a time: they share their functions and system calls, and a copy of this process that is made while one
/// leaves its probes would hold those of the others.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The kernel, for one test.
struct Session {
    kernel: LinuxKernel,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Session {
    type Target = LinuxKernel;

    fn deref(&self) -> &LinuxKernel {
        &self.kernel
    }
}

/// The kernel, if it lets us in.
fn kernel() -> Option<Session> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let kernel = LinuxKernel::new().expect("sysfs");
    match kernel.map_create(&MapCreate::new("try", MapType::Array, 4, 8, 1)) {
        Ok(_) => Some(Session { kernel, _turn: turn }),
        Err(error) if error.errno == Errno::EPERM => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn profile() -> KernelProfile {
    KernelProfile::of(host::uname().expect("uname").kernel().expect("a version"), Arch::X86_64)
}

/// A program that counts its runs in this process, and where it counts them.
struct Counter {
    map: MapFd,
    prog: ProgFd,
    ty: ProgType,
    attach_type: AttachType,
}

const COUNT_OWN: &str = "
    call 14
    r0 >>= 32
    r1 = PID
    if r0 != r1 goto out
    r1 = map[0][0]+0 ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
out:
    r0 = 0
    exit";

/// Puts `DIGIT` behind the decimal digits in its map, so that the order of runs can be read off.
const NOTE_OWN: &str = "
    call 14
    r0 >>= 32
    r1 = PID
    if r0 != r1 goto out
    r1 = map[0][0]+0 ll
    r2 = *(u64 *)(r1 + 0)
    r2 *= 10
    r2 += DIGIT
    *(u64 *)(r1 + 0) = r2
out:
    r0 = 0
    exit";

fn new_map(kernel: &dyn Kernel) -> MapFd {
    let map = kernel.map_create(&MapCreate::new("counter", MapType::Array, 4, 8, 1)).expect("a map");
    kernel.map_update(&map, &[0; 4], &[0; 8], UpdateMode::Any).expect("zeroed");
    map
}

fn load(kernel: &dyn Kernel, ty: ProgType, attach_type: AttachType, text: &str, map: &MapFd) -> ProgFd {
    let text = text.replace("PID", &std::process::id().to_string());
    let program = ebpf_asm::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let code = ebpf_asm::encode(&program, &|_| map.as_raw_fd()).expect("encodes");
    let request = ProgLoad { attach_type, ..ProgLoad::new("test", ty, &code) };
    match kernel.prog_load(&request) {
        Ok(loaded) => loaded.prog,
        Err(error) => panic!("{error}\n{}", error.log.text),
    }
}

fn read(kernel: &dyn Kernel, map: &MapFd) -> u64 {
    let mut value = [0; 8];
    assert!(kernel.map_lookup(map, &[0; 4], &mut value).expect("a look-up"));
    u64::from_ne_bytes(value)
}

impl Counter {
    fn new(kernel: &dyn Kernel, ty: ProgType, attach_type: AttachType) -> Counter {
        let map = new_map(kernel);
        let prog = load(kernel, ty, attach_type, COUNT_OWN, &map);
        Counter { map, prog, ty, attach_type }
    }

    fn program(&self) -> Program<'_> {
        Program { fd: &self.prog, ty: self.ty, attach_type: self.attach_type }
    }

    fn runs(&self, kernel: &dyn Kernel) -> u64 {
        read(kernel, &self.map)
    }
}

/// Computes until this thread has had a processor for so long, however busy the machine is with others.
fn busy(time: Duration) {
    let on_cpu = || -> Option<u128> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    };
    let (start, wall) = (on_cpu(), Instant::now());
    loop {
        (0..1000).for_each(|_| std::hint::spin_loop());
        let passed = match (start, on_cpu()) {
            (Some(start), Some(now)) => now.saturating_sub(start),
            _ => wall.elapsed().as_nanos(),
        };
        if passed >= time.as_nanos() {
            return;
        }
    }
}

/// Functions to put probes on. Their bodies differ, so that they are not merged.
#[inline(never)]
extern "C" fn traced(x: u64) -> u64 {
    std::hint::black_box(x).wrapping_mul(3)
}

#[inline(never)]
extern "C" fn traced_too(x: u64) -> u64 {
    std::hint::black_box(x).wrapping_mul(5)
}

/// The file and the offset in it of a function of this process.
fn place(function: extern "C" fn(u64) -> u64, ret: bool) -> Place {
    let address = function as usize as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("a number");
        if (number(start)..number(end)).contains(&address) {
            let offset = address - number(start) + number(fields[2]);
            return Place::Uprobe { path: PathBuf::from(fields[5]), offset, ref_ctr_offset: 0, ret };
        }
    }
    panic!("{address:#x} is nowhere");
}

/// The tracepoints of a category whose names begin so, as points. Empty, with a message, where tracefs cannot be read.
fn tracepoints(category: &str, prefix: &str, n: usize) -> Vec<AttachPoint> {
    let tracefs = match TraceFs::find() {
        Ok(tracefs) => tracefs,
        Err(error) => {
            println!("skipped: {error}");
            return Vec::new();
        }
    };
    let directory = tracefs.path().join("events").join(category);
    let entries = std::fs::read_dir(&directory).expect("a category").flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
        .iter()
        .take(n)
        .filter_map(|name| {
            let id = std::fs::read_to_string(directory.join(name).join("id")).ok()?.trim().parse().ok()?;
            Some(AttachPoint::new(format!("tracepoint:{category}:{name}"), Place::Tracepoint { id }))
        })
        .collect()
}
