//! From an address to source lines and inlined functions.

use std::path::{Path, PathBuf};

use super::{DebugInfo, Slice};
use crate::debug_file::DebugDirs;
use crate::symbolizer::SourceLine;

/// Deepest inlining that is told.
const MAX_INLINED: usize = 256;

/// The debug information of a file, indexed by address as far as it has been asked.
pub(crate) struct Frames(addr2line::Context<Slice<'static>>);

/// A function at an address.
pub(crate) struct DebugFrame {
    pub(crate) name: Option<String>,
    pub(crate) line: Option<SourceLine>,
}

impl Frames {
    /// Opens the debug information of a binary; `None` if there is none.
    ///
    /// It stays open to the end of the program: the index borrows from the sections, and both are wanted as long as
    /// there are addresses to be named. The caller limits for how many files it asks.
    pub(crate) fn open(path: &Path, dirs: &DebugDirs) -> Option<Frames> {
        let info: &'static DebugInfo = Box::leak(Box::new(DebugInfo::open(path, dirs).ok()?));
        addr2line::Context::from_dwarf(info.dwarf()).ok().map(Frames)
    }

    /// The functions at a virtual address, the innermost inlined one first; empty if it is not described.
    pub(crate) fn at(&self, addr: u64) -> Vec<DebugFrame> {
        let mut found = Vec::new();
        let Ok(mut frames) = self.0.find_frames(addr).skip_all_loads() else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|f| Some(f.raw_name().ok()?.into_owned()));
            let line = frame.location.and_then(|at| {
                let column = at.column.filter(|c| *c > 0).and_then(|c| u16::try_from(c).ok());
                Some(SourceLine { file: PathBuf::from(at.file?), line: at.line?, column })
            });
            found.push(DebugFrame { name, line });
            if found.len() >= MAX_INLINED {
                break;
            }
        }
        found
    }
}
