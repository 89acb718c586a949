//! ELF files: symbols, segments, notes.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use goblin::container::Ctx;
use goblin::elf::compression_header::{CompressionHeader, ELFCOMPRESS_ZLIB};
use goblin::elf::header::{EM_AARCH64, EM_X86_64, ET_DYN};
use goblin::elf::program_header::{PF_X, PT_LOAD, ProgramHeader};
use goblin::elf::section_header::{SHF_COMPRESSED, SHT_DYNSYM, SHT_NOBITS, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, STT_OBJECT, Symtab};

use crate::debug_file::DebugDirs;
use crate::map_file::{FileBytes, map_file};

/// Why a file has no symbols to offer.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not ELF, or its headers lie outside it.
    #[error("{} is not a usable ELF file: {why}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What processor a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// Another one, by ELF's number.
    Other(u16),
}

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolKind {
    /// A function.
    Function,
    /// A function that returns the function to use (`memcpy` and its like in libc). A probe on it sees one call per
    /// process, by the linker.
    IndirectFunction,
    /// A variable.
    Object,
    /// A label of assembly code.
    Label,
}

/// A symbol that is defined in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Name, without a version (`memcpy`, not `memcpy@@GLIBC_2.14`).
    pub name: &'a str,
    /// Virtual address as the file has it, before relocation.
    pub addr: u64,
    /// Bytes; 0 if unknown.
    pub size: u64,
    /// What it is.
    pub kind: SymbolKind,
}

impl Symbol<'_> {
    /// Function or indirect function.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, SymbolKind::Function | SymbolKind::IndirectFunction)
    }
}

/// Where a symbol's name is: a fifth of the space of a copy, for who keeps a million of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameRef {
    table: Table,
    at: u32,
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Own,
    Debug,
    Dynamic,
}

fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// A part of the file that is mapped into memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) addr: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
    pub(crate) executable: bool,
}

/// An ELF executable or library. Opening reads the headers; symbol tables are walked when asked.
#[derive(Debug)]
pub struct Elf {
    bytes: FileBytes,
    ctx: Ctx,
    machine: Machine,
    dynamic: bool,
    segments: Vec<Segment>,
    sections: Vec<SectionHeader>,
    names: Option<SectionHeader>,
    /// Where the symbols are that were stripped from this file.
    debug: Option<Box<Elf>>,
}

impl Elf {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ElfError`] when it cannot be read or is no ELF file.
    pub fn open(path: &Path) -> Result<Elf, ElfError> {
        let bytes = map_file(path).map_err(|source| ElfError::Io { path: path.to_owned(), source })?;
        Elf::parse(bytes, path)
    }

    /// Opens a file, and if it has been stripped, the file that holds its symbols, if that is installed.
    ///
    /// # Errors
    /// As [`Elf::open`]; a missing or broken debug file is none.
    pub fn open_with_debug(path: &Path, dirs: &DebugDirs) -> Result<Elf, ElfError> {
        let mut elf = Elf::open(path)?;
        if elf.section_of_type(SHT_SYMTAB).is_none() {
            elf.debug = dirs.find(&elf, path).map(Box::new);
        }
        Ok(elf)
    }

    /// Reads a file that is already in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`ElfError::NotElf`].
    pub fn parse(bytes: impl Into<FileBytes>, path: &Path) -> Result<Elf, ElfError> {
        let bytes = bytes.into();
        let wrong = |why: String| ElfError::NotElf { path: path.to_owned(), why };
        if !bytes.starts_with(b"\x7fELF") {
            return Err(wrong("it does not start with the ELF magic number".to_owned()));
        }
        let broken = |e: goblin::error::Error| wrong(e.to_string());
        let header = goblin::elf::Elf::parse_header(&bytes).map_err(broken)?;
        let ctx = Ctx::new(header.container().map_err(broken)?, header.endianness().map_err(broken)?);
        let segments =
            ProgramHeader::parse(&bytes, header.e_phoff as usize, usize::from(header.e_phnum), ctx)
                .map_err(broken)?
                .into_iter()
                .filter(|ph| ph.p_type == PT_LOAD)
                .map(|ph| Segment {
                    addr: ph.p_vaddr,
                    offset: ph.p_offset,
                    file_size: ph.p_filesz,
                    executable: ph.p_flags & PF_X != 0,
                })
                .collect();
        // A file without a section table runs all the same; it only has no symbols.
        let sections =
            SectionHeader::parse(&bytes, header.e_shoff as usize, usize::from(header.e_shnum), ctx)
                .unwrap_or_default();
        let machine = match header.e_machine {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            other => Machine::Other(other),
        };
        let names = sections.get(usize::from(header.e_shstrndx)).cloned();
        let dynamic = header.e_type == ET_DYN;
        Ok(Elf { bytes, ctx, machine, dynamic, segments, sections, names, debug: None })
    }

    /// What processor it is for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// Whether it is loaded at an address chosen at run time: a library or position-independent executable.
    pub fn is_pie(&self) -> bool {
        self.dynamic
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn ctx(&self) -> Ctx {
        self.ctx
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Offset in the file of a virtual address: what a uprobe is attached to. `None` if no byte of the file is there.
    pub fn file_offset(&self, addr: u64) -> Option<u64> {
        let at = |s: &Segment| {
            addr.checked_sub(s.addr).filter(|n| *n < s.file_size).map(|n| n.checked_add(s.offset))
        };
        // Code first: a hostile or odd file may map the same address twice.
        let executable = self.segments.iter().filter(|s| s.executable).find_map(at);
        executable.or_else(|| self.segments.iter().find_map(at))?
    }

    /// Virtual address of an offset in the file.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let at = |s: &Segment| {
            offset.checked_sub(s.offset).filter(|n| *n < s.file_size).map(|n| n.checked_add(s.addr))
        };
        let executable = self.segments.iter().filter(|s| s.executable).find_map(at);
        executable.or_else(|| self.segments.iter().find_map(at))?
    }

    /// Virtual address at which an executable mapping of the file's bytes `offsets` begins. Mappings are of whole pages:
    /// one may begin before its segment does, with what another segment has there.
    pub fn address_of_code(&self, offsets: &Range<u64>) -> Option<u64> {
        let meets =
            |s: &&Segment| s.offset < offsets.end && s.offset.saturating_add(s.file_size) > offsets.start;
        let segment = self.segments.iter().filter(|s| s.executable).find(meets)?;
        Some(segment.addr.wrapping_sub(segment.offset).wrapping_add(offsets.start))
    }

    fn data_of(&self, section: &SectionHeader) -> Option<&[u8]> {
        if section.sh_type == SHT_NOBITS {
            return None;
        }
        let start = usize::try_from(section.sh_offset).ok()?;
        let len = usize::try_from(section.sh_size).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    fn section_header(&self, name: &str) -> Option<&SectionHeader> {
        let names = self.data_of(self.names.as_ref()?)?;
        self.sections.iter().find(|s| string_at(names, s.sh_name) == Some(name))
    }

    fn section_of_type(&self, ty: u32) -> Option<&SectionHeader> {
        self.sections.iter().find(|s| s.sh_type == ty)
    }

    /// The bytes of a section; `None` if there is none of this name or it has none in the file.
    pub fn section(&self, name: &str) -> Option<&[u8]> {
        self.data_of(self.section_header(name)?)
    }

    /// The packed bytes and unpacked length of a section that is compressed; no bytes if it is not by zlib.
    pub(crate) fn compressed_section(&self, name: &str) -> Option<(Option<&[u8]>, u64)> {
        let section = self.section_header(name).filter(|s| s.sh_flags & u64::from(SHF_COMPRESSED) != 0)?;
        let data = self.data_of(section)?;
        let header = CompressionHeader::parse(data, 0, self.ctx).ok()?;
        let packed = data.get(CompressionHeader::size(self.ctx)..)?;
        Some(((header.ch_type == ELFCOMPRESS_ZLIB).then_some(packed), header.ch_size))
    }

    pub(crate) fn is_little_endian(&self) -> bool {
        self.ctx.le.is_little()
    }

    /// The virtual address of a section.
    pub fn section_address(&self, name: &str) -> Option<u64> {
        self.section_header(name).map(|s| s.sh_addr)
    }

    /// The identifier the linker gave to this build.
    pub fn build_id(&self) -> Option<&[u8]> {
        let notes = self.section(".note.gnu.build-id")?;
        crate::usdt::notes(notes, self.ctx)
            .find(|n| n.name == b"GNU" && n.ty == NT_GNU_BUILD_ID)
            .map(|n| n.desc)
    }

    /// Name of the file that holds the stripped symbols, as the file itself says.
    pub fn debug_link(&self) -> Option<&str> {
        string_at(self.section(".gnu_debuglink")?, 0).filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// Checksum of that file, as the file itself says.
    pub(crate) fn debug_checksum(&self) -> Option<u32> {
        let section = self.section(".gnu_debuglink")?;
        let at = (section.iter().position(|b| *b == 0)? + 1).next_multiple_of(4);
        let bytes: [u8; 4] = section.get(at..at + 4)?.try_into().ok()?;
        Some(if self.is_little_endian() { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// The checksum that others tell of this file.
    pub(crate) fn checksum(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(&self.bytes);
        crc.sum()
    }

    /// All symbols defined here: those of `.symtab` (or of the debug file opened with the file), then those of
    /// `.dynsym`, most of which are the same ones again.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.symbols_by_name().map(|(symbol, _)| symbol)
    }

    /// As [`Elf::symbols`], each with where its name is.
    pub(crate) fn symbols_by_name(&self) -> impl Iterator<Item = (Symbol<'_>, NameRef)> {
        let debug = self.debug.as_deref().into_iter().flat_map(|d| d.table(SHT_SYMTAB, Table::Debug));
        self.table(SHT_SYMTAB, Table::Own).chain(debug).chain(self.table(SHT_DYNSYM, Table::Dynamic))
    }

    /// The name that [`Elf::symbols_by_name`] found there.
    pub(crate) fn name_at(&self, name: NameRef) -> Option<&str> {
        let (elf, ty) = match name.table {
            Table::Own => (self, SHT_SYMTAB),
            Table::Debug => (self.debug.as_deref()?, SHT_SYMTAB),
            Table::Dynamic => (self, SHT_DYNSYM),
        };
        let names = elf.sections.get(elf.section_of_type(ty)?.sh_link as usize)?;
        string_at(elf.data_of(names)?, name.at as usize).map(without_version)
    }

    fn table(&self, ty: u32, as_table: Table) -> impl Iterator<Item = (Symbol<'_>, NameRef)> {
        let parts = self.section_of_type(ty).and_then(|section| {
            let names = self.data_of(self.sections.get(section.sh_link as usize)?)?;
            let data = self.data_of(section)?;
            let count = data.len() / goblin::elf::Sym::size(self.ctx.container);
            Some((Symtab::parse(data, 0, count, self.ctx).ok()?, names))
        });
        parts.into_iter().flat_map(move |(table, names)| {
            table.iter().filter_map(move |sym| {
                if sym.st_shndx == 0 || sym.st_value == 0 {
                    return None;
                }
                let kind = match sym.st_type() {
                    STT_FUNC => SymbolKind::Function,
                    STT_GNU_IFUNC => SymbolKind::IndirectFunction,
                    STT_OBJECT => SymbolKind::Object,
                    STT_NOTYPE => SymbolKind::Label,
                    _ => return None,
                };
                let name = without_version(string_at(names, sym.st_name)?);
                let at = NameRef { table: as_table, at: u32::try_from(sym.st_name).ok()? };
                let symbol = Symbol { name, addr: sym.st_value, size: sym.st_size, kind };
                (!name.is_empty()).then_some((symbol, at))
            })
        })
    }

    /// The symbol of this name: a function rather than anything else, a symbol with a size rather than without.
    pub fn symbol(&self, name: &str) -> Option<Symbol<'_>> {
        let mut best: Option<Symbol<'_>> = None;
        for symbol in self.symbols().filter(|s| s.name == name) {
            if symbol.is_function() && symbol.size > 0 {
                return Some(symbol);
            }
            let rank = |s: &Symbol<'_>| (s.is_function(), s.kind == SymbolKind::Object, s.size > 0);
            if best.as_ref().is_none_or(|b| rank(&symbol) > rank(b)) {
                best = Some(symbol);
            }
        }
        best
    }

    /// The functions, each name and address once, sorted by name and then address.
    pub fn functions(&self) -> Vec<Symbol<'_>> {
        let mut all: Vec<_> = self.symbols().filter(Symbol::is_function).collect();
        all.sort_by(|a, b| (a.name, a.addr, b.size).cmp(&(b.name, b.addr, a.size)));
        all.dedup_by(|a, b| (a.name, a.addr) == (b.name, b.addr));
        all
    }
}

const NT_GNU_BUILD_ID: u32 = 3;

/// The zero-terminated string at an offset of a string table.
pub(crate) fn string_at(table: &[u8], at: usize) -> Option<&str> {
    let tail = table.get(at..)?;
    let len = tail.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&tail[..len]).ok()
}
