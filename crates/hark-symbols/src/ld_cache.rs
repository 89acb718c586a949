//! `/etc/ld.so.cache`: where the dynamic linker finds libraries.
//!
//! Format: glibc's `sysdeps/generic/dl-cache.h`. An old-format table may come first; only the new one is read, which
//! every glibc since 2.2 writes.

use byteorder::{ByteOrder, NativeEndian};

use crate::elf::{Machine, string_at};

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;

/// The linker's list of libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdCache(Vec<LdEntry>);

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdEntry {
    /// Name that programs ask for (`libc.so.6`).
    pub name: String,
    /// Path.
    pub path: String,
    /// Kind of library and ABI, as glibc numbers them.
    flags: u32,
}

impl LdCache {
    /// Reads the file's bytes; `None` if they are not such a file. Entries outside it are left out.
    pub fn parse(bytes: &[u8]) -> Option<LdCache> {
        let start = if bytes.starts_with(OLD_MAGIC) {
            let n = NativeEndian::read_u32(bytes.get(12..16)?) as usize;
            n.checked_mul(12)?.checked_add(16)?.checked_next_multiple_of(8)?
        } else {
            0
        };
        let table = bytes.get(start..)?;
        if !table.starts_with(NEW_MAGIC) || table.len() < NEW_HEADER {
            return None;
        }
        let n = NativeEndian::read_u32(&table[20..]) as usize;
        let entries = table[NEW_HEADER..].chunks_exact(NEW_ENTRY).take(n).filter_map(|entry| {
            Some(LdEntry {
                flags: NativeEndian::read_u32(entry),
                name: string_at(table, NativeEndian::read_u32(&entry[4..]) as usize)?.to_owned(),
                path: string_at(table, NativeEndian::read_u32(&entry[8..]) as usize)?.to_owned(),
            })
        });
        Some(LdCache(entries.collect()))
    }

    /// All entries, in the linker's order.
    pub fn entries(&self) -> &[LdEntry] {
        &self.0
    }

    /// The library that `name` means for programs of this machine: the very name (`libssl.so.3`), or the name
    /// without its ending (`libc`).
    pub fn find(&self, name: &str, machine: Machine) -> Option<&LdEntry> {
        let for_machine = || self.0.iter().filter(|e| e.is_for(machine));
        for_machine().find(|e| e.name == name).or_else(|| {
            for_machine().find(|e| e.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(".so")))
        })
    }
}

impl LdEntry {
    /// Whether programs of this machine use it.
    pub fn is_for(&self, machine: Machine) -> bool {
        // FLAG_X8664_LIB64 and FLAG_AARCH64_LIB64.
        match machine {
            Machine::X86_64 => self.flags & 0xff00 == 0x0300,
            Machine::Aarch64 => self.flags & 0xff00 == 0x0a00,
            Machine::Other(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cache of (name, path, flags), behind an old-format table if `old`.
    fn cache(entries: &[(&str, &str, u32)], old: bool) -> Vec<u8> {
        let mut table = NEW_MAGIC.to_vec();
        table.extend((entries.len() as u32).to_ne_bytes());
        table.resize(NEW_HEADER, 0);
        let mut strings = Vec::new();
        let strings_at = NEW_HEADER + entries.len() * NEW_ENTRY;
        for (name, path, flags) in entries {
            table.extend(flags.to_ne_bytes());
            for text in [name, path] {
                table.extend(((strings_at + strings.len()) as u32).to_ne_bytes());
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
            }
            table.extend([0; 12]);
        }
        table.extend(strings);
        if !old {
            return table;
        }
        let mut file = OLD_MAGIC.to_vec();
        file.push(0);
        file.extend(1u32.to_ne_bytes());
        file.extend([0; 12]);
        file.resize(file.len().next_multiple_of(8), 0);
        file.extend(table);
        file
    }

    const ENTRIES: &[(&str, &str, u32)] = &[
        ("libcap.so.2", "/lib/libcap.so.2", 0x0303),
        ("libc.so.6", "/lib32/libc.so.6", 0x0803),
        ("libc.so.6", "/lib64/libc.so.6", 0x0303),
    ];

    #[test]
    fn finds_libraries_of_the_machine() {
        for old in [false, true] {
            let cache = LdCache::parse(&cache(ENTRIES, old)).expect("a cache");
            let path = |name| cache.find(name, Machine::X86_64).map(|e| e.path.as_str());
            assert_eq!(path("libc"), Some("/lib64/libc.so.6"));
            assert_eq!(path("libc.so.6"), Some("/lib64/libc.so.6"));
            assert_eq!(path("libcap"), Some("/lib/libcap.so.2"));
            assert_eq!(path("libca"), None);
        }
        assert_eq!(LdCache::parse(b"something else"), None);
    }

    proptest! {
        #[test]
        fn takes_damaged_files(at in 0usize..200, byte in any::<u8>(), len in 0usize..200, old in any::<bool>()) {
            let mut bytes = cache(ENTRIES, old);
            let n = bytes.len();
            bytes[at % n] = byte;
            bytes.truncate(len);
            let _ = LdCache::parse(&bytes);
        }
    }
}
