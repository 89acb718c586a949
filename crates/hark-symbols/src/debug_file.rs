//! Where distributions put the symbols that they strip from binaries.

use std::path::{Path, PathBuf};

use crate::elf::Elf;

/// Root of the tree of debug files, as gdb has it by default.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// The debug file of `elf`, opened from `path`, if it is installed: by build id, else by the name in the file,
/// beside it, in `.debug` beside it, and under `/usr/lib/debug`.
pub fn find(elf: &Elf, path: &Path) -> Option<PathBuf> {
    candidates(elf, path).into_iter().find(|p| p.is_file() && p != path)
}

/// Where the debug file may be, likeliest first.
pub fn candidates(elf: &Elf, path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some((first, rest)) = elf.build_id().and_then(<[u8]>::split_first) {
        let rest: String = rest.iter().map(|b| format!("{b:02x}")).collect();
        found.push(Path::new(DEBUG_ROOT).join(format!(".build-id/{first:02x}/{rest}.debug")));
    }
    if let Some(name) = elf.debug_link() {
        let dir = path.parent().unwrap_or(Path::new("/"));
        found.push(dir.join(name));
        found.push(dir.join(".debug").join(name));
        found.push(Path::new(DEBUG_ROOT).join(dir.strip_prefix("/").unwrap_or(dir)).join(name));
    }
    found
}
