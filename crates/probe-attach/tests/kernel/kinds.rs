//! One test per kind: nothing before, something while attached, nothing after.

use crate::old_kernel::OldKernel;
use crate::{
    Counter, NOTE_OWN, busy, kernel, load, new_map, place, profile, read, traced, traced_too, tracepoints,
};
use bpf_facts::{AttachType, Feature, ProgType};
use bpf_syscall::probe::{self, Answer};
use bpf_syscall::{Kernel, Sampling};
use hark_object::{ProbeSpec, UserLocation};
use probe_attach::{
    AttachPoint, HostCatalog, Method, Place, Program, Scope, attach, attach_all, attach_order, detach_all,
    expand, run_once,
};
use std::time::{Duration, Instant};

const EVERYBODY: Scope = Scope { pid: None };

/// Attaches, does `work`, detaches, and checks that the program ran meanwhile and only then. Returns how often.
#[track_caller]
fn conforms(kernel: &dyn Kernel, ty: ProgType, place: Place, scope: Scope, work: &dyn Fn()) -> u64 {
    let counter = Counter::new(kernel, ty, AttachType::None);
    let point = AttachPoint::new("probe", place);
    work();
    assert_eq!(counter.runs(kernel), 0, "before it is attached");
    let link = match attach(kernel, counter.program(), &point, scope) {
        Ok(link) => link,
        Err(error) => panic!("{error}"),
    };
    work();
    drop(link);
    let runs = counter.runs(kernel);
    work();
    assert_eq!(counter.runs(kernel), runs, "after it is detached");
    runs
}

#[test]
fn programs_on_demand() {
    let Some(kernel) = kernel() else { return };
    let counter = Counter::new(&*kernel, ProgType::RawTracepoint, AttachType::None);
    assert_eq!(run_once(&*kernel, &counter.prog, "begin").expect("ran"), 0);
    assert_eq!(counter.runs(&*kernel), 1);
}

#[test]
fn interval() {
    let Some(kernel) = kernel() else { return };
    // It fires on one CPU, whoever runs there: a program without a filter counts.
    let map = new_map(&*kernel);
    let text = "r1 = map[0][0]+0 ll\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\nr0 = 0\nexit";
    let prog = load(&*kernel, ProgType::PerfEvent, AttachType::None, text, &map);
    let program = Program { fd: &prog, ty: ProgType::PerfEvent, attach_type: AttachType::None };
    let point = AttachPoint::new("interval:ms:5", Place::Interval { period_ns: 5_000_000 });
    let start = Instant::now();
    let link = attach(&*kernel, program, &point, EVERYBODY).expect("attached");
    std::thread::sleep(Duration::from_millis(103));
    drop(link);
    let runs = read(&*kernel, &map);
    let most = start.elapsed().as_millis() as u64 / 5 + 1;
    assert!((5..=most).contains(&runs), "{runs} of at most {most}");
}

#[test]
fn profile_of_a_process_sees_all_its_threads() {
    let Some(kernel) = kernel() else { return };
    let scope = Scope { pid: Some(std::process::id()) };
    for sampling in [Sampling::Period(1_000_000), Sampling::Frequency(999)] {
        let runs = conforms(&*kernel, ProgType::PerfEvent, Place::Profile(sampling), scope, &|| {
            busy(Duration::from_millis(50));
            // A thread that is started later.
            std::thread::spawn(|| busy(Duration::from_millis(50))).join().expect("joined");
        });
        assert!(runs > 0, "{sampling:?}");
    }
}

#[test]
fn profile_of_everybody() {
    let Some(kernel) = kernel() else { return };
    let place = Place::Profile(Sampling::Frequency(499));
    let runs =
        conforms(&*kernel, ProgType::PerfEvent, place, EVERYBODY, &|| busy(Duration::from_millis(100)));
    assert!(runs > 0);
}

#[test]
fn software_event() {
    let Some(kernel) = kernel() else { return };
    // Page faults, by touching fresh memory.
    let place = Place::Software { config: 2, period: 1 };
    let scope = Scope { pid: Some(std::process::id()) };
    let runs = conforms(&*kernel, ProgType::PerfEvent, place, scope, &|| {
        let mut fresh = vec![0u8; 1 << 20];
        fresh.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        std::hint::black_box(fresh);
    });
    assert!(runs > 0);
}

#[test]
fn hardware_event() {
    let Some(kernel) = kernel() else { return };
    let counter = Counter::new(&*kernel, ProgType::PerfEvent, AttachType::None);
    let point =
        AttachPoint::new("hardware:cpu-cycles:1000000", Place::Hardware { config: 0, period: 1_000_000 });
    match attach(&*kernel, counter.program(), &point, Scope { pid: Some(std::process::id()) }) {
        Ok(link) => {
            busy(Duration::from_millis(50));
            drop(link);
            assert!(counter.runs(&*kernel) > 0);
        }
        Err(error) => {
            assert!(
                error.hint().is_some_and(|hint| hint.contains("counter") || hint.contains("event")),
                "{error:?}"
            );
            println!("skipped: {error}");
        }
    }
}

#[test]
fn tracepoint_by_link_and_by_ioctl() {
    let Some(kernel) = kernel() else { return };
    let Some(point) = tracepoints("syscalls", "sys_enter_chdir", 1).pop() else { return };
    let chdir = || std::env::set_current_dir(".").expect("a system call");
    let runs = conforms(&*kernel, ProgType::Tracepoint, point.place.clone(), EVERYBODY, &chdir);
    assert_eq!(runs, 1);
    let old = OldKernel(&kernel);
    assert_eq!(conforms(&old, ProgType::Tracepoint, point.place, EVERYBODY, &chdir), 1);
}

#[test]
fn raw_tracepoint() {
    let Some(kernel) = kernel() else { return };
    let place = Place::RawTracepoint { event: "sys_exit".into() };
    let stat = || assert!(std::fs::metadata("/").is_ok());
    // Attaching and detaching are system calls themselves, as are those of other tests; only that it ran counts.
    let counter = Counter::new(&*kernel, ProgType::RawTracepoint, AttachType::None);
    let link =
        attach(&*kernel, counter.program(), &AttachPoint::new("rt", place), EVERYBODY).expect("attached");
    stat();
    drop(link);
    assert!(counter.runs(&*kernel) > 0);
    let nowhere = AttachPoint::new("rawtracepoint:nope", Place::RawTracepoint { event: "nope".into() });
    let error = attach(&*kernel, counter.program(), &nowhere, EVERYBODY).expect_err("none");
    assert!(error.is_missing(), "{error}");
}

#[test]
fn kprobe_or_why_not() {
    let Some(kernel) = kernel() else { return };
    let counter = Counter::new(&*kernel, ProgType::Kprobe, AttachType::None);
    let kprobe = |func: &str| {
        let place = Place::Kprobe { module: None, func: func.into(), offset: 0, ret: false };
        AttachPoint::new(format!("kprobe:{func}"), place)
    };
    match attach(&*kernel, counter.program(), &kprobe("do_sys_openat2"), EVERYBODY) {
        Ok(link) => {
            let _ = std::fs::read("/dev/null");
            drop(link);
            assert!(counter.runs(&*kernel) > 0);
            let error = attach(&*kernel, counter.program(), &kprobe("no_such_function"), EVERYBODY);
            assert!(error.expect_err("none").is_missing());
        }
        Err(error) => {
            assert!(error.is_missing() && error.to_string().contains("CONFIG_"), "{error:?}");
            println!("skipped: {error}");
        }
    }
}

#[test]
fn uprobe_at_entry_and_return() {
    let Some(kernel) = kernel() else { return };
    for scope in [EVERYBODY, Scope { pid: Some(std::process::id()) }] {
        for ret in [false, true] {
            let runs = conforms(&*kernel, ProgType::Kprobe, place(traced, ret), scope, &|| {
                assert_eq!(traced(2), 6);
            });
            assert_eq!(runs, 1, "{scope:?} {ret}");
        }
    }
}

#[test]
fn uprobes_by_one_link() {
    let Some(kernel) = kernel() else { return };
    let points = [traced, traced_too].map(|function| AttachPoint::new("u", place(function, false)));
    let method = Method::choose(&points, EVERYBODY, &profile(), &|_| true);
    let Some(attach_type) = method.attach_type() else {
        println!("skipped: kernels before 6.6 have no uprobe_multi");
        return;
    };
    assert_eq!(method, Method::UprobeMulti);
    let counter = Counter::new(&*kernel, ProgType::Kprobe, attach_type);
    let mut results = attach_all(&*kernel, counter.program(), &points, EVERYBODY, &mut |_| {});
    assert_eq!(results.len(), 1, "one link for both");
    let link = results.pop().expect("one").expect("attached");
    traced(1);
    traced_too(1);
    let leftovers = detach_all(vec![link], Duration::from_secs(5));
    assert!(counter.runs(&*kernel) >= 2);
    assert!(leftovers.is_empty() && leftovers.is_complete());
}

#[test]
fn one_bad_place_among_many_is_found() {
    let Some(kernel) = kernel() else { return };
    let good = AttachPoint::new("good", place(traced_too, false));
    let Place::Uprobe { path, .. } = good.place.clone() else { unreachable!("a uprobe") };
    // Behind the end of the file.
    let bad = Place::Uprobe { path, offset: 1 << 40, ref_ctr_offset: 0, ret: false };
    let points = [good.clone(), AttachPoint::new("bad", bad), good];
    if Method::choose(&points, EVERYBODY, &profile(), &|_| true) != Method::UprobeMulti {
        println!("skipped: kernels before 6.6 have no uprobe_multi");
        return;
    }
    let counter = Counter::new(&*kernel, ProgType::Kprobe, AttachType::TraceUprobeMulti);
    let results = attach_all(&*kernel, counter.program(), &points, EVERYBODY, &mut |_| {});
    let errors: Vec<String> =
        results.iter().filter_map(|r| r.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("bad: "), "{errors:?}");
    traced_too(1);
    drop(results);
    assert!(counter.runs(&*kernel) >= 2);
}

#[test]
fn programs_on_one_function_fire_in_source_order() {
    let Some(kernel) = kernel() else { return };
    for multi in [false, true] {
        let attach_type = if multi { AttachType::TraceUprobeMulti } else { AttachType::None };
        let map = new_map(&*kernel);
        let programs: Vec<_> = (1..=3)
            .map(|n| {
                load(
                    &*kernel,
                    ProgType::Kprobe,
                    attach_type,
                    &NOTE_OWN.replace("DIGIT", &n.to_string()),
                    &map,
                )
            })
            .collect();
        let points: Vec<_> = (1..=3).map(|n| AttachPoint::new(n, place(fires_in_order, false))).collect();
        let order = attach_order(&points.iter().collect::<Vec<_>>());
        let mut links = Vec::new();
        for i in order {
            let program = Program { fd: &programs[i], ty: ProgType::Kprobe, attach_type };
            match attach(&*kernel, program, &points[i], EVERYBODY) {
                Ok(link) => links.push(link),
                Err(error) if multi => {
                    println!("skipped: {error}");
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
        fires_in_order(1);
        drop(links);
        assert_eq!(read(&*kernel, &map), 123, "multi {multi}");
    }
}

#[test]
fn kprobes_on_one_function_fire_in_source_order() {
    let Some(kernel) = kernel() else { return };
    for ret in [false, true] {
        let map = new_map(&*kernel);
        let programs: Vec<_> = (1..=3)
            .map(|n| {
                let text = NOTE_OWN.replace("DIGIT", &n.to_string());
                load(&*kernel, ProgType::Kprobe, AttachType::None, &text, &map)
            })
            .collect();
        // A system call that no other test makes.
        let place = Place::Kprobe { module: None, func: "__x64_sys_rmdir".into(), offset: 0, ret };
        let points: Vec<_> = (1..=3).map(|n| AttachPoint::new(n, place.clone())).collect();
        let mut links = Vec::new();
        for i in attach_order(&points.iter().collect::<Vec<_>>()) {
            let program = Program { fd: &programs[i], ty: ProgType::Kprobe, attach_type: AttachType::None };
            match attach(&*kernel, program, &points[i], EVERYBODY) {
                Ok(link) => links.push(link),
                Err(error) => return println!("skipped: {error}"),
            }
        }
        std::fs::remove_dir("/no/such/directory").expect_err("nothing to remove");
        drop(links);
        assert_eq!(read(&*kernel, &map), 123, "return {ret}");
    }
}

#[test]
fn kernel_functions_by_one_link() {
    let Some(kernel) = kernel() else { return };
    if probe::ask(&*kernel, Feature::KprobeMulti, probe::BtfIds::default()) != Answer::Yes {
        return println!("skipped: this kernel has no kprobe_multi");
    }
    let kprobe = |func: &str| {
        let place = Place::Kprobe { module: None, func: func.into(), offset: 0, ret: false };
        AttachPoint::new(format!("kprobe:{func}"), place)
    };
    let points = [kprobe("__x64_sys_mkdir"), kprobe("no_such_function"), kprobe("__x64_sys_unlink")];
    let method = Method::choose(&points, EVERYBODY, &profile(), &|_| true);
    assert_eq!(method, Method::KprobeMulti);
    let counter = Counter::new(&*kernel, ProgType::Kprobe, method.attach_type().expect("a type"));
    let results = attach_all(&*kernel, counter.program(), &points, EVERYBODY, &mut |_| {});
    let missing: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).map(|e| e.is_missing()).collect();
    assert_eq!(missing, [true], "{results:?}");
    std::fs::create_dir("/no/such/directory").expect_err("nowhere to make it");
    std::fs::remove_file("/no/such/file").expect_err("nothing to remove");
    drop(results);
    assert!(counter.runs(&*kernel) >= 2);
}

#[test]
fn function_of_the_c_library() {
    let Some(kernel) = kernel() else { return };
    let at = UserLocation::Symbol { name: "getppid".into(), offset: 0, cpp: false };
    let spec = ProbeSpec::Uprobe { binary: "libc".into(), at, ret: false };
    let catalog = HostCatalog::new();
    let points = match expand(&spec, &catalog) {
        Ok(points) => points,
        Err(error) => return println!("skipped: {error}"),
    };
    let scope = Scope { pid: Some(std::process::id()) };
    let runs = conforms(&*kernel, ProgType::Kprobe, points[0].place.clone(), scope, &|| {
        assert_ne!(std::os::unix::process::parent_id(), 0);
    });
    assert_eq!(runs, 1, "{points:?}");
}

/// Called by one test only.
#[inline(never)]
extern "C" fn fires_in_order(x: u64) -> u64 {
    std::hint::black_box(x).wrapping_mul(7)
}
