//! From what scripts say to places, on a host that exists only here.

use hark_object::{
    Catalog, CatalogError, KernelFunction, ProbeSpec, TimeUnit, UsdtSite, UserFunction, UserLocation,
};
use probe_attach::{AttachError, AttachPoint, Place, expand};
use std::sync::Arc;

/// A small host: three tracepoints, a few kernel functions, one library.
struct Host;

const LIBRARY: &str = "/usr/lib/libx.so.1";

fn nothing<T>(what: &str) -> Result<T, CatalogError> {
    Err(CatalogError { message: format!("no {what}"), help: None })
}

impl Catalog for Host {
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError> {
        let pairs = [
            ("ftrace", "function"),
            ("sched", "sched_switch"),
            ("sched", "sched_waking"),
            ("syscalls", "sys_enter_x"),
        ];
        Ok(pairs.map(|(c, e)| (c.to_string(), e.to_string())).into())
    }
    fn tracepoint_format(&self, category: &str, event: &str) -> Result<Option<String>, CatalogError> {
        Ok(match (category, event) {
            ("sched", "sched_switch") => Some("name: sched_switch\nID: 7\nformat:\n".into()),
            ("sched", "sched_waking") => Some("name: sched_waking\nID: 9\nformat:\n".into()),
            ("ftrace", "function") => Some("name: function\nformat:\n".into()),
            _ => None,
        })
    }
    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError> {
        let f = |name: &str, module: Option<&str>| KernelFunction {
            name: name.into(),
            module: module.map(str::to_string),
        };
        Ok([
            f("ext4_read", Some("ext4")),
            f("rcu_note", None),
            f("vfs_read", None),
            f("vfs_read", None),
            f("vfs_write", None),
        ]
        .into())
    }
    fn kernel_symbol(&self, _: &str) -> Result<Option<u64>, CatalogError> {
        Ok(None)
    }
    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError> {
        if spec == "libx" { Ok(vec![LIBRARY.into()]) } else { nothing("such library") }
    }
    fn user_functions(&self, _: &str) -> Result<Arc<[UserFunction]>, CatalogError> {
        let f = |name: &str, addr| UserFunction { name: name.into(), addr, size: 16, offset: addr - 0x1000 };
        Ok([f("x_close", 0x2000), f("x_open", 0x2100)].into())
    }
    fn file_offset(&self, _: &str, addr: u64) -> Result<Option<u64>, CatalogError> {
        Ok((0x2000..0x3000).contains(&addr).then(|| addr - 0x1000))
    }
    fn usdt_sites(&self, _: &str) -> Result<Arc<[UsdtSite]>, CatalogError> {
        let site = |name: &str, offset, semaphore_offset| UsdtSite {
            provider: "x".into(),
            name: name.into(),
            offset,
            semaphore_offset,
            args: Vec::new(),
        };
        Ok([site("start", 0x40, None), site("stop", 0x50, Some(0x800)), site("start", 0x60, None)].into())
    }
    fn usdt_probes(&self, path: &str) -> Result<Arc<[(String, String)]>, CatalogError> {
        nothing(path)
    }
    fn cgroup_id(&self, path: &str) -> Result<u64, CatalogError> {
        nothing(path)
    }
}

#[track_caller]
fn points(spec: &ProbeSpec) -> Vec<AttachPoint> {
    expand(spec, &Host).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn names(spec: &ProbeSpec) -> Vec<String> {
    points(spec).into_iter().map(|point| point.name).collect()
}

#[track_caller]
fn error(spec: &ProbeSpec) -> AttachError {
    expand(spec, &Host).expect_err("an error")
}

fn tracepoint(category: &str, event: &str) -> ProbeSpec {
    ProbeSpec::Tracepoint { category: category.into(), event: event.into() }
}

fn kprobe(module: Option<&str>, func: &str, offset: u64, ret: bool) -> ProbeSpec {
    ProbeSpec::Kprobe { module: module.map(str::to_string), func: func.into(), offset, ret }
}

fn uprobe(binary: &str, name: &str, offset: u64, ret: bool) -> ProbeSpec {
    let at = UserLocation::Symbol { name: name.into(), offset, cpp: false };
    ProbeSpec::Uprobe { binary: binary.into(), at, ret }
}

#[test]
fn tracepoints_by_name_and_by_pattern() {
    assert_eq!(points(&tracepoint("sched", "sched_switch"))[0].place, Place::Tracepoint { id: 7 });
    // Those of ftrace itself have no number, and cannot be attached to.
    assert_eq!(
        names(&tracepoint("*", "*")),
        ["tracepoint:sched:sched_switch", "tracepoint:sched:sched_waking"]
    );
    assert!(error(&tracepoint("sched", "nope")).is_missing());
    assert_eq!(
        error(&tracepoint("no*", "*")).to_string(),
        "tracepoint:no*:*: no tracepoint of this kernel matches no*:*"
    );
}

#[test]
fn raw_tracepoints_have_no_category() {
    let spec = |event: &str| ProbeSpec::RawTracepoint { event: event.into() };
    assert_eq!(names(&spec("sched_*")), ["rawtracepoint:sched_switch", "rawtracepoint:sched_waking"]);
    assert!(error(&spec("sys_enter_*")).is_missing(), "system calls have none of their own");
}

#[test]
fn kernel_functions_by_pattern_leave_out_what_is_dangerous() {
    assert_eq!(names(&kprobe(None, "vfs_*", 0, true)), ["kretprobe:vfs_read", "kretprobe:vfs_write"]);
    assert_eq!(names(&kprobe(Some("ext?"), "*", 0, false)), ["kprobe:ext4:ext4_read"]);
    assert!(!names(&kprobe(None, "*", 0, false)).contains(&"kprobe:rcu_note".to_string()));
    // A name without wildcards is not looked up: the kernel is asked when it is attached.
    assert_eq!(names(&kprobe(None, "anything", 4, false)), ["kprobe:anything+4"]);
}

#[test]
fn offsets_are_for_single_entries() {
    for spec in [kprobe(None, "f", 1, true), kprobe(None, "f*", 1, false), uprobe("libx", "x_open", 1, true)]
    {
        assert!(matches!(error(&spec), AttachError::Invalid { .. }), "{spec}");
    }
    assert!(
        matches!(error(&uprobe("libx", "x_open", 16, false)), AttachError::Invalid { .. }),
        "beyond its end"
    );
}

#[test]
fn functions_of_libraries_become_offsets_in_files() {
    let points = points(&uprobe("libx", "x_*", 0, false));
    let place = |offset| Place::Uprobe { path: LIBRARY.into(), offset, ref_ctr_offset: 0, ret: false };
    assert_eq!(points.iter().map(|p| p.place.clone()).collect::<Vec<_>>(), [place(0x1000), place(0x1100)]);
    assert_eq!(points[1].name, "uprobe:/usr/lib/libx.so.1:x_open");
    assert_eq!(
        error(&uprobe("libx", "y", 0, false)).to_string(),
        "uprobe:libx:y: /usr/lib/libx.so.1 has no function y"
    );
    assert_eq!(error(&uprobe("liby", "y", 0, false)).to_string(), "uprobe:liby:y: no such library");
    let at = |addr| ProbeSpec::Uprobe { binary: "libx".into(), at: UserLocation::Address(addr), ret: false };
    assert_eq!(expand(&at(0x2004), &Host).expect("code")[0].place, place(0x1004));
    assert!(error(&at(0x9000)).is_missing());
}

#[test]
fn every_place_of_a_static_probe_is_attached_to() {
    let usdt = |provider: Option<&str>, name: &str| ProbeSpec::Usdt {
        binary: "libx".into(),
        provider: provider.map(str::to_string),
        name: name.into(),
        sites: Vec::new(),
    };
    let starts = points(&usdt(None, "start"));
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|point| point.name == "usdt:/usr/lib/libx.so.1:x:start"));
    let stop = Place::Uprobe { path: LIBRARY.into(), offset: 0x50, ref_ctr_offset: 0x800, ret: false };
    assert_eq!(points(&usdt(Some("x"), "st?p"))[0].place, stop);
    assert_eq!(error(&usdt(Some("y"), "*")).to_string(), "usdt:libx:y:*: libx has no static probe y:*");
}

#[test]
fn clocks_and_counters_check_their_numbers() {
    let interval = |period_ns| ProbeSpec::Interval { period_ns, unit: TimeUnit::Micros };
    assert_eq!(points(&interval(1000))[0].place, Place::Interval { period_ns: 1000 });
    assert!(matches!(error(&interval(999)), AttachError::Invalid { .. }));
    let software = |event: &str, count| ProbeSpec::Software { event: event.into(), count };
    assert_eq!(points(&software("faults", 0))[0].place, Place::Software { config: 2, period: 100 });
    assert!(error(&software("nope", 1)).is_missing());
    let watch = |len, mode: &str| ProbeSpec::Watchpoint { addr: 0x1000, len, mode: mode.into() };
    assert_eq!(points(&watch(8, "rw"))[0].place, Place::Watchpoint { addr: 0x1000, len: 8, access: 3 });
    for wrong in [watch(3, "w"), watch(8, "r"), watch(8, "ww"), watch(8, "q")] {
        assert!(matches!(error(&wrong), AttachError::Invalid { .. }), "{wrong}");
    }
}
