//! Programs on events of this very process.

use crate::{count, count_own, counter, kernel, load};
use bpf_facts::{AttachType, ProgType};
use bpf_syscall::{
    Errno, Kernel, LinkCreate, LinuxKernel, MultiFlavour, PerfEvent, PerfKind, PerfTarget, ProgFd, ProgLoad,
    Sampling,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// `PERF_COUNT_SW_CPU_CLOCK`.
const CPU_CLOCK: u64 = 0;

/// A timer of 1 ms in which this thread was running.
fn clock_event() -> PerfEvent {
    PerfEvent {
        kind: PerfKind::Software(CPU_CLOCK),
        target: PerfTarget::Task(bpf_syscall::host::tid()),
        sampling: Sampling::Period(1_000_000),
        inherit: false,
    }
}

fn busy(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn clocks_run_programs_by_link_and_by_ioctl() {
    let Some(kernel) = kernel() else { return };
    for by_link in [true, false] {
        let map = counter(&kernel);
        let prog = load(&kernel, ProgType::PerfEvent, &count_own(), &[&map]);
        let event = kernel.perf_event_open(&clock_event()).expect("opened");
        let link = if by_link {
            match kernel.link_create(&LinkCreate::PerfEvent { prog: &prog, event: &event, cookie: 0 }) {
                Ok(link) => Some(link),
                Err(error) => {
                    println!("skipped: {error}");
                    continue;
                }
            }
        } else {
            kernel.perf_set_bpf(&event, &prog).expect("attached");
            None
        };
        assert_eq!(count(&kernel, &map), 0, "nothing runs before it is enabled");
        kernel.perf_enable(&event).expect("enabled");
        busy(Duration::from_millis(100));
        kernel.perf_disable(&event).expect("disabled");
        let ran = count(&kernel, &map);
        assert!(ran > 5, "by link {by_link}: {ran}");
        busy(Duration::from_millis(10));
        assert_eq!(count(&kernel, &map), ran, "nothing runs after it is disabled");
        drop((link, event));
    }
}

/// What the probes below sit on. The arguments keep the calls from being merged.
#[inline(never)]
extern "C" fn traced(x: u64) -> u64 {
    std::hint::black_box(x).wrapping_mul(3)
}

#[inline(never)]
extern "C" fn traced_too(x: u64) -> u64 {
    std::hint::black_box(x).wrapping_mul(5)
}

/// The file and the offset in it of a function of this process.
fn place(function: extern "C" fn(u64) -> u64) -> (PathBuf, u64) {
    let address = function as usize as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("a number");
        if (number(start)..number(end)).contains(&address) {
            return (fields[5].into(), address - number(start) + number(fields[2]));
        }
    }
    panic!("{address:#x} is nowhere");
}

#[test]
fn uprobes_see_entry_and_return() {
    let Some(kernel) = kernel() else { return };
    let (path, offset) = place(traced);
    for ret in [false, true] {
        let map = counter(&kernel);
        let prog = load(&kernel, ProgType::Kprobe, &count_own(), &[&map]);
        let kind = PerfKind::Uprobe { path: path.clone(), offset, ref_ctr_offset: 0, ret };
        let event = kernel.perf_event_open(&PerfEvent::every(kind)).expect("opened");
        kernel.perf_set_bpf(&event, &prog).expect("attached");
        kernel.perf_enable(&event).expect("enabled");
        (0..10).for_each(|x| assert_eq!(traced(x), x * 3));
        assert_eq!(count(&kernel, &map), 10, "return {ret}");
        drop(event);
        traced(1);
        assert_eq!(count(&kernel, &map), 10, "closing the event detaches");
    }
}

/// Loads the counting program with an attach type, which multi links want.
fn load_multi(kernel: &LinuxKernel, map: &bpf_syscall::MapFd) -> ProgFd {
    let code = crate::assemble(&count_own(), &[map]);
    let attach_type = AttachType::TraceUprobeMulti;
    let request = ProgLoad { attach_type, ..ProgLoad::new("multi", ProgType::Kprobe, &code) };
    kernel.prog_load(&request).expect("loaded").prog
}

#[test]
fn one_link_covers_several_functions() {
    let Some(kernel) = kernel() else { return };
    let ((path, first), (_, second)) = (place(traced), place(traced_too));
    let map = counter(&kernel);
    let prog = load_multi(&kernel, &map);
    let request = LinkCreate::UprobeMulti {
        prog: &prog,
        path: &path,
        offsets: &[first, second],
        ref_ctr_offsets: &[],
        cookies: &[],
        pid: None,
        flavour: MultiFlavour::Entry,
    };
    let link = match kernel.link_create(&request) {
        Ok(link) => link,
        Err(error) if error.errno == Errno::EINVAL => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // Other tests of this process call the first function as well.
    let before = count(&kernel, &map);
    assert_eq!(traced(2) + traced_too(2), 16);
    assert!(count(&kernel, &map) >= before + 2);
    drop(link);
    let after = count(&kernel, &map);
    traced_too(1);
    assert_eq!(count(&kernel, &map), after);
}

#[test]
fn raw_tracepoints_see_our_system_calls() {
    let Some(kernel) = kernel() else { return };
    let map = counter(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, &count_own(), &[&map]);
    let request = |name| LinkCreate::RawTracepoint { prog: &prog, name, cookie: 0 };
    let error = kernel.link_create(&request("no_such_tracepoint")).expect_err("there is none");
    assert_eq!(error.errno, Errno::ENOENT);
    let link = kernel.link_create(&request("sys_enter")).expect("attached");
    std::fs::metadata("/").expect("a system call");
    drop(link);
    assert!(count(&kernel, &map) > 0);
}

#[test]
fn events_that_do_not_exist_are_named() {
    let Some(kernel) = kernel() else { return };
    let error =
        kernel.perf_event_open(&PerfEvent::every(PerfKind::Tracepoint { id: 65_000 })).expect_err("none");
    assert!(error.to_string().starts_with("perf_event_open of tracepoint 65000: "), "{error}");
    let nowhere = PerfKind::Uprobe { path: "/no/such/file".into(), offset: 1, ref_ctr_offset: 0, ret: false };
    let error = kernel.perf_event_open(&PerfEvent::every(nowhere)).expect_err("none");
    assert_eq!(error.errno, Errno::ENOENT);
}
