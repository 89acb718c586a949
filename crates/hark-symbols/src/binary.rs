//! Names of the addresses of one ELF file.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::debug_file::DebugDirs;
use crate::dwarf::Frames;
use crate::elf::{Elf, NameRef, SymbolKind};
use crate::symbolizer::Frame;

/// How many symbols before an address are looked at for one that reaches it: symbols may lie within symbols.
const LOOK_BACK: usize = 16;

/// A file, its code symbols by address, and its debug information once that has been asked for.
pub(crate) struct Binary {
    path: PathBuf,
    dirs: DebugDirs,
    elf: Elf,
    symbols: Vec<Code>,
    /// `None` when lines are not wished for.
    frames: Option<OnceCell<Option<Frames>>>,
}

#[derive(Clone, Copy)]
struct Code {
    start: u64,
    /// 0: up to the next symbol.
    size: u64,
    name: NameRef,
}

impl Binary {
    /// Opens a file; `None` if it is no ELF file.
    pub(crate) fn open(path: &Path, lines: bool, dirs: &DebugDirs) -> Option<Binary> {
        let elf = Elf::open_with_debug(path, dirs).ok()?;
        let mut found: Vec<_> =
            elf.symbols_by_name().filter(|(symbol, _)| symbol.kind != SymbolKind::Object).collect();
        // Of several names of one address the one that people know: `malloc`, not `__libc_malloc` or `__GI_malloc`.
        found.sort_by_cached_key(|(s, _)| {
            let underscores = s.name.bytes().take_while(|b| *b == b'_').count();
            (s.addr, !s.is_function(), s.size == 0, underscores, s.name.len(), s.name.to_owned())
        });
        found.dedup_by_key(|(s, _)| s.addr);
        let symbols = found.into_iter().map(|(s, name)| Code { start: s.addr, size: s.size, name }).collect();
        Some(Binary {
            path: path.to_owned(),
            dirs: dirs.clone(),
            elf,
            symbols,
            frames: lines.then(OnceCell::new),
        })
    }

    /// The functions at an offset of the file, the innermost inlined one first; `module` is left empty.
    pub(crate) fn frames(&self, offset: u64) -> Vec<Frame> {
        let Some(addr) = self.elf.address_of(offset) else { return Vec::new() };
        let symbol = self.symbol(addr);
        let debug = self
            .frames
            .as_ref()
            .and_then(|f| f.get_or_init(|| Frames::open(&self.path, &self.dirs)).as_ref());
        let described = debug.map(|d| d.at(addr)).unwrap_or_default();
        let (name, start) = match symbol {
            Some(code) => (self.elf.name_at(code.name), code.start),
            None => (None, addr),
        };
        let n = described.len();
        let mut frames: Vec<_> = described
            .into_iter()
            .enumerate()
            .filter_map(|(i, d)| {
                let outermost = i + 1 == n;
                // The symbol table knows the outermost function, and how far its start is.
                let name = if outermost { name.map(str::to_owned).or(d.name) } else { d.name }?;
                let offset = if outermost { addr - start } else { 0 };
                Some(Frame { name, offset, module: String::new(), line: d.line, inlined: !outermost })
            })
            .collect();
        if frames.last().is_none_or(|f| f.inlined)
            && let Some(name) = name
        {
            let (name, offset) = (name.to_owned(), addr - start);
            frames.push(Frame { name, offset, module: String::new(), line: None, inlined: false });
        }
        frames
    }

    /// The offset of an address of a program that is always loaded at its own addresses; `None` if this is none.
    pub(crate) fn fixed_offset(&self, addr: u64) -> Option<u64> {
        if self.elf.is_pie() { None } else { self.elf.file_offset(addr) }
    }

    fn symbol(&self, addr: u64) -> Option<Code> {
        let after = self.symbols.partition_point(|s| s.start <= addr);
        let before = &self.symbols[..after];
        let nearest = before.last()?;
        let mut candidates = before.iter().rev().take(LOOK_BACK);
        candidates.find(|s| addr - s.start < s.size).or((nearest.size == 0).then_some(nearest)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Binary {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/debug.so");
        Binary::open(Path::new(path), true, &DebugDirs::default()).expect("an ELF file")
    }

    fn show(frames: &[Frame]) -> Vec<String> {
        let line = |f: &Frame| f.line.as_ref().map_or(0, |l| l.line);
        frames.iter().map(|f| format!("{}+{} line {}", f.name, f.offset, line(f))).collect()
    }

    /// The first instruction of `submit` belongs to `note`, which was inlined there.
    #[test]
    fn tells_inlined_functions() {
        let binary = fixture();
        let submit =
            binary.elf.symbol("submit").and_then(|s| binary.elf.file_offset(s.addr)).expect("submit");
        assert_eq!(show(&binary.frames(submit + 3)), ["note+0 line 39", "submit+3 line 44"]);
        assert_eq!(show(&binary.frames(submit + 0x14)), ["submit+20 line 46"]);
        assert_eq!(show(&binary.frames(1)), Vec::<String>::new());
    }
}
