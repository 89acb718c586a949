//! Files as bytes.
#![expect(unsafe_code, reason = "memmap2 cannot know what others do to the file; see map_file")]

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// The contents of a file: mapped where the file system can do that, read where it cannot.
pub struct FileBytes(Contents);

enum Contents {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Contents::Mapped(map) => map,
            Contents::Owned(bytes) => bytes,
        }
    }
}

impl std::ops::Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        FileBytes(Contents::Owned(bytes))
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if matches!(self.0, Contents::Mapped(_)) { "mapped" } else { "owned" };
        write!(f, "FileBytes({how}, {} bytes)", self.len())
    }
}

/// Maps a file for reading; pages are loaded as they are touched. Files that cannot be mapped (`/proc`;
/// `/sys/kernel/btf` before Linux 6.16) are read instead.
///
/// Whoever truncates the file while it is mapped ends this process with SIGBUS when a page beyond the new end is
/// touched. Binaries and libraries are replaced by renaming, which leaves the mapping alone.
///
/// # Errors
/// Those of opening and reading; also when the path is a directory.
pub fn map_file(path: &Path) -> io::Result<FileBytes> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.len() > 0 {
        // Private, because the kernel refuses to share its BTF.
        // SAFETY: the mapping is private, read-only and only reached as bytes, for which every value is valid. That
        // another process may change them meanwhile is accepted: every reader here checks what it uses, and copies
        // names out before they are relied upon.
        let mapped = unsafe { MmapOptions::new().map_copy_read_only(&file) };
        if let Ok(map) = mapped {
            return Ok(FileBytes(Contents::Mapped(map)));
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_binaries_and_reads_what_cannot_be_mapped() {
        let own = map_file(Path::new("/proc/self/exe")).expect("this program");
        assert!(own.starts_with(b"\x7fELF"));
        assert!(matches!(own.0, Contents::Mapped(_)));
        let maps = map_file(Path::new("/proc/self/maps")).expect("own maps");
        assert!(matches!(maps.0, Contents::Owned(_)) && !maps.is_empty());
        assert!(map_file(Path::new("/")).is_err());
    }
}
