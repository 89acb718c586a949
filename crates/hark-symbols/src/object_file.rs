//! Relocatable ELF objects, as a compiler leaves them: sections with their bytes, symbols and relocations.

use goblin::elf::Elf as GoblinElf;
use goblin::elf::header::ET_REL;
use goblin::elf::section_header::{SHF_EXECINSTR, SHT_NOBITS, SHT_PROGBITS};
use goblin::elf::sym::{STB_GLOBAL, STB_WEAK, STT_FUNC, STT_OBJECT, STT_SECTION, STV_HIDDEN, STV_INTERNAL};

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFileError {
    /// Not ELF, or its tables lie outside of it.
    #[error("no usable ELF file: {0}")]
    NotElf(String),
    /// Linked already, or for a machine that is not asked for.
    #[error("{0}")]
    Other(String),
}

/// ELF's number for BPF.
const EM_BPF: u16 = 247;
/// Some compilers leave the machine out.
const EM_NONE: u16 = 0;

/// A relocatable object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFile<'a> {
    /// Sections by their ELF index.
    pub sections: Vec<ObjectSection<'a>>,
    /// Symbols by their ELF index.
    pub symbols: Vec<ObjectSymbol<'a>>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSection<'a> {
    /// Name; empty if it has none.
    pub name: &'a str,
    /// Its bytes; empty for one that is all zeros (`.bss`) or lies outside of the file.
    pub data: &'a [u8],
    /// Size in bytes once loaded.
    pub size: u64,
    /// Whether it holds instructions.
    pub code: bool,
    /// Whether it holds the program's own bytes (`PROGBITS` or `NOBITS`).
    pub contents: bool,
    /// Relocations of its bytes, by rising offset.
    pub relocations: Vec<ObjectRelocation>,
}

/// One symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectSymbol<'a> {
    /// Name; empty for a section's own symbol.
    pub name: &'a str,
    /// Section that defines it; `None` if it is to come from elsewhere.
    pub section: Option<usize>,
    /// Offset in that section.
    pub value: u64,
    /// Size in bytes; 0 if it has none.
    pub size: u64,
    /// Names a function.
    pub function: bool,
    /// Names a variable.
    pub object: bool,
    /// Stands for the section as a whole.
    pub section_start: bool,
    /// May be missing.
    pub weak: bool,
    /// Seen by other objects (weak ones are).
    pub global: bool,
    /// Seen by other objects only until they are linked.
    pub hidden: bool,
}

/// A place to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectRelocation {
    /// Offset in the section.
    pub offset: u64,
    /// Index of the symbol.
    pub symbol: usize,
    /// Kind, by the machine's numbers.
    pub kind: u32,
}

impl<'a> ObjectFile<'a> {
    /// Reads a BPF object of little-endian byte order.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse_bpf(bytes: &'a [u8]) -> Result<ObjectFile<'a>, ObjectFileError> {
        let elf = GoblinElf::parse(bytes).map_err(|e| ObjectFileError::NotElf(e.to_string()))?;
        let other = |what: &str| Err(ObjectFileError::Other(what.to_string()));
        if elf.header.e_type != ET_REL {
            return other("the file is linked already; an object as the compiler makes it is wanted");
        }
        if !matches!(elf.header.e_machine, EM_BPF | EM_NONE) {
            return other("the object is not for BPF: compile it with `clang -target bpf`");
        }
        if !elf.little_endian || !elf.is_64 {
            return other("only 64-bit little-endian objects can be read");
        }
        let mut sections: Vec<ObjectSection<'a>> = elf
            .section_headers
            .iter()
            .map(|header| {
                let stored = header.sh_type != SHT_NOBITS;
                let range = usize::try_from(header.sh_offset)
                    .ok()
                    .zip(usize::try_from(header.sh_size).ok())
                    .and_then(|(at, len)| bytes.get(at..at.checked_add(len)?));
                ObjectSection {
                    name: elf.shdr_strtab.get_at(header.sh_name).unwrap_or_default(),
                    data: range.filter(|_| stored).unwrap_or_default(),
                    size: header.sh_size,
                    code: header.sh_flags & u64::from(SHF_EXECINSTR) != 0,
                    contents: matches!(header.sh_type, SHT_PROGBITS | SHT_NOBITS),
                    relocations: Vec::new(),
                }
            })
            .collect();
        for (at, table) in &elf.shdr_relocs {
            let Some(header) = elf.section_headers.get(*at) else { continue };
            let Some(section) = sections.get_mut(header.sh_info as usize) else { continue };
            section.relocations = table
                .iter()
                .map(|r| ObjectRelocation { offset: r.r_offset, symbol: r.r_sym, kind: r.r_type })
                .collect();
            section.relocations.sort_by_key(|r| r.offset);
        }
        let n = sections.len();
        let symbols = elf
            .syms
            .iter()
            .map(|symbol| ObjectSymbol {
                name: elf.strtab.get_at(symbol.st_name).unwrap_or_default(),
                section: Some(symbol.st_shndx).filter(|&i| i != 0 && i < n),
                value: symbol.st_value,
                size: symbol.st_size,
                function: symbol.st_type() == STT_FUNC,
                object: symbol.st_type() == STT_OBJECT,
                section_start: symbol.st_type() == STT_SECTION,
                weak: symbol.st_bind() == STB_WEAK,
                global: matches!(symbol.st_bind(), STB_GLOBAL | STB_WEAK),
                hidden: matches!(symbol.st_visibility(), STV_HIDDEN | STV_INTERNAL),
            })
            .collect();
        Ok(ObjectFile { sections, symbols })
    }

    /// Index of the section called `name`.
    pub fn section(&self, name: &str) -> Option<usize> {
        self.sections.iter().position(|s| s.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(ObjectFile::parse_bpf(b"\x7fELF"), Err(ObjectFileError::NotElf(_))));
        assert!(matches!(ObjectFile::parse_bpf(b""), Err(ObjectFileError::NotElf(_))));
    }
}
