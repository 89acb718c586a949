//! Word of the code that processes map: what it takes to name their addresses once they have ended.

use crate::cpus;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::perf::{PerfEvent, PerfKind, PerfTarget, Sampling};
use crate::perf_ring::PerfRing;
use crate::shared_memory::page_size;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Pages of each CPU's ring.
const PAGES: usize = 16;

/// `PERF_RECORD_COMM`
const COMM: u32 = 3;
/// `PERF_RECORD_EXIT`
const EXIT: u32 = 4;
/// `PERF_RECORD_FORK`
const FORK: u32 = 7;
/// `PERF_RECORD_MMAP2`
const MMAP2: u32 = 10;
/// `PERF_RECORD_MISC_COMM_EXEC`: the name changed because another program was started.
const COMM_EXEC: u16 = 1 << 13;

/// What happened to the code of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeEvent {
    /// It became another program: what was mapped is gone.
    Execed {
        /// Process.
        pid: u32,
    },
    /// It was forked, and begins with its parent's mappings.
    Forked {
        /// Process.
        pid: u32,
        /// The process that it is a copy of.
        parent: u32,
    },
    /// It ended.
    Ended {
        /// Process.
        pid: u32,
    },
    /// It mapped code.
    Mapped {
        /// Process.
        pid: u32,
        /// Addresses.
        range: Range<u64>,
        /// Offset in the file of the first byte.
        offset: u64,
        /// Major and minor number of the file's device.
        device: (u32, u32),
        /// The file's inode; 0 for none.
        inode: u64,
        /// Path, or a name in brackets; `//anon` for memory without a file.
        name: String,
    },
}

/// Word of a process and of all that it forks, or of every process, since the moment of opening.
#[derive(Debug)]
pub struct CodeWatch {
    rings: Vec<PerfRing>,
}

impl CodeWatch {
    /// Begins to watch a process, or all of them. Its reader is woken by everything that comes, if it is to be told
    /// `promptly`; else when half of a ring is full.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process; `EACCES` without `CAP_PERFMON`; others where events or rings run out.
    pub fn open(kernel: &dyn Kernel, pid: Option<u32>, promptly: bool) -> Result<CodeWatch> {
        let wake_at = if promptly { 1 } else { (PAGES * page_size() / 2) as u32 };
        let open = |cpu| {
            let event = kernel.perf_event_open(&PerfEvent {
                kind: PerfKind::Code { wake_at },
                target: pid.map_or(PerfTarget::Cpu(cpu), |pid| PerfTarget::TaskOnCpu(pid, cpu)),
                sampling: Sampling::Period(0),
                inherit: pid.is_some(),
            })?;
            kernel.perf_enable(&event)?;
            PerfRing::open(event, PAGES)
        };
        Ok(CodeWatch { rings: cpus::online()?.into_iter().map(open).collect::<Result<_>>()? })
    }

    /// What to wait on.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(PerfRing::as_fd)
    }

    /// Takes all that has come, in order of time.
    pub fn drain(&mut self, mut each: impl FnMut(CodeEvent)) {
        let mut events = Vec::new();
        for ring in &mut self.rings {
            ring.drain(|record| {
                let time = record.last_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                events.extend(time.zip(parse(record)));
            });
        }
        events.sort_by_key(|(time, _)| *time);
        events.into_iter().for_each(|(_, event)| each(event));
    }
}

/// The event in a record, behind which is the time; `None` in one of another kind.
fn parse(record: &[u8]) -> Option<CodeEvent> {
    let record = &record[..record.len().checked_sub(8)?];
    let word = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let (kind, misc) = (word(0)?, u16::from_le_bytes(record.get(4..6)?.try_into().ok()?));
    let pid = word(8)?;
    match kind {
        COMM if misc & COMM_EXEC != 0 => Some(CodeEvent::Execed { pid }),
        // Process and parent, then thread and parent: the last thread may be another than the first.
        EXIT => (word(16)? == pid).then_some(CodeEvent::Ended { pid }),
        FORK => {
            let parent = word(12)?;
            // A new thread is told of in the same way.
            (pid != parent).then_some(CodeEvent::Forked { pid, parent })
        }
        MMAP2 => {
            let (start, len) = (long(16)?, long(24)?);
            let name = record.get(72..)?;
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            Some(CodeEvent::Mapped {
                pid,
                range: start..start.checked_add(len)?,
                offset: long(32)?,
                device: (word(40)?, word(44)?),
                inode: long(48)?,
                name: String::from_utf8_lossy(name).into_owned(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinuxKernel;
    use crate::child::Child;

    #[test]
    fn records_are_read_as_perf_event_h_lays_them_out() {
        let mut record = Vec::new();
        let mut put = |words: &[u32]| record.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        // Type, flags and size, process and thread, address, length, offset, device, inode, generation, protection.
        put(&[10, 96 << 16, 7, 8, 0x1000, 0, 0x2000, 0, 0x3000, 0, 254, 1, 99, 0, 5, 0, 5, 2]);
        record.extend(b"/bin/x\0\0\0\0\0\0\0\0\0\0a moment");
        let mapped = CodeEvent::Mapped {
            pid: 7,
            range: 0x1000..0x3000,
            offset: 0x3000,
            device: (254, 1),
            inode: 99,
            name: "/bin/x".into(),
        };
        assert_eq!(parse(&record), Some(mapped));
        for cut in 0..80 {
            assert_eq!(parse(&record[..cut]), None);
        }
        let words =
            |words: &[u32]| words.iter().chain(&[1, 0]).flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(parse(&words(&[3, 24 << 16 | 1 << 13, 7, 7, 0, 0])), Some(CodeEvent::Execed { pid: 7 }));
        assert_eq!(parse(&words(&[3, 24 << 16, 7, 7, 0, 0])), None);
        let forked = CodeEvent::Forked { pid: 9, parent: 7 };
        assert_eq!(parse(&words(&[7, 32 << 16, 9, 7, 9, 7, 0, 0])), Some(forked));
        assert_eq!(parse(&words(&[7, 32 << 16, 7, 7, 9, 7, 0, 0])), None);
        assert_eq!(parse(&words(&[4, 32 << 16, 9, 7, 9, 7, 0, 0])), Some(CodeEvent::Ended { pid: 9 }));
        assert_eq!(parse(&words(&[4, 32 << 16, 9, 7, 10, 7, 0, 0])), None);
    }

    #[test]
    fn a_child_tells_what_it_maps() {
        let Ok(kernel) = LinuxKernel::new() else { return eprintln!("skipped: there is no bpf(2) here") };
        let mut child = Child::spawn_held(&["true".to_string()]).expect("true");
        let mut watch = match CodeWatch::open(&kernel, Some(child.pid()), false) {
            Ok(watch) => watch,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        child.release().expect("released");
        while child.try_reap().expect("reaped").is_none() {
            std::thread::yield_now();
        }
        let mut events = Vec::new();
        watch.drain(|event| events.push(event));
        let pid = child.pid();
        assert!(events.contains(&CodeEvent::Execed { pid }), "{events:?}");
        let of_true = |e: &CodeEvent| matches!(e, CodeEvent::Mapped { pid: p, name, .. } if *p == pid && name.ends_with("/true"));
        assert!(events.iter().any(of_true), "{events:?}");
    }
}
