//! Symbols, offsets and notes of ELF files made for the purpose, of this test itself, and of damaged ones.

#[path = "elf/writer.rs"]
mod writer;

use std::path::Path;

use hark_symbols::{Elf, Location, Machine, SymbolKind, parse_args};
use proptest::prelude::*;
use writer::{CODE, CODE_OFFSET, DATA, DATA_OFFSET, Writer};

const FUNC: u8 = 2;
const OBJECT: u8 = 1;
const IFUNC: u8 = 10;

fn sample() -> Writer {
    let mut w = Writer {
        symbols: vec![
            ("main", CODE + 0x10, 0x20, FUNC),
            ("memcpy@@GLIBC_2.14", CODE + 0x40, 8, IFUNC),
            ("counter", DATA + 4, 4, OBJECT),
            ("main_alias", CODE + 0x10, 0x20, FUNC),
            ("label", CODE + 0x50, 0, 0),
        ],
        ..Writer::default()
    };
    let mut notes = w.usdt(CODE + 0x12, 0x500, DATA + 8, &["app", "start", "-4@%edi 8@counter(%rip)"]);
    notes.extend(w.usdt(CODE + 0x18, 0x500, 0, &["app", "stop", ""]));
    notes.extend(w.usdt(0x9999_9999, 0x500, 0, &["app", "nowhere", ""]));
    w.sections = vec![
        (".note.gnu.build-id", 0, w.note(b"GNU\0", 3, &[0xab, 0xcd, 0xef])),
        (".note.stapsdt", 0, notes),
        (".stapsdt.base", 0x500, vec![0]),
        (".gnu_debuglink", 0, b"app.debug\0\0\0\x01\x02\x03\x04".to_vec()),
    ];
    w
}

fn open(w: &Writer) -> Elf {
    Elf::parse(w.write(), Path::new("/opt/app")).expect("the writer writes ELF")
}

#[test]
fn finds_symbols_and_their_offsets() {
    let elf = open(&sample());
    assert_eq!((elf.machine(), elf.is_pie()), (Machine::X86_64, true));
    let main = elf.symbol("main").expect("main");
    assert_eq!((main.addr, main.size, main.kind), (CODE + 0x10, 0x20, SymbolKind::Function));
    assert_eq!(elf.file_offset(main.addr), Some(CODE_OFFSET + 0x10));
    assert_eq!(elf.address_of(CODE_OFFSET + 0x10), Some(main.addr));
    assert_eq!(elf.file_offset(DATA + 4), Some(DATA_OFFSET + 4));
    assert_eq!(elf.file_offset(CODE + 0x100), None);
    let names: Vec<_> = elf.functions().iter().map(|f| f.name).collect();
    assert_eq!(names, ["main", "main_alias", "memcpy"]);
    assert_eq!(elf.symbol("counter").map(|s| s.kind), Some(SymbolKind::Object));
    assert!(elf.symbol("mai").is_none());
}

#[test]
fn finds_static_probes() {
    let elf = open(&sample());
    let probes = elf.usdt_probes();
    assert_eq!(
        probes.iter().map(|p| (p.provider, p.name)).collect::<Vec<_>>(),
        [("app", "start"), ("app", "stop")]
    );
    assert_eq!((probes[0].addr, probes[0].offset), (CODE + 0x12, CODE_OFFSET + 0x12));
    assert_eq!((probes[0].semaphore, probes[0].semaphore_offset), (Some(DATA + 8), Some(DATA_OFFSET + 8)));
    assert_eq!((probes[1].semaphore, probes[1].args), (None, ""));
    let args = parse_args(elf.machine(), probes[0].args).expect("two arguments");
    assert_eq!(args[1].at, Location::Symbol { name: "counter".into(), disp: 0 });
}

/// Prelink moves a library's sections without touching the notes; `.stapsdt.base` tells by how much.
#[test]
fn moves_static_probes_with_their_base() {
    let mut w = sample();
    w.sections[2].1 += 0x20;
    let probes = open(&w);
    assert_eq!(probes.usdt_probes()[0].addr, CODE + 0x32);
}

#[test]
fn reads_both_widths_and_byte_orders() {
    for (narrow, big_endian) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut w = Writer { narrow, big_endian, ..sample() };
        w.sections[1].2 = w.usdt(CODE + 0x12, 0x500, 0, &["p", "n", ""]);
        w.sections[0].2 = w.note(b"GNU\0", 3, &[0xab, 0xcd, 0xef]);
        let elf = open(&w);
        assert_eq!(elf.symbol("main").map(|s| s.size), Some(0x20), "{narrow} {big_endian}");
        assert_eq!(elf.usdt_probes()[0].offset, CODE_OFFSET + 0x12, "{narrow} {big_endian}");
        assert_eq!(elf.build_id(), Some(&[0xab, 0xcd, 0xef][..]), "{narrow} {big_endian}");
    }
}

#[test]
fn knows_where_debug_files_are() {
    let elf = open(&sample());
    let paths = hark_symbols::DebugDirs::default().candidates(&elf, Path::new("/opt/app"));
    let paths: Vec<_> = paths.iter().map(|(p, _)| p.to_string_lossy()).collect();
    assert_eq!(
        paths,
        [
            "/usr/lib/debug/.build-id/ab/cdef.debug",
            "/opt/app.debug",
            "/opt/.debug/app.debug",
            "/usr/lib/debug/opt/app.debug"
        ]
    );
}

#[test]
fn names_what_is_wrong_with_a_file() {
    let error = |bytes: &[u8]| Elf::parse(bytes.to_vec(), Path::new("x")).expect_err("no ELF").to_string();
    assert_eq!(
        error(b"#!/bin/sh"),
        "x is not a usable ELF file: it does not start with the ELF magic number"
    );
    assert!(error(b"\x7fELF\x02\x01").starts_with("x is not a usable ELF file: "));
    let missing = Elf::open(Path::new("/no/such/file")).expect_err("no file").to_string();
    assert_eq!(missing, "cannot read /no/such/file");
}

#[test]
fn reads_this_test() {
    let elf = Elf::open(&std::env::current_exe().expect("own path")).expect("own file");
    let here =
        elf.functions().into_iter().find(|f| f.name.contains("reads_this_test")).expect("this function");
    let offset = elf.file_offset(here.addr).expect("in a segment");
    assert_eq!(elf.address_of(offset), Some(here.addr));
}

fn ask_everything(elf: &Elf) {
    for f in elf.functions() {
        let _ = (elf.file_offset(f.addr), elf.symbol(f.name));
    }
    for probe in elf.usdt_probes() {
        let _ = parse_args(elf.machine(), probe.args);
    }
    let _ = (elf.build_id(), elf.debug_link(), elf.is_pie(), elf.address_of(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Hits in the headers and tables, which lie at both ends of the file.
    #[test]
    fn survives_damage(
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
        narrow in any::<bool>(),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = Writer { narrow, ..sample() }.write();
        for (at, byte, front) in hits {
            let (start, len) = if front { (0, 0xb0) } else { (DATA_OFFSET as usize, bytes.len() - DATA_OFFSET as usize) };
            bytes[start + at.index(len)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(elf) = Elf::parse(bytes, Path::new("damaged")) {
            ask_everything(&elf);
        }
    }

    #[test]
    fn any_arguments_are_read_or_refused(text in "[-0-9f@%$()\\[\\],a-z+ ]{0,40}") {
        for machine in [Machine::X86_64, Machine::Aarch64, Machine::Other(8)] {
            let _ = parse_args(machine, &text);
        }
    }
}
