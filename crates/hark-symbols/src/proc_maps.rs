//! `/proc/PID/maps`: what a process has in its address space.

use std::ops::Range;
use std::path::Path;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<u64>,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Offset in the file of the first byte.
    pub offset: u64,
    /// Major and minor number of the file's device.
    pub device: (u32, u32),
    /// The file's inode; 0 for none.
    pub inode: u64,
    /// Path, or a name in brackets (`[heap]`, `[vdso]`); empty for anonymous memory. A file that has been unlinked
    /// has ` (deleted)` after its former path.
    pub name: String,
}

impl Mapping {
    /// The path, if this maps a file that still has one.
    pub fn path(&self) -> Option<&Path> {
        let is_file = self.name.starts_with('/') && self.inode != 0 && !self.name.ends_with(" (deleted)");
        is_file.then(|| Path::new(&self.name))
    }

    /// Offset in the file of an address inside the mapping.
    pub fn file_offset(&self, addr: u64) -> Option<u64> {
        self.range.contains(&addr).then(|| self.offset.wrapping_add(addr - self.range.start))
    }
}

/// All mappings of a process, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcMaps(Vec<Mapping>);

impl ProcMaps {
    /// Reads the text of `/proc/PID/maps`. Lines that are not understood are left out.
    pub fn parse(text: &str) -> ProcMaps {
        let mut maps: Vec<_> = text.lines().filter_map(mapping).collect();
        maps.sort_by_key(|m| m.range.start);
        ProcMaps(maps)
    }

    /// The mapping that holds an address.
    pub fn find(&self, addr: u64) -> Option<&Mapping> {
        let i = self.0.partition_point(|m| m.range.start <= addr).checked_sub(1)?;
        self.0.get(i).filter(|m| m.range.contains(&addr))
    }

    /// Adds a mapping; what was there before is gone.
    pub fn insert(&mut self, mapping: Mapping) {
        let Range { start, end } = mapping.range;
        let mut kept = Vec::with_capacity(self.0.len() + 2);
        for old in self.0.drain(..) {
            if old.range.end <= start || old.range.start >= end {
                kept.push(old);
                continue;
            }
            if old.range.end > end {
                let offset = old.offset.wrapping_add(end - old.range.start);
                kept.push(Mapping { range: end..old.range.end, offset, ..old.clone() });
            }
            if old.range.start < start {
                kept.push(Mapping { range: old.range.start..start, ..old });
            }
        }
        kept.push(mapping);
        kept.sort_by_key(|m| m.range.start);
        self.0 = kept;
    }

    /// All mappings.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ProcMaps {
    type Item = &'a Mapping;
    type IntoIter = std::slice::Iter<'a, Mapping>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// `5581a000-5581b000 r-xp 00001000 fd:01 1234      /usr/bin/cat`
fn mapping(line: &str) -> Option<Mapping> {
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let flags = fields.next()?.as_bytes();
    let offset = hex(fields.next()?)?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let inode = fields.next()?.parse().ok()?;
    Some(Mapping {
        range: hex(start)?..hex(end)?,
        readable: flags.first() == Some(&b'r'),
        writable: flags.get(1) == Some(&b'w'),
        executable: flags.get(2) == Some(&b'x'),
        offset,
        device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode,
        name: fields.next().unwrap_or("").trim_start().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
5581a000-5581b000 r--p 00000000 fd:01 1234                       /usr/bin/a b
5581b000-5581d000 r-xp 00001000 fd:01 1234                       /usr/bin/a b
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
7f0000100000-7f0000101000 r-xp 00000000 103:0a 77                /tmp/x (deleted)
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                  [vdso]
";

    #[test]
    fn finds_files_and_offsets() {
        let maps = ProcMaps::parse(TEXT);
        let code = maps.find(0x5581_c010).expect("in the second mapping");
        assert_eq!(code.path(), Some(Path::new("/usr/bin/a b")));
        assert_eq!(code.file_offset(0x5581_c010), Some(0x2010));
        assert!(code.executable && !code.writable);
        assert_eq!(maps.find(0x5581_d000), None);
        assert_eq!(maps.find(0x7f00_0010_0000).map(|m| (m.path(), m.device)), Some((None, (0x103, 10))));
        assert_eq!(maps.find(0x7ffe_0000_0000).map(|m| m.name.as_str()), Some("[vdso]"));
        assert_eq!(maps.iter().count(), 5);
    }

    #[test]
    fn what_is_mapped_over_is_gone() {
        let mut maps = ProcMaps::parse("1000-5000 r-xp 00000000 08:01 7 /a\n6000-7000 r-xp 0 08:01 7 /a\n");
        let new = ProcMaps::parse("2000-3000 r-xp 00009000 08:01 8 /b\n").0.remove(0);
        maps.insert(new.clone());
        maps.insert(Mapping { range: 0x6000..0x7000, ..new });
        let seen: Vec<_> = maps.iter().map(|m| (m.range.start, m.range.end, m.offset, &m.name[..])).collect();
        let expected = [
            (0x1000, 0x2000, 0, "/a"),
            (0x2000, 0x3000, 0x9000, "/b"),
            (0x3000, 0x5000, 0x2000, "/a"),
            (0x6000, 0x7000, 0x9000, "/b"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn finds_this_test_in_this_process() {
        let maps = ProcMaps::parse(&std::fs::read_to_string("/proc/self/maps").expect("own maps"));
        let here = finds_this_test_in_this_process as fn() as usize as u64;
        let mapping = maps.find(here).expect("this function is mapped");
        assert_eq!(mapping.path(), std::env::current_exe().ok().as_deref());
    }

    proptest! {
        #[test]
        fn takes_any_text(text in "[0-9a-f :/\\-rwxp\\n]{0,120}", addr in any::<u64>()) {
            let maps = ProcMaps::parse(&text);
            let _ = maps.find(addr).and_then(|m| m.file_offset(addr));
        }
    }
}
