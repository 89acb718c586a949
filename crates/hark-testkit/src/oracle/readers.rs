//! Readers of what the system and other programs write: whatever the bytes, they answer.

use super::Finding;
use bpf_syscall::VerifierLog;
use hark_btf::Btf;
use hark_compiler::tracefs::parse_format;
use hark_object::glob;
use hark_symbols::{
    Elf, Kallsyms, LdCache, Machine, PerfMap, ProcMaps, demangle_cpp, demangle_rust, parse_each_arg,
    traceable_functions,
};
use std::path::Path;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// `/sys/kernel/btf/vmlinux`
    Btf,
    /// Programs and libraries, their symbols, static probes and debug information.
    Elf,
    /// `events/…/format` of tracefs, and its list of traceable functions.
    Tracefs,
    /// `/proc/kallsyms`
    Kallsyms,
    /// `/proc/PID/maps`, and perf's maps of code made at run time.
    Maps,
    /// `/etc/ld.so.cache`
    LdCache,
    /// The log of the kernel's verifier.
    VerifierLog,
}

impl Reader {
    /// All of them.
    pub const ALL: [Reader; 7] = [
        Reader::Btf,
        Reader::Elf,
        Reader::Tracefs,
        Reader::Kallsyms,
        Reader::Maps,
        Reader::LdCache,
        Reader::VerifierLog,
    ];
}

/// Reads `bytes`, and asks what there is to ask.
///
/// # Errors
/// If answers contradict each other.
pub fn readers(reader: Reader, bytes: &[u8]) -> Finding {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match reader {
        Reader::Btf => btf(bytes),
        Reader::Elf => elf(bytes),
        Reader::Tracefs => {
            for field in parse_format(&text()) {
                if field.name.is_empty() || field.base.is_empty() {
                    return Err(format!("a field without a name or type: {field:?}"));
                }
            }
            let text = text();
            let _ = traceable_functions(&text).count();
            let (pattern, name) = text.split_at(text.floor_char_boundary(text.len() / 4));
            glob(pattern, name);
            Ok(())
        }
        Reader::Kallsyms => {
            let symbols = Kallsyms::parse(bytes.to_vec());
            // Look-up is a binary search: in a file that damage left unsorted or with other lines it may find nothing.
            let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').count();
            let all: Vec<_> = symbols.symbols().collect();
            let sorted = all.is_sorted_by_key(|symbol| (symbol.module.is_some(), symbol.addr));
            if symbols.is_hidden() || !sorted || all.len() != lines {
                return Ok(());
            }
            for symbol in all.iter().take(64) {
                let found = symbols.lookup(symbol.addr);
                if !found.as_ref().is_some_and(|(at, offset)| at.addr == symbol.addr && *offset == 0) {
                    return Err(format!("{symbol:?} is not found at its address, but {found:?}"));
                }
            }
            demangle_cpp(&text());
            demangle_rust(&text());
            Ok(())
        }
        Reader::Maps => {
            let maps = ProcMaps::parse(&text());
            for mapping in maps.iter() {
                mapping.path();
                mapping.file_offset(mapping.range.start);
                maps.find(mapping.range.start);
            }
            PerfMap::parse(&text()).find(0x1000);
            parse_each_arg(Machine::X86_64, &text());
            Ok(())
        }
        Reader::LdCache => {
            if let Some(cache) = LdCache::parse(bytes) {
                for entry in cache.entries() {
                    entry.is_for(Machine::X86_64);
                }
            }
            Ok(())
        }
        Reader::VerifierLog => {
            let log = VerifierLog { text: text(), truncated: false };
            log.decisive();
            Ok(())
        }
    }
}

/// Types that are asked about in one run.
const TYPES: u32 = 512;

fn btf(bytes: &[u8]) -> Finding {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return Ok(()) };
    for id in btf.own_ids().take(TYPES as usize) {
        let id = hark_btf::TypeId(id);
        let _ = (btf.type_by_id(id), btf.resolve(id), btf.align_of(id), btf.func_proto_of(id));
        let _ = (btf.type_name(id), btf.definition(id));
        let size = btf.size_of(id);
        if let Some(layout) = btf.layout(id)
            && size.is_some_and(|size| size != layout.size)
        {
            return Err(format!("type {} has {size:?} bytes, and its layout {}", id.0, layout.size));
        }
        for name in btf.member_names(id).into_iter().take(16) {
            let _ = btf.resolve_path(id, &[name]);
        }
    }
    Ok(())
}

fn elf(bytes: &[u8]) -> Finding {
    let path = Path::new("/fuzzed");
    let Ok(elf) = Elf::parse(bytes.to_vec(), path) else { return Ok(()) };
    let _ = (elf.machine(), elf.is_pie(), elf.build_id(), elf.debug_link(), elf.section(".text"));
    for symbol in elf.symbols().take(256) {
        let offset = elf.file_offset(symbol.addr);
        offset.and_then(|offset| elf.address_of(offset));
        symbol.is_function();
    }
    elf.functions();
    elf.usdt_probes();
    Ok(())
}
