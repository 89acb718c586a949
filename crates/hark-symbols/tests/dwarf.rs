//! Debug information of `tests/fixtures/debug.so`, whose source lies beside it.

use std::path::PathBuf;

use hark_symbols::dwarf::{DebugError, DebugFunction, DebugInfo, DebugType};
use hark_symbols::{DebugDirs, Elf};

fn fixture() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../tests/fixtures/debug.so"].iter().collect()
}

fn info() -> DebugInfo {
    DebugInfo::open(&fixture(), &DebugDirs::default()).expect("the fixture has debug information")
}

/// A type as C writes it, members of structs left out.
fn show(f: &DebugFunction, ty: usize) -> String {
    match &f.types[ty] {
        DebugType::Unknown => "?".to_owned(),
        DebugType::Void => "void".to_owned(),
        DebugType::Int { name, .. } | DebugType::Float { name, .. } | DebugType::Typedef(name, _) => {
            name.clone()
        }
        DebugType::Pointer(to) => format!("{} *", show(f, *to)),
        DebugType::Array(of, n) => format!("{}[{n}]", show(f, *of)),
        DebugType::Struct { name, .. } | DebugType::Declared { name, .. } => format!("struct {name}"),
        DebugType::Union { name, .. } => format!("union {name}"),
        DebugType::Enum { name, .. } => format!("enum {name}"),
        DebugType::Const(of) => format!("const {}", show(f, *of)),
        DebugType::Volatile(of) => format!("volatile {}", show(f, *of)),
        DebugType::Function => "function".to_owned(),
    }
}

#[test]
fn knows_parameters() {
    let f = info().function("submit").expect("submit");
    let params: Vec<_> = f.params.iter().map(|p| format!("{}: {}", p.name, show(&f, p.ty))).collect();
    assert_eq!(params, ["job: struct job *", "n: size", "flags: const volatile int *", "now: _Bool"]);
    assert_eq!(show(&f, f.ret), "long int");
    assert_eq!(info().function("no_such"), None);
    let cancel = info().function("cancel").expect("cancel");
    assert_eq!(show(&cancel, cancel.ret), "void");
}

#[test]
fn knows_members() {
    let f = info().function("submit").expect("submit");
    let job = f.types.iter().find_map(|ty| match ty {
        DebugType::Struct { name, size, members } if name == "job" => Some((size, members)),
        _ => None,
    });
    let (size, members) = job.expect("struct job");
    let members: Vec<_> = members
        .iter()
        .map(|m| format!("{} {}: {} {}", m.bit_offset, m.name, show(&f, m.ty), m.bits.unwrap_or(0)))
        .collect();
    assert_eq!(*size, 88);
    assert_eq!(
        members,
        [
            "0 name: const char * 0",
            "64 mode: enum mode 0",
            "96 urgent: unsigned int 1",
            "97 tries: unsigned int 7",
            "128 : union  0",
            "192 tag: char[8] 0",
            "256 grid: int[6] 0",
            "448 next: struct job * 0",
            "512 request: struct request * 0",
            "576 done: function * 0",
            "640 weight: double 0",
        ]
    );
    let modes = f.types.iter().find_map(|ty| match ty {
        DebugType::Enum { values, .. } => Some(values.iter().map(|(_, v)| *v).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(modes, Some(vec![-1, 0, 4]));
}

#[test]
fn finds_lines() {
    let info = info();
    let elf = Elf::open(&fixture()).expect("ELF");
    let at = |name| elf.symbol(name).map(|s| s.addr).expect(name);
    let places = |file, line| {
        let found = info.line(file, line, None).expect("readable");
        found.iter().map(|p| (p.line, p.addr)).collect::<Vec<_>>()
    };
    assert_eq!(places("debug.c", 46), [(46, at("submit") + 0x14)]);
    assert_eq!(places("/src/debug.c", 46), places("debug.c", 46));
    // A line of an inlined function is wherever it was inlined.
    assert_eq!(places("debug.c", 39), [(39, at("submit")), (39, at("cancel"))]);
    // A line without code stands for the next.
    assert_eq!(places("debug.c", 48), [(49, at("submit") + 0x19)]);
    assert_eq!(places("debug.c", 1000), []);
    assert_eq!(places("bug.c", 46), []);
    let found = info.line("debug.c", 46, None).expect("readable");
    assert_eq!(elf.file_offset(found[0].addr), Some(found[0].offset));
    // Line 46 has `sink = *flags;`: the load at column 10, the store at column 8.
    let column = |c| info.line("debug.c", 46, Some(c)).expect("readable").len();
    assert_eq!((column(1), column(99)), (1, 1));
}

#[test]
fn says_when_there_is_none() {
    let plain = "/proc/self/maps";
    assert!(matches!(DebugInfo::open(plain.as_ref(), &DebugDirs::default()), Err(DebugError::Elf(_))));
}

#[test]
fn finds_lines_of_this_test() {
    let exe = std::env::current_exe().expect("own path");
    let line = line!();
    let found = DebugInfo::open(&exe, &DebugDirs::default()).expect("tests have line tables").line(
        "tests/dwarf.rs",
        line.into(),
        None,
    );
    assert!(
        found.expect("readable").iter().any(|p| p.line == u64::from(line) || p.line == u64::from(line) + 1)
    );
}
