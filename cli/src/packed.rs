//! `--aot`: a script and hark in one executable, to be carried to another machine.
//!
//! What is packed is the script's text, not its bytecode: compiling takes milliseconds, and the other machine's kernel
//! has its own types, helpers and offsets. It lies behind the ELF file, whose loader does not look there:
//!
//! | bytes | what |
//! |---|---|
//! | n | name of the script |
//! | m | its text |
//! | 1 | 1 if it may change the system (`--unsafe`) |
//! | 8, 8 | n and m, little endian |
//! | 16 | [`MAGIC`] |

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The last bytes of an executable with a script in it.
const MAGIC: &[u8; 16] = b"hark-script-0001";
/// Bytes behind the text.
const TRAILER: usize = 1 + 8 + 8 + MAGIC.len();
/// The running executable.
const ITSELF: &str = "/proc/self/exe";

/// A script that an executable brings with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// What messages call it.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    /// Whether it may change the system.
    pub(crate) allow_unsafe: bool,
}

impl Packed {
    /// The script in the running executable, if there is one. One that is cut short counts as none.
    pub(crate) fn found() -> Option<Packed> {
        Packed::behind(&mut File::open(ITSELF).ok()?).ok().flatten().map(|(packed, _)| packed)
    }

    /// Writes hark with this script in it to a new executable at `path`.
    ///
    /// # Errors
    /// If hark cannot be read or the file not be written.
    pub(crate) fn write(&self, path: &str) -> io::Result<()> {
        let mut hark = File::open(ITSELF)?;
        let size = match Packed::behind(&mut hark)? {
            Some((_, before)) => before,
            None => hark.metadata()?.len(),
        };
        hark.seek(SeekFrom::Start(0))?;
        // A file that runs cannot be written to; a new one in its place can be.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o755).open(path)?;
        io::copy(&mut hark.take(size), &mut out)?;
        out.write_all(&self.bytes())
    }

    /// As they lie behind the executable.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.name.len() + self.text.len() + TRAILER);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.text.as_bytes());
        bytes.push(u8::from(self.allow_unsafe));
        bytes.extend_from_slice(&(self.name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }

    /// The script behind an executable, and where it begins.
    fn behind(file: &mut (impl Read + Seek)) -> io::Result<Option<(Packed, u64)>> {
        let end = file.seek(SeekFrom::End(0))?;
        let Some(at) = end.checked_sub(TRAILER as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut trailer)?;
        let Some((numbers, MAGIC)) = trailer.split_last_chunk() else { return Ok(None) };
        let length = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| numbers[from + i]));
        let (name, text) = (length(1), length(9));
        let Some(start) = name.checked_add(text).and_then(|all| at.checked_sub(all)) else { return Ok(None) };
        file.seek(SeekFrom::Start(start))?;
        let mut taken = |n: u64| {
            let mut bytes = Vec::new();
            file.take(n).read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
        };
        let (name, text) = (taken(name)?, taken(text)?);
        Ok(Some((Packed { name, text, allow_unsafe: numbers[0] == 1 }, start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn script() -> Packed {
        Packed { name: "é.bt".into(), text: "BEGIN { }".into(), allow_unsafe: true }
    }

    #[test]
    fn what_is_packed_is_found_behind_the_executable() {
        let file = [b"\x7fELF and so on".as_slice(), &script().bytes()].concat();
        assert_eq!(Packed::behind(&mut Cursor::new(file)).unwrap(), Some((script(), 14)));
    }

    #[test]
    fn other_ends_of_files_are_no_scripts() {
        let whole = script().bytes();
        let mut too_long = whole.clone();
        let at = too_long.len() - MAGIC.len() - 1;
        too_long[at] = 0xff;
        for file in [&[][..], b"\x7fELF", &whole[..whole.len() - 1], &too_long, &whole[8..]] {
            assert_eq!(Packed::behind(&mut Cursor::new(file)).unwrap(), None, "{file:?}");
        }
    }
}
