//! Where the symbols and the debug information are that were stripped from binaries.

use std::path::{Path, PathBuf};

use crate::elf::Elf;

/// Root of the tree of debug files, as gdb has it by default.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// Directories with debug files besides the usual places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugDirs(Vec<DebugDir>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct DebugDir {
    /// Absolute, or seen from the directory of the binary.
    path: PathBuf,
    /// Whether a file must have the checksum that the binary tells.
    checked: bool,
}

impl DebugDirs {
    /// Reads a list: `DIR:DIR…`. In a directory with `+` before it, files must have the checksum that the binary tells.
    pub fn parse(list: &str) -> DebugDirs {
        let dir = |text: &str| {
            let path = text.strip_prefix('+');
            DebugDir { path: PathBuf::from(path.unwrap_or(text)), checked: path.is_some() }
        };
        DebugDirs(list.split(':').filter(|text| !text.is_empty()).map(dir).collect())
    }

    /// The debug file of `elf`, opened from `path`, if it is installed: in one of the directories, or by build id, else
    /// by the name in the file, beside it, in `.debug` beside it, and under `/usr/lib/debug`. A file of another build is
    /// none.
    pub fn find(&self, elf: &Elf, path: &Path) -> Option<Elf> {
        self.candidates(elf, path).into_iter().filter(|(file, _)| file != path && file.is_file()).find_map(
            |(file, checked)| {
                let found = Elf::open(&file).ok()?;
                let ids = elf.build_id().zip(found.build_id());
                let same_build = ids.is_none_or(|(own, its)| own == its);
                (same_build && (!checked || elf.debug_checksum() == Some(found.checksum()))).then_some(found)
            },
        )
    }

    /// Where the debug file may be, likeliest first, and whether its checksum must be right.
    pub fn candidates(&self, elf: &Elf, path: &Path) -> Vec<(PathBuf, bool)> {
        let mut found = Vec::new();
        let by_id = elf.build_id().and_then(<[u8]>::split_first).map(|(first, rest)| {
            let rest: String = rest.iter().map(|b| format!("{b:02x}")).collect();
            format!(".build-id/{first:02x}/{rest}.debug")
        });
        let dir = path.parent().unwrap_or(Path::new("/"));
        let below_root = dir.strip_prefix("/").unwrap_or(dir);
        let own_name = path.file_name().map(|name| PathBuf::from(name).with_added_extension("debug"));
        let name = elf.debug_link().map(PathBuf::from).or(own_name);
        for DebugDir { path: given, checked } in &self.0 {
            let given = dir.join(given);
            found.extend(by_id.iter().map(|name| (given.join(name), *checked)));
            if let Some(name) = &name {
                found.push((given.join(name), *checked));
                found.push((given.join(below_root).join(name), *checked));
            }
        }
        found.extend(by_id.map(|name| (Path::new(DEBUG_ROOT).join(name), false)));
        if let Some(name) = elf.debug_link() {
            found.push((dir.join(name), false));
            found.push((dir.join(".debug").join(name), false));
            found.push((Path::new(DEBUG_ROOT).join(below_root).join(name), false));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_list_of_directories() {
        let dirs = DebugDirs::parse("/a:+./b::");
        let dir = |path: &str, checked| DebugDir { path: path.into(), checked };
        assert_eq!(dirs.0, [dir("/a", false), dir("./b", true)]);
        assert_eq!(DebugDirs::parse(""), DebugDirs::default());
    }

    #[test]
    fn directories_are_seen_from_the_binary() {
        let own = std::env::current_exe().expect("this test");
        let elf = Elf::open(&own).expect("is an ELF file");
        let places = DebugDirs::parse("/a:sub").candidates(&elf, Path::new("/opt/app"));
        let has = |path: &str| places.iter().any(|(p, _)| p == Path::new(path));
        assert!(has("/a/app.debug") && has("/a/opt/app.debug") && has("/opt/sub/app.debug"), "{places:?}");
    }
}
