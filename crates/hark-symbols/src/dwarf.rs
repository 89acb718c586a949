//! Debug information: where a source line is, and what a function takes and returns.
//!
//! For attaching (`uprobe:BIN@file.c:LINE`, `args` of uprobes) nothing is kept between questions but the sections, so
//! a question costs one pass over the units it concerns. For printing, [`Frames`] keeps addr2line's tables.

mod frames;
mod lines;
mod types;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use gimli::{EndianSlice, RunTimeEndian, SectionId};

use crate::debug_file::DebugDirs;
use crate::elf::{Elf, ElfError};

pub(crate) use frames::Frames;
pub use lines::LinePlace;
pub use types::{DebugFunction, DebugMember, DebugParam, DebugType};

/// Most bytes that the compressed sections of a file may turn into.
const MAX_INFLATED: u64 = 1 << 30;

/// Why debug information has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DebugError {
    /// The binary cannot be opened.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Neither the binary nor an installed debug file has any.
    #[error("{} has no debug information: build it with -g, or install its debug package", .0.display())]
    Missing(PathBuf),
    /// It is there but cannot be read.
    #[error("the debug information of {} cannot be read: {why}", path.display())]
    Broken {
        /// The binary.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The debug information of a binary.
#[derive(Debug)]
pub struct DebugInfo {
    path: PathBuf,
    /// The binary itself: its segments tell where addresses lie in the file.
    binary: Elf,
    /// The file that has the information, if it is another.
    separate: Option<Elf>,
    inflated: HashMap<&'static str, Vec<u8>>,
}

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

impl DebugInfo {
    /// Opens the debug information of a binary: its own, or that of the debug file installed for it.
    ///
    /// # Errors
    /// [`DebugError`]; `Missing` is the usual one.
    pub fn open(path: &Path, dirs: &DebugDirs) -> Result<DebugInfo, DebugError> {
        let binary = Elf::open_with_debug(path, dirs)?;
        let has_info = |elf: &Elf| elf.section(".debug_info").is_some();
        let separate = if has_info(&binary) {
            None
        } else {
            let found = dirs.find(&binary, path).filter(has_info);
            Some(found.ok_or_else(|| DebugError::Missing(path.to_owned()))?)
        };
        let mut info = DebugInfo { path: path.to_owned(), binary, separate, inflated: HashMap::new() };
        info.inflate()?;
        Ok(info)
    }

    fn source(&self) -> &Elf {
        self.separate.as_ref().unwrap_or(&self.binary)
    }

    fn inflate(&mut self) -> Result<(), DebugError> {
        let sections = [
            SectionId::DebugAbbrev,
            SectionId::DebugAddr,
            SectionId::DebugAranges,
            SectionId::DebugInfo,
            SectionId::DebugLine,
            SectionId::DebugLineStr,
            SectionId::DebugRanges,
            SectionId::DebugRngLists,
            SectionId::DebugStr,
            SectionId::DebugStrOffsets,
        ];
        let mut left = MAX_INFLATED;
        for name in sections.map(SectionId::name) {
            let Some((packed, size)) = self.source().compressed_section(name) else { continue };
            let Some(packed) = packed else {
                return Err(
                    self.broken(format!("{name} is compressed in a way that is not known (not zlib)"))
                );
            };
            let mut bytes = Vec::new();
            flate2::read::ZlibDecoder::new(packed)
                .take(size.min(left))
                .read_to_end(&mut bytes)
                .map_err(|e| self.broken(format!("{name}: {e}")))?;
            left -= bytes.len() as u64;
            self.inflated.insert(name, bytes);
        }
        Ok(())
    }

    fn broken(&self, why: impl Into<String>) -> DebugError {
        DebugError::Broken { path: self.path.clone(), why: why.into() }
    }

    fn dwarf(&self) -> Dwarf<'_> {
        let endian =
            if self.source().is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let load = |id: SectionId| -> Result<Slice<'_>, std::convert::Infallible> {
            let bytes = match self.inflated.get(id.name()) {
                Some(bytes) => bytes.as_slice(),
                // A section that nobody here needs has been left packed: better none than nonsense.
                None if self.source().compressed_section(id.name()).is_some() => &[],
                None => self.source().section(id.name()).unwrap_or(&[]),
            };
            Ok(EndianSlice::new(bytes, endian))
        };
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
        }
    }

    /// All units, broken ones left out.
    fn units<'a>(&self, dwarf: &'a Dwarf<'a>) -> impl Iterator<Item = Unit<'a>> + use<'a> {
        let mut headers = dwarf.units();
        std::iter::from_fn(move || headers.next().ok().flatten()).filter_map(|header| dwarf.unit(header).ok())
    }
}

/// A string attribute.
fn text<'a>(dwarf: &Dwarf<'a>, unit: &Unit<'a>, value: gimli::AttributeValue<Slice<'a>>) -> Option<&'a str> {
    std::str::from_utf8(dwarf.attr_string(unit, value).ok()?.slice()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Hits in the sections after unpacking, which would notice them.
        #[test]
        fn survives_damage(hits in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..12)) {
            let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/debug.so");
            let mut info = DebugInfo::open(Path::new(fixture), &DebugDirs::default()).expect("the fixture has debug information");
            let mut names: Vec<_> = info.inflated.keys().copied().collect();
            names.sort_unstable();
            prop_assert!(names.contains(&".debug_info"));
            for (section, at, byte) in hits {
                let bytes = info.inflated.get_mut(names[section.index(names.len())]).expect("listed");
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = (info.function("submit"), info.line("debug.c", 39, Some(1)));
        }
    }
}
