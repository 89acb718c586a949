//! Packet captures that scripts write: the classic pcap format, raw IP packets.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// `LINKTYPE_RAW`: packets begin with their IP header.
const LINKTYPE_RAW: u32 = 101;
/// Magic number of files with nanosecond time stamps.
const MAGIC_NS: u32 = 0xa1b2_3c4d;
/// Longest packet that may occur.
const SNAPLEN: u32 = 262_144;

/// The files of a run, by path.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    files: HashMap<String, BufWriter<File>>,
}

impl Captures {
    /// Appends a packet to the file at `path`, which is made anew the first time.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub(crate) fn write(&mut self, path: &str, wall_ns: u64, packet: &[u8]) -> io::Result<()> {
        let file = match self.files.get_mut(path) {
            Some(file) => file,
            None => {
                let mut file = BufWriter::new(File::create(path)?);
                file.write_all(&header())?;
                self.files.entry(path.to_string()).or_insert(file)
            }
        };
        let len = packet.len() as u32;
        for word in [(wall_ns / 1_000_000_000) as u32, (wall_ns % 1_000_000_000) as u32, len, len] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(packet)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(|file| file.flush())
    }
}

fn header() -> Vec<u8> {
    let mut header = MAGIC_NS.to_le_bytes().to_vec();
    header.extend(2u16.to_le_bytes());
    header.extend(4u16.to_le_bytes());
    for word in [0, 0, SNAPLEN, LINKTYPE_RAW] {
        header.extend(u32::to_le_bytes(word));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_a_header_and_packets() {
        let path = std::env::temp_dir().join(format!("hark-capture-{}.pcap", std::process::id()));
        let name = path.display().to_string();
        let mut captures = Captures::default();
        captures.write(&name, 5_000_000_007, b"abc").expect("written");
        captures.write(&name, 6_000_000_000, b"").expect("written");
        captures.flush().expect("flushed");
        let bytes = std::fs::read(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(bytes.len(), 24 + 16 + 3 + 16);
        assert_eq!(bytes[20..24], LINKTYPE_RAW.to_le_bytes());
        assert_eq!((bytes[24], bytes[28], bytes[32], bytes[36]), (5, 7, 3, 3));
        assert_eq!(&bytes[40..43], b"abc");
    }
}
